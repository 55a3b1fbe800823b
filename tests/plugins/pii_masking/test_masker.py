"""The masker: what it finds by name, shape and check digits, what it leaves alone, and that its time is linear."""

from __future__ import annotations

import re
import re._parser as parser
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.masking import composed, held_out
from bench.masking.score import score
from gateway.errors import ClientClosed
from gateway.http import Exchange, Principal, Request
from gateway.plugin import Context
from gateway.services.log.access import record_of
from gateway.services.masking import Masking
from gateway.testing import ports, settings_of
from plugins.pii_masking import PiiMasking, contact, find, masker, shapes
from plugins.pii_masking.actions import CATEGORIES
from plugins.pii_masking.government import COUNTRIES


def masks(**given_settings):
    context = Context(ports(), route="r", plugin="pii_masking", id="p")
    return PiiMasking(settings_of(PiiMasking, given_settings), context).log_processor()


MASK = masks()


def told(score):
    return "\n".join([*score.lines(), *map(str, score.missed), *map(str, score.wrong)])


@pytest.mark.parametrize(("corpus", "least"), [(composed, 500), (held_out, 300)], ids=["composed", "held out"])
def test_what_is_found_and_what_is_left_alone(corpus, least):
    found = score(corpus.rows(), MASK.text)
    assert found.rows >= least
    assert found.missed_exact == [], told(found)
    assert found.recall >= 0.98, told(found)
    assert found.precision >= 0.97, told(found)


@pytest.mark.parametrize("corpus", [composed, held_out], ids=["composed", "held out"])
def test_who_holds_the_key_can_join_what_was_masked(corpus):
    mask = masks(actions=dict.fromkeys(CATEGORIES, "hash"), key="0123456789abcdef").text
    rows = corpus.rows()[::7]
    assert [mask(row.text) for row in rows] == [mask(row.text) for row in rows]
    assert all(mask(mask(row.text)) == mask(row.text) for row in rows)


@given(st.text(max_size=200))
@settings(max_examples=100)
def test_two_passes_write_what_one_does(text):
    once = MASK.text(text)
    assert MASK.text(once) == once


def test_a_line():
    line = {
        "ts": "2026-11-21T10:00:00Z",
        "request_id": "ada@shop.example",
        "client": "192.0.2.17",
        "target": "http://192.0.2.8:9000",
        "status": 200,
        "password": "x",
        "extra": {"token": 7, "list": ["ada@shop.example", b"ada@shop.example"], "n": 4111111111111111},
        "route": "a",
    }
    assert MASK(line) == {
        "ts": "2026-11-21T10:00:00Z",
        "request_id": "[email]",
        "client": "192.0.2.0",
        "target": "http://192.0.2.8:9000",
        "status": 200,
        "password": "[credential]",
        "extra": {"token": "[credential]", "list": ["[email]", "[email]"], "n": "****1111"},
        "route": "a",
    }


def test_what_is_beyond_the_budget_is_never_written():
    line = masks(budget="512B")({"msg": "x " * 250 + "ada@shop.example " * 50, "more": "ada@shop.example"})
    assert "ada" not in str(line)
    assert len(line["msg"]) < 600


PATTERNS = [
    *(
        (f"{module.__name__}.{name}", value)
        for module in (shapes, contact, find, masker)
        for name, value in vars(module).items()
        if isinstance(value, re.Pattern)
    ),
    *((f"{sign} of {shapes.__name__}", pattern) for sign, pattern in shapes.UNPREFIXED),
    *((f"near {country}", kind.near) for country, kinds in COUNTRIES.items() for kind in kinds if kind.near),
]


def unbounded(tree):
    """Repetitions without a bound."""
    for op, value in tree:
        if op in (parser.MAX_REPEAT, parser.MIN_REPEAT):
            _, high, inner = value
            if high is parser.MAXREPEAT:
                yield op
            yield from unbounded(inner)
        elif op is parser.SUBPATTERN:
            yield from unbounded(value[3])
        elif op is parser.BRANCH:
            for branch in value[1]:
                yield from unbounded(branch)
        elif op in (parser.ASSERT, parser.ASSERT_NOT):
            yield from unbounded(value[1])


@pytest.mark.parametrize(("name", "pattern"), [pytest.param(*each, id=each[0]) for each in PATTERNS])
def test_no_repetition_is_without_a_bound(name, pattern):
    assert list(unbounded(parser.parse(pattern.pattern, pattern.flags))) == []


HOSTILE = {
    "digits": "1",
    "digits and spaces": "4 ",
    "groups of an account": "DE89 3704 ",
    "names": "password=",
    "names in quotes": '"password":"',
    "quotes never closed": "token='",
    "backslashes": 'secret="\\',
    "tags": "<a>",
    "tags that open": "<password ",
    "at signs": "a@",
    "labels": "a@b.",
    "plus signs": "+1 ",
    "brackets": "(0",
    "keys that go on": "sk-",
    "half a token": "eyJ",
    "begins of keys": "-----BEGIN PRIVATE KEY-----",
    "colons": "a:",
    "dots": "1.1.1.",
    "words near secrets": "token key ",
    "words near secrets, and runs": "auth " + "Ab1" * 7 + " ",
    "percent signs": "%3D",
    "schemes": "Bearer ",
    "hosts": "https://a:",
    "words of phones": "tel 1 ",
    "commands": "mysql -",
    "flags": "--a ",
    "sentences": "the password is ",
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_twice_the_length_takes_twice_the_time(piece):
    mask = masks(budget="1MB").text
    times = []
    for length in (8_000, 64_000):
        text = (piece * (length // len(piece) + 1))[:length]
        times.append(min(timed(mask, text) for _ in range(3)))
    # Eight times the text: linear is 8, its square would be 64. Counted in processor time, of this thread alone.
    assert times[1] < max(times[0], 0.0005) * 30


def timed(mask, text):
    began = time.thread_time()
    mask(text)
    return time.thread_time() - began


LINE = {
    "request_id": "01a1fed6-91fa-74fd-890a-d5961666fdc3",
    "client": "203.0.113.77",
    "method": "GET",
    "host": "shop.example",
    "path": "/orders/17",
    "route": "orders",
    "target": "http://10.0.0.9:9000",
    "agent": "curl/8",
    "principal": "user-17",
}


@pytest.mark.parametrize(
    ("changes", "client"),
    [
        pytest.param({}, "203.0.113.0", id="nothing but the client"),
        pytest.param({"path": "/users/ada@shop.example"}, None, id="an e-mail in the path"),
        pytest.param({"principal": "ada@shop.example"}, None, id="an e-mail as the caller"),
        pytest.param({"agent": "203.0.113.9"}, None, id="an address as the agent"),
        pytest.param({"request_id": "ada@shop.example"}, None, id="an id that is none"),
        pytest.param({"client": "127.0.0.1"}, "127.0.0.1", id="this machine"),
    ],
)
def test_the_shorter_way_of_the_access_log_changes_what_the_long_one_does(changes, client):
    mask, line = masks(), LINE | changes
    long = mask(dict(line))  # after which the words are known to be clean
    words = (line["method"], line["route"], line["agent"], line["principal"])
    short = mask.quick(line["request_id"], line["client"], line["path"], (line["host"], line["target"]), words)
    assert short == client
    assert (long == {**line, "client": short}) is (short is not None)


def test_words_that_were_never_seen_take_the_long_way():
    assert masks().quick(LINE["request_id"], "::1", "/", ("a", "b"), ("c",)) is None


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        pytest.param("Authorization", "Bearer abc", "Bearer [credential]", id="a header"),
        pytest.param(
            "token", {"a": 1, "b": ["x"]}, {"a": "[credential]", "b": ["[credential]"]}, id="a mapping under a name"
        ),
        pytest.param(
            "",
            {"password": "x", "n": [1, "ada@shop.example"]},
            {"password": "[credential]", "n": [1, "[email]"]},
            id="nested",
        ),
        pytest.param("n", None, None, id="nothing"),
        pytest.param("http.request.header.authorization", ["Basic eA=="], ["Basic [credential]"], id="of a span"),
        pytest.param("user.email", "ada", "[email]", id="the last part of a name"),
        pytest.param("user[phone]", "12345678", "****5678", id="a field of a form's object"),
        pytest.param("server.address", "10.0.0.9", "10.0.0.9", id="a machine"),
        pytest.param("client.address", "203.0.113.9", "203.0.113.0", id="who asks"),
        pytest.param("msg", "x" * 20_000, "x" * 16_256 + "[cut]", id="more than the budget"),
    ],
)
def test_a_value_under_a_name(name, value, shown):
    assert masks().value(name, value) == shown


def test_what_is_dropped_is_no_value():
    assert masks(actions={"credential": "drop"}).value("token", "x") is None


@pytest.mark.parametrize(
    ("given", "secrets"), [({}, True), ({"actions": {"credential": "keep"}}, False)], ids=["usual", "kept"]
)
def test_who_keeps_secrets_needs_the_floor(given, secrets):
    mask = masks(**given)
    assert mask.secrets is secrets
    assert Masking([mask]).fields([("Authorization", "x")]) == [
        ("Authorization", "[credential]" if secrets else "[secret]")
    ]


def test_every_field_of_an_access_line_is_known_so_that_none_is_looked_at_for_nothing():
    request = Request("GET", "/", host="h", client_ip="::1", id="0" * 32)
    request.trace = b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01"
    request.principal, request.tenant = Principal("ada"), "shop"
    ended = Exchange(request, None, status=0, duration=0.1, aborted=True, error=ClientClosed())
    assert set(record_of(ended, "now")) <= set(masker.KINDS)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz/_-012", max_size=40))
@settings(max_examples=100)
def test_what_is_plain_at_a_glance_has_nothing_in_it(text):
    data = text.encode()
    rest = data.translate(None, b"abcdefghijklmnopqrstuvwxyz/_-")
    if len(rest) < masker.FEWEST and not any(len(run) > 15 for run in text.split("/")):
        assert list(MASK._find(text, data, addresses=True)) == []
