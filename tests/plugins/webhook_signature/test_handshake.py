"""Handshakes: known by what is said of them, answered as is said, and nothing else."""

import hashlib
import hmac
import json

import pytest

from gateway.testing import request
from plugins.webhook_signature.handshake import Handshake, answered
from plugins.webhook_signature.key import SecretKey
from plugins.webhook_signature.look import Look
from plugins.webhook_signature.members import Members
from plugins.webhook_signature.scheme import Challenge

KEY = SecretKey(b"secret", "sha256")


def answer(challenge, body=b"", method="POST", path="/", *, verified=True):
    asked = request(method, path, body=body)
    look = Look(asked, body, Members([("type",), ("token",)]))
    return answered([Handshake(Challenge.model_validate(challenge))], look, KEY, verified=verified)


PING = {"when": {"{json.type}": "ping"}, "json": {"type": 1, "text": "pong"}}
ECHO = {"echo": "{json.token}", "text": "={token}="}


@pytest.mark.parametrize(
    ("challenge", "given", "body"),
    [
        pytest.param(PING, {"body": b'{"type":"ping"}'}, b'{"type": 1, "text": "pong"}', id="JSON"),
        pytest.param(ECHO, {"body": b'{"token":"abc"}'}, b"=abc=", id="an echo"),
        pytest.param({"body": "a=[0-9]+", "text": "ok"}, {"body": b"a=12"}, b"ok", id="a body"),
        pytest.param(
            {"method": "GET", "verified": False, "echo": "{query.t}", "text": "{token}"},
            {"method": "GET", "path": "/?t=x", "verified": False},
            b"x",
            id="not signed",
        ),
    ],
)
def test_answers(challenge, given, body):
    assert answer(challenge, **given).body.whole == body


@pytest.mark.parametrize(
    ("challenge", "given"),
    [
        pytest.param(PING, {"body": b'{"type":"pong"}'}, id="something else"),
        pytest.param(PING, {"body": b"ping"}, id="no JSON"),
        pytest.param(PING, {"body": b'{"type":"ping"}', "method": "GET"}, id="another method"),
        pytest.param(PING, {"body": b'{"type":"ping"}', "verified": False}, id="not yet verified"),
        pytest.param(ECHO, {"body": b'{"token":"a b"}'}, id="a token with a blank"),
        pytest.param(ECHO, {"body": b'{"token":"<b>"}'}, id="a token of markup"),
        pytest.param(ECHO, {"body": b'{"token":"v0:1:{}"}'}, id="a token that could be signed"),
        pytest.param(ECHO, {"body": b'{"token":"' + b"a" * 513 + b'"}'}, id="a long token"),
        pytest.param(ECHO, {"body": b'{"token":"a\\n"}'}, id="a token with a line end"),
        pytest.param({"body": "a=[0-9]+", "text": "ok"}, {"body": b"a=12&b"}, id="more than the body"),
    ],
)
def test_what_is_no_handshake(challenge, given):
    assert answer(challenge, **given) is None


def test_a_hash_is_made_with_the_key_and_a_token_is_not_filled_in_twice():
    challenge = {"echo": "{json.token}", "json": {"a": "{token}{hmac_hex}"}}
    made = json.loads(answer(challenge, b'{"token":"abc"}').body.whole)
    assert made == {"a": "abc" + hmac.new(b"secret", b"abc", hashlib.sha256).hexdigest()}
