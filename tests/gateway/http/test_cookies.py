"""Cookies: found by name however they are spread over fields, taken out alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.cookies import cookies, drop_cookies
from gateway.testing import request

TEXT = st.text('ab=; \t"', max_size=30)


def carrying(*lines):
    return request(headers=[("Cookie", line) for line in lines])


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        pytest.param([], [], id="no field"),
        pytest.param(["k=1"], ["1"], id="alone"),
        pytest.param(["a=0; k=1;b=2"], ["1"], id="among others"),
        pytest.param(["k=1; k=2"], ["1", "2"], id="twice in a field"),
        pytest.param(["k=1", "k=2"], ["1", "2"], id="twice in two"),
        pytest.param(["k=a=b=="], ["a=b=="], id="with equals signs"),
        pytest.param(["kk=1; xk=2; K=3"], [], id="names that only look like it"),
        pytest.param(["k"], [""], id="without a value"),
        pytest.param([" k = 1 "], ["1"], id="with spaces"),
    ],
)
def test_cookies(lines, found):
    assert cookies(carrying(*lines), "k") == found


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        pytest.param(["k=1"], [], id="alone"),
        pytest.param(["a=0; k=1; b=2"], ["a=0; b=2"], id="among others"),
        pytest.param(["k=1; a=0"], ["a=0"], id="the first"),
        pytest.param(["k=1", "a=0"], ["a=0"], id="in a field of its own"),
        pytest.param(["k=1;k=2"], [], id="all of them"),
    ],
)
def test_drop_cookies(lines, left):
    asked = carrying(*lines)
    drop_cookies(asked, "k".__eq__)
    assert asked.headers.getall("Cookie", []) == left


def test_nothing_is_copied_where_there_is_none():
    asked = carrying("a=1; b=2")
    drop_cookies(asked, "k".__eq__)
    assert not asked.edited


@given(st.lists(TEXT, max_size=3))
def test_what_was_dropped_is_not_found(lines):
    asked = carrying(*lines)
    others = cookies(asked, "b")
    drop_cookies(asked, "a".__eq__)
    assert cookies(asked, "a") == []
    assert cookies(asked, "b") == others
