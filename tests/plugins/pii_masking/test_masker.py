"""The masker: what it finds by name, shape and check digits, what it leaves alone, and that its time is linear."""

from __future__ import annotations

import random
import re
import re._parser as parser
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.plugin import Context
from gateway.testing import ports, settings_of
from plugins.pii_masking import PiiMasking, contact, masker, shapes
from plugins.pii_masking.digits import luhn
from plugins.pii_masking.government import COUNTRIES

R = random.Random(7)
ALNUM = string.ascii_letters + string.digits


def masks(**given_settings):
    context = Context(ports(), route="r", plugin="pii_masking", id="p")
    return PiiMasking(settings_of(PiiMasking, given_settings), context).log_processor()


MASK = masks()


def some(count, alphabet=ALNUM):
    return "".join(R.choice(alphabet) for _ in range(count))


def digits(count):
    return some(count, string.digits)


def card(prefix, size):
    body = prefix + digits(size - len(prefix) - 1)
    return next(body + check for check in string.digits if luhn(body + check))


def iban(country, bban):
    number = int("".join(str(int(char, 36)) for char in bban + country + "00"))
    return f"{country}{98 - number % 97:02}{bban}"


def grouped(text, size=4, by=" "):
    return by.join(text[at : at + size] for at in range(0, len(text), size))


def jwt():
    return f"eyJhbGciOiJIUzI1NiJ9.eyJ{some(40)}.{some(43)}"


SHAPES = {
    "jwt": jwt,
    "aws": lambda: "AKIA" + some(16, string.ascii_uppercase + string.digits),
    "github": lambda: "gh" + R.choice("pousr") + "_" + some(36),
    "github fine": lambda: "github_pat_" + some(22) + "_" + some(59),
    "gitlab": lambda: "glpat-" + some(20),
    "slack": lambda: f"xoxb-{digits(11)}-{digits(12)}-{some(24)}",
    "stripe": lambda: R.choice(["sk_live_", "rk_test_"]) + some(24),
    "stripe webhook": lambda: "whsec_" + some(32),
    "twilio": lambda: R.choice(["SK", "AC"]) + some(32, "0123456789abcdef"),
    "sendgrid": lambda: f"SG.{some(22)}.{some(43)}",
    "google": lambda: "AIza" + some(35),
    "openai": lambda: "sk-proj-" + some(48),
    "npm": lambda: "npm_" + some(36),
    "pypi": lambda: "pypi-AgEIcHlwaS5vcmc" + some(60),
    "pem": lambda: "-----BEGIN RSA PRIVATE KEY-----\n" + some(64) + "\n-----END RSA PRIVATE KEY-----",
}
NAMES = {
    "query": lambda: ("/a?x=1&access_token={}&y=2", some(12)),
    "query code": lambda: ("/cb?code={}&x=1", some(12)),
    "encoded": lambda: ("next=%2Fcb%3Ftoken%3D{}", some(12)),
    "header": lambda: ("Authorization: {}", "Basic " + some(12)),
    "cookie": lambda: ("Cookie: {}", f"sid={some(8)}; theme={some(6)}"),
    "form": lambda: ("user=ada&password={}", some(9)),
    "json": lambda: ('{{"client_secret": "{}", "n": 1}}', some(9) + " " + some(3)),
    "python": lambda: ("{{'api_key': '{}'}}", some(9)),
    "escaped json": lambda: (r'body "{{\"password\":\"{}\"}}"', some(9)),
    "cvv": lambda: ('{{"cvv":{}}}', digits(3)),
    "url": lambda: ("postgres://{}@db.internal/x", f"app:{some(9)}"),
    "url with odd signs": lambda: ("https://{}@shop.example/x", f"app:{some(4)}:{some(3)}@{some(4)}"),
    "bearer": lambda: ("got Bearer {} from it", some(20)),
}
OTHERS = {
    "visa": lambda: card("4", 16),
    "visa grouped": lambda: grouped(card("4", 16)),
    "visa dotted": lambda: grouped(card("4", 16), by="."),
    "visa spaced hard": lambda: grouped(card("4", 16), by="\u00a0"),
    "mastercard": lambda: grouped(card("5" + R.choice("12345"), 16), by="-"),
    "amex": lambda: card("37", 15),
    "iban de": lambda: iban("DE", digits(18)),
    "iban gb": lambda: grouped(iban("GB", "WEST" + digits(14))),
    "iban fr": lambda: iban("FR", digits(23)),
    "e-mail": lambda: f"{some(7).lower()}.{some(4).lower()}@{some(6).lower()}.example",
    "e-mail tagged": lambda: f"{some(6)}+{some(3)}@mail.{some(5)}.co.uk",
    "international": lambda: (
        f"+{R.choice(['44 20', '49 30', '33 1', '39 06'])} {R.randint(2, 9)}{digits(3)} {digits(4)}"
    ),
    "international plain": lambda: f"+1{R.randint(2, 9)}{digits(2)}{R.randint(2, 9)}{digits(6)}",
    "us": lambda: f"({R.randint(2, 9)}{digits(2)}) {R.randint(2, 9)}{digits(2)}-{digits(4)}",
    "us dashed": lambda: f"{R.randint(2, 9)}{digits(2)}-{R.randint(2, 9)}{digits(2)}-{digits(4)}",
    "uk": lambda: f"020 7{digits(3)} {digits(4)}",
    "germany": lambda: f"0171 {R.randint(1, 9)}{digits(6)}",
    "france": lambda: f"01 {grouped(digits(8), 2)}",
    "ssn": lambda: f"{R.randint(100, 600)}-{R.randint(10, 99)}-{R.randint(1000, 9999)}",
    "address": lambda: f"{R.randint(11, 99)}.{R.randint(1, 254)}.{R.randint(0, 254)}.{R.randint(1, 254)}",
    "address 6": lambda: f"2001:db8:{R.randint(1, 9999)}:1::{some(3, '123456789abcdef')}",
}
FRAMES = ("{}", "got {} from the client", "/users/{}/orders", "({})", 'value "{}" is odd')
CLEAN = {
    "uuid": lambda: "-".join(some(n, "0123456789abcdef") for n in (8, 4, 4, 4, 12)),
    "commit": lambda: some(40, "0123456789abcdef"),
    "short commit": lambda: some(7, "0123456789abcdef"),
    "time": lambda: f"2026-{R.randint(10, 12)}-{R.randint(10, 28)}T{R.randint(10, 23)}:05:06.123Z",
    "day": lambda: f"{R.randint(10, 28)}.11.2026 10:15",
    "epoch": lambda: f"17{digits(8)}",
    "milliseconds": lambda: f"17{digits(11)}",
    "order": lambda: f"ORD-{digits(8)}",
    "order number": lambda: f"2026{digits(8)}",
    "long number": lambda: f"9{digits(15)}",
    "version": lambda: f"v{R.randint(1, 9)}.{R.randint(0, 99)}.{R.randint(0, 99)}",
    "agent": lambda: f"Chrome/{R.randint(90, 130)}.0.{R.randint(0, 99)}.0 Safari/537.36",
    "invoice": lambda: f"INV-2026-{digits(6)}",
    "price": lambda: f"{digits(4)}.{digits(2)} EUR",
}
BY_HAND = (
    "error code: 404", "status code=200", "token_type=bearer expires", "the state: open", "12 of 4096 attempts",
    "listening on 127.0.0.1:8080", "key rate-limit-orders-by-principal-2",
    "target http://10.1.2.3:9000 is down", "::1", "std::vector", "10:15:30", "max_tokens=4096 used",
    "Basic authentication is off",
    "took 12.345 ms", "1 234 567 bytes", "2026-11-21", "range 1000000-2000000", "sha256 is a digest", "@todo", "a @ b",
    "4111111111111112", "DE00370400440532013000", "tracking 1Z999AA10123456784", "isbn 978-3-16-148410-0",
    "page 10/200",
    "key=principal", "sk-short", "eyJ is how they begin", "npm_config_cache", "000-12-3456", "666-12-3456",
)  # fmt: skip


def rows(table, each, frames=FRAMES):
    return [
        (frames[n % len(frames)].format(value), value)
        for make in table.values()
        for n in range(each)
        for value in [make()]
    ]


def misses(table):
    return [(text, value) for text, value in table if value in MASK.text(text)]


def test_by_exact_shape_nothing_is_missed():
    table = rows(SHAPES, 12)
    assert len(table) >= 180
    assert misses(table) == []


def test_by_name_nothing_is_missed():
    table = [(frame.format(value), value) for make in NAMES.values() for _ in range(12) for frame, value in [make()]]
    assert misses(table) == []


def test_recall_and_precision_of_the_rest():
    near = [
        (f"the {word} is {value}", value) for word in ("secret", "api key", "token") for value in (some(40), some(33))
    ]
    wanted = [*rows(OTHERS, 15), *near]
    clean = [*rows(CLEAN, 15), *((text, text) for text in BY_HAND)]
    found = len(wanted) - len(misses(wanted))
    wrong = [text for text, _ in clean if MASK.text(text) != text]
    assert len(wanted) + len(clean) >= 500
    assert found / len(wanted) >= 0.98, misses(wanted)
    assert found / (found + len(wrong)) >= 0.97, wrong


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
        (name, value)
        for module in (shapes, contact, masker)
        for name, value in vars(module).items()
        if isinstance(value, re.Pattern)
    ),
    *((f"country {name}", re.compile(kind.pattern)) for name, kind in COUNTRIES.items()),
]  # fmt: skip


def unbounded(tree):
    """Repetitions without a bound, or one with room for many within another such."""
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


@pytest.mark.parametrize(("name", "pattern"), [pytest.param(*each, id=each[0]) for each in PATTERNS])
def test_no_repetition_is_without_a_bound(name, pattern):
    assert list(unbounded(parser.parse(pattern.pattern, pattern.flags))) == []
