"""Where tokens stand. The refusals are in `test_jwt.py`, with their answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.testing import request
from plugins.jwt.places import Ambiguous, take_out, token_of
from plugins.jwt.settings import Places

EVERYWHERE = Places(header="Authorization", cookie="t", query="t")


@pytest.mark.parametrize(
    ("places", "headers", "path", "token"),
    [
        pytest.param(Places(), {"Authorization": "Bearer abc"}, "/", "abc", id="the usual"),
        pytest.param(Places(), {"Authorization": "\tBEARER  abc "}, "/", "abc", id="white space and case"),
        pytest.param(Places(), {"Authorization": "Bearerabc"}, "/", None, id="another scheme"),
        pytest.param(Places(header="X-T"), {"X-T": "abc"}, "/", "abc", id="a field without scheme"),
        pytest.param(Places(header="X-T"), {"X-T": "Bearer abc"}, "/", "abc", id="a field with scheme"),
        pytest.param(Places(header="X-T"), {"Authorization": "Bearer abc"}, "/", None, id="not the field"),
        pytest.param(EVERYWHERE, {"Cookie": 'x=1;t="abc"'}, "/", "abc", id="a quoted cookie"),
        pytest.param(EVERYWHERE, {"Cookie": "tt=1; xt=2; t="}, "/", None, id="other cookies, an empty one"),
        pytest.param(EVERYWHERE, {}, "/?x=1&t=a%2Eb", "a.b", id="an encoded parameter"),
        pytest.param(EVERYWHERE, {}, "/?t=&t", None, id="empty parameters"),
    ],
)
def test_token_of(places, headers, path, token):
    assert token_of(request(path=path, headers=headers), places) == token


@given(st.text(alphabet='t=;&%74 "aB', max_size=40), st.text(alphabet='t=;&%74 "aB', max_size=40))
def test_what_is_taken_out_is_found_no_more(cookie, query):
    asked = request(headers={"Cookie": cookie, "Authorization": "Bearer abc"}, path=f"/?{query}")
    take_out(asked, EVERYWHERE)
    try:
        assert token_of(asked, EVERYWHERE) is None
    except Ambiguous as error:
        raise AssertionError(error.reason) from error
