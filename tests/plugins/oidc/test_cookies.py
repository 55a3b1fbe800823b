"""Cookies: spread, put together, and taken out with all that look like them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.testing import request
from plugins.oidc.cookies import CHUNK, MOST_CHUNKS, Cookies, TooLarge, decoded

COOKIES = Cookies("sidegate", "lax")


def sent(lines):
    """The ``Cookie`` field of a browser that was given these."""
    pairs = [line.partition(";")[0] for line in lines if "Max-Age=0" not in line]
    return request(headers={"Cookie": "; ".join(pairs)})


@given(st.binary(min_size=1, max_size=12_000), st.booleans())
def test_what_is_written_is_read(value, secure):
    lines = COOKIES.session(value, None, 60, secure=secure)
    assert all(len(line) <= 4096 for line in lines)
    asked = sent(lines)
    found = COOKIES.take(asked, secure=secure)
    assert decoded(found.session) == value
    assert found.parts == len(lines)
    assert "Cookie" not in asked.headers


def test_more_than_fits_is_not_written():
    with pytest.raises(TooLarge):
        COOKIES.session(b"x" * CHUNK * MOST_CHUNKS, None, 60, secure=True)


def test_parts_of_a_longer_one_before_go():
    before = COOKIES.take(sent(COOKIES.session(b"x" * 9000, None, 60, secure=True)), secure=True)
    lines = COOKIES.session(b"short", before, 60, secure=True)
    assert [line.partition("=")[0] for line in lines if "Max-Age=0" in line] == [
        f"__Host-sidegate.{number}" for number in range(1, before.parts)
    ]


@pytest.mark.parametrize(
    ("cookie", "session", "parts"),
    [
        pytest.param("__Host-sidegate=ab", "ab", 1, id="one"),
        pytest.param("__Host-sidegate.1=cd; __Host-sidegate=ab", "abcd", 2, id="in any order"),
        pytest.param("__Host-sidegate=ab; __Host-sidegate.2=ef", "", 3, id="one is missing"),
        pytest.param("__Host-sidegate.1=cd", "", 2, id="the first is missing"),
        pytest.param("__Host-sidegate=ab; __Host-sidegate=cd", "", 1, id="two of a name"),
        pytest.param("__Host-sidegate.01=ab; __Host-sidegate.10=cd", "", 0, id="another spelling of a number"),
        pytest.param("__Host-sidegate.x=ab; sidegate=cd", "", 0, id="what only looks like it"),
        pytest.param("theirs=1", "", 0, id="another's"),
    ],
)
def test_what_is_read(cookie, session, parts):
    found = COOKIES.take(request(headers={"Cookie": cookie}), secure=True)
    assert (found.session, found.parts) == (session, parts)


@pytest.mark.parametrize(
    ("cookie", "left"),
    [
        ("a=1; __Host-sidegate=x; b=2", "a=1; b=2"),
        ("__Host-sidegate-login-1=x; __Host-sidegate.1=y; sidegate=z", None),
        pytest.param("__host-SIDEGATE-anything=1; a=1", "a=1", id="in other letters"),
        pytest.param("sidegate_of_theirs=1", None, id="a name that begins like ours is ours"),
        pytest.param("side=1; gate=2", "side=1; gate=2", id="others"),
    ],
)
def test_what_the_target_gets(cookie, left):
    asked = request(headers={"Cookie": cookie})
    COOKIES.take(asked, secure=True)
    assert asked.headers.get("Cookie") == left


def test_without_tls_there_is_no_prefix_and_no_secure():
    (line,) = COOKIES.session(b"x", None, 60, secure=False)
    assert line == "sidegate=eA; Path=/; HttpOnly; SameSite=Lax; Max-Age=60"
    assert COOKIES.take(request(headers={"Cookie": "__Host-sidegate=eA"}), secure=False).session == ""


def test_a_login_is_lax_whatever_the_session_is():
    embedded = Cookies("sidegate", "none")
    assert "SameSite=None" in embedded.session(b"x", None, 60, secure=True)[0]
    assert "SameSite=Lax" in embedded.login("1", b"x", 60, secure=True)


@pytest.mark.parametrize("text", ["é", "a", "a b", "a=b", "a+/b", "\0"])
def test_what_is_none_of_ours(text):
    assert decoded(text) is None
