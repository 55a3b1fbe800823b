"""Tokens of the provider. What is refused is in the attack tables of `test_login.py` and `test_logout.py`."""

from __future__ import annotations

import base64
import hashlib
import json
from types import SimpleNamespace

import pytest

from gateway.plugin import Context
from gateway.plugin.identity import Unacceptable
from gateway.services.jose.keys import from_jwks
from gateway.services.jose.source import IssuerKeys
from gateway.testing import ports
from plugins.oidc.tokens import EVENT, Tokens

NOW = 1_800_000_000
FETCH = SimpleNamespace(refresh=600.0, cooldown=10.0, keep=86400.0, timeout=5.0)


def tokens(signer, *kids, algorithms=("RS256",)):
    context = Context(ports(), route="test", plugin="oidc", id="oidc")
    static = from_jwks(signer.jwks(*kids), algorithms)[0]
    return Tokens(IssuerKeys(context, "https://id.test", algorithms, FETCH, static=static), "shop", 30.0)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="the usual"),
        pytest.param({"aud": ["shop", "other"], "azp": "shop"}, id="several audiences, and we are who it is for"),
        pytest.param({"exp": NOW - 29}, id="expired within the leeway"),
        pytest.param({"iat": NOW + 30}, id="issued in the future within the leeway"),
    ],
)
async def test_a_good_id_token(signer, changes):
    token = signer.token(**{"aud": "shop", "nonce": "n", **changes})
    assert (await tokens(signer, "rsa").id_token(token, NOW, nonce="n"))["sub"] == "ada"
    assert (await tokens(signer, "rsa").id_token(token, NOW, nonce=None))["sub"] == "ada"


@pytest.mark.parametrize(
    ("kid", "alg", "make"), [("rsa", "RS256", "sha256"), ("p384", "ES384", "sha384"), ("ed", "EdDSA", "sha512")]
)
async def test_the_hash_of_the_access_token(signer, kid, alg, make):
    digest = hashlib.new(make, b"access").digest()
    half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
    judge = tokens(signer, kid, algorithms=(alg,))
    token = signer.token(kid=kid, alg=alg, aud="shop", at_hash=half)
    await judge.id_token(token, NOW, nonce=None, access="access")
    with pytest.raises(Unacceptable, match="another access token"):
        await judge.id_token(token, NOW, nonce=None, access="other")


async def test_an_algorithm_of_the_same_key_that_was_not_agreed_on(signer):
    with pytest.raises(Unacceptable, match="alg"):
        await tokens(signer, "rsa").id_token(signer.token(alg="PS256", aud="shop"), NOW, nonce=None)


@pytest.mark.parametrize("typ", ["logout+jwt", "JWT", None])
async def test_a_good_logout_token(signer, typ):
    claims = {**signer.claims(aud="shop"), "events": {EVENT: {}}}
    token = signer.token(json.loads(json.dumps(claims)), header={"typ": typ})
    assert (await tokens(signer, "rsa").logout_token(token, NOW))["sub"] == "ada"
