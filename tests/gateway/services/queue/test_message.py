"""A request in the form in which it is kept: byte for byte what came, whatever came."""

import contextlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http import Principal
from gateway.http.event import Event, event_of, note_event
from gateway.services.queue.message import VERSION, Unreadable, clean, kept_of, unpack
from gateway.testing import request

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True)
VALUES = st.binary(max_size=40).filter(lambda value: not {0, 10, 13} & set(value))


@settings(max_examples=100)
@given(body=st.binary(max_size=300), fields=st.lists(st.tuples(NAMES, VALUES), max_size=8), path=st.text(max_size=30))
def test_what_was_packed_comes_back(body, fields, path):
    asked = request("POST", "/", body=body)
    asked._fields = tuple((name.encode(), value) for name, value in fields)
    asked._view = None
    asked.path = "/" + path.replace("?", "")
    kept = kept_of(asked, body, 12.5)
    found = unpack(kept.pack())
    assert found == kept
    assert (found.body, found.arrived) == (body, 12.5)
    again = found.request()
    assert list(again.fields) == found.fields
    assert again.body.whole == body


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        pytest.param("/a/b", "/a/b", id="as it is"),
        pytest.param("/ä", "/ä", id="UTF-8 as it is"),
        pytest.param("/\udcff", "/%FF", id="bytes that are no UTF-8 say the same percent-encoded"),
    ],
)
def test_paths_and_queries_can_be_written(path, kept):
    asked = request("POST", "/")
    asked.path = asked.query = path
    found = unpack(kept_of(asked, b"", 0.0).pack())
    assert (found.path, found.query) == (kept, kept)


def test_who_called_and_what_event_it_was_are_kept():
    asked = request("POST", "/")
    asked.principal = Principal(
        "ada",
        tenant="acme",
        roles=frozenset({"b", "a"}),
        scopes=frozenset({"s"}),
        rate_class="gold",
        claims={"sub": "ada", "odd": object(), "n": [1, {"x": None}]},
        expires=9.0,
    )
    note_event(asked, Event("stripe", "evt", 3.0))
    again = unpack(kept_of(asked, b"", 0.0).pack()).request()
    principal = again.principal
    assert (principal.id, principal.tenant, principal.roles, principal.scopes) == (
        "ada",
        "acme",
        {"a", "b"},
        {"s"},
    )
    assert (principal.rate_class, principal.expires) == ("gold", 9.0)
    assert dict(principal.claims) == {"sub": "ada", "n": [1, {"x": None}]}
    assert event_of(again) == Event("stripe", "evt", 3.0)
    assert again.detached


def test_who_may_say_for_whom_it_speaks_is_kept():
    asked = request("POST", "/", headers={"X-Forwarded-For": "203.0.113.9"})
    asked.peer.trusted = True
    assert unpack(kept_of(asked, b"", 0.0).pack()).request().peer.trusted


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\x00garbage", id="no such form"),
        pytest.param(msgspec.msgpack.encode([1, 2, 3]), id="something else"),
        pytest.param(msgspec.msgpack.encode("text"), id="a text"),
    ],
)
def test_what_is_no_kept_request_is_said(payload):
    with pytest.raises(Unreadable):
        unpack(payload)


def test_what_a_newer_gateway_kept_is_refused():
    kept = kept_of(request("POST", "/"), b"", 0.0)
    kept.version = VERSION + 1
    with pytest.raises(Unreadable, match="newer"):
        unpack(kept.pack())


def test_what_an_older_form_lacked_has_its_default():
    full = msgspec.msgpack.decode(kept_of(request("POST", "/"), b"", 0.0).pack())
    assert unpack(msgspec.msgpack.encode(full[:10])).event_id == ""


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail_otherwise(payload):
    with contextlib.suppress(Unreadable):
        unpack(payload)


def test_a_field_by_its_name():
    kept = kept_of(request("POST", "/", headers={"X-One": "1"}), b"", 0.0)
    assert (kept.header("x-one"), kept.header("x-two")) == ("1", "")


def test_text_that_can_be_written():
    assert [clean("a"), clean("ä"), clean("\udcff")] == ["a", "ä", "?"]
