"""A token taken apart, and what cannot be."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.services.jose.token import Malformed, parse


def b64(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def made(header=None, claims=None, signature=b"s"):
    given_header = {"alg": "RS256"} if header is None else header
    return f"{b64(given_header)}.{b64({} if claims is None else claims)}.{b64(signature)}"


def test_its_parts():
    text = made({"alg": "RS256", "kid": "k", "typ": "application/AT+JWT"}, {"a": [1]}, b"sig")
    token = parse(text)
    assert (token.algorithm, token.kid, token.typ, token.claims) == ("RS256", "k", "at+jwt", {"a": [1]})
    assert (token.signed, token.signature) == (text.rpartition(".")[0].encode(), b"sig")


def test_no_typ_is_jwt():
    assert parse(made()).typ == "jwt"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("", "three parts", id="nothing"),
        pytest.param("a.b.c.d.e", "JWE", id="five parts"),
        pytest.param(".".join("abcdef"), "three parts", id="six parts"),
        pytest.param("é.a.b", "characters", id="no ASCII"),
        pytest.param(made({"alg": "none"}), "not signed", id="none"),
        pytest.param(made(signature=b""), "not signed", id="no signature"),
        pytest.param(made({}), "no alg", id="no alg"),
        pytest.param(made([]), "no JSON object", id="a header that is a list"),
        pytest.param(made(b"\xff"), "not JSON", id="a header that is not UTF-8"),
        pytest.param(made(b'{"alg":"RS256","alg":"none"}'), "twice", id="alg twice"),
        pytest.param(made(claims=b'{"a":{"b":1,"b":2}}'), "twice", id="a name twice, deep within"),
        pytest.param(made(claims=b'{"a":Infinity}'), "Infinity", id="Infinity"),
        pytest.param(made(claims=b'{"a":' + b"9" * 5000 + b"}"), "not JSON", id="a number of 5000 digits"),
        pytest.param(made(claims=b"[" * 9000), "not JSON", id="nested without end"),
        pytest.param(made() + "=", "base64url", id="padding"),
        pytest.param(made()[:-1] + "+", "base64url", id="the other alphabet"),
        pytest.param(made()[:-1] + "\n", "base64url", id="a line break"),
        pytest.param(made().replace(".", " .", 1), "base64url", id="a space"),
    ],
)
def test_malformed(text, why):
    with pytest.raises(Malformed, match=why):
        parse(text)


@given(st.text(alphabet='abcAB01-_.=+/ {}"', max_size=60))
def test_any_text_is_a_token_or_malformed(text):
    with contextlib.suppress(Malformed):
        parse(text)


@given(st.binary(min_size=1, max_size=64), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnop0123456789-_"))
def test_a_signature_has_one_spelling(signature, letter):
    """Otherwise a token could be spelled anew after it was revoked by its text."""
    text = made(signature=signature)
    changed = text[:-1] + letter
    with contextlib.suppress(Malformed):
        assert changed == text or parse(changed).signature != signature
