"""The gateway as a client: how it says who it is, and what it makes of answers."""

from __future__ import annotations

import base64
from urllib.parse import parse_qs

import pytest
from pydantic import ValidationError

from gateway.plugin.oauth import OAuthClient, ask
from gateway.testing import ports


def test_basic_credentials_are_encoded_before_they_are_joined():
    headers, body = OAuthClient(id="a:b", secret="p%/ß").form({"token": "x y"})
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"a%3Ab:p%25%2F%C3%9F"
    assert parse_qs(body.decode()) == {"token": ["x y"]}


def test_credentials_in_the_form():
    headers, body = OAuthClient(id="a", secret="s&=", auth="client_secret_post").form({})
    assert "Authorization" not in headers
    assert parse_qs(body.decode()) == {"client_id": ["a"], "client_secret": ["s&="]}


def test_a_public_client():
    headers, body = OAuthClient(id="a", auth="none").form({})
    assert "Authorization" not in headers
    assert parse_qs(body.decode()) == {"client_id": ["a"]}


@pytest.mark.parametrize("given", [{"id": "a"}, {"id": "a", "secret": "s", "auth": "none"}, {"secret": "s"}])
def test_what_cannot_be_meant(given):
    with pytest.raises(ValidationError):
        OAuthClient(**given)


@pytest.mark.parametrize(
    ("body", "document", "error"),
    [
        pytest.param('{"error": "invalid_grant"}', {"error": "invalid_grant"}, "invalid_grant", id="an error"),
        pytest.param('{"error": "a\\nb"}', {"error": "a\nb"}, "", id="an error that would break the log"),
        pytest.param("<html>", {}, "", id="a page"),
        pytest.param("[1]", {}, "", id="no object"),
        pytest.param("[" * 100_000, {}, "", id="endless depth"),
    ],
)
async def test_an_answer(body, document, error):
    given = ports()
    given.calls.answer("https://id.test/token", 400, body)
    reply = await ask(given.client(), "https://id.test/token", OAuthClient(id="a", auth="none"), {}, timeout=1)
    assert (reply.status, reply.document, reply.error) == (400, document, error)
    assert given.calls.calls[0].method == "POST"
