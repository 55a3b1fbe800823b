"""Where tokens stand, and the answers of RFC 6750 and RFC 9728."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.plugin.bearer import Ambiguous, Places, ProtectedResource, Refusals, take_out, token_of
from gateway.testing import request

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


# -- answers -----------------------------------------------------------------------------------------------------------


def test_a_refusal_says_no_more_than_its_sender_needs():
    error = Refusals("orders").invalid("aud names somebody else")
    assert (error.status, error.code, error.reason) == (401, "invalid_token", "aud names somebody else")
    ((name, challenge),) = error.headers
    assert (name, challenge) == (
        "WWW-Authenticate",
        'Bearer realm="orders", error="invalid_token", error_description="The token is not valid here"',
    )
    assert "expired" in Refusals("orders").invalid("x", expired=True).headers[0][1]


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        ("https://api.test", "/.well-known/oauth-protected-resource"),
        ("https://api.test/", "/.well-known/oauth-protected-resource"),
        ("https://api.test/v1/orders", "/.well-known/oauth-protected-resource/v1/orders"),
    ],
)
async def test_metadata_of_a_resource(resource, path):
    made = ProtectedResource(resource=resource, scopes=("read",), name="Orders")
    assert (made.path, made.url) == (path, f"https://api.test{path}")
    assert Refusals("r", made).challenge == f'Bearer realm="r", resource_metadata="https://api.test{path}"'
    endpoint = made.endpoint(["https://id.test"], EVERYWHERE)
    answer = await endpoint.handler(request(path=path))
    assert json.loads(answer.body.whole) == {
        "resource": resource,
        "authorization_servers": ["https://id.test"],
        "bearer_methods_supported": ["header", "query"],
        "scopes_supported": ["read"],
        "resource_name": "Orders",
    }
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("resource", ["https://api.test/?a", "https://api.test/#a", "api.test", 'https://a.test/"'])
def test_what_is_no_resource(resource):
    with pytest.raises(ValidationError):
        ProtectedResource(resource=resource)
