"""The examples for well-known issuers, each with an access token of that issuer's shape, and with its ID token."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.plugin.document import plain
from gateway.plugin.yaml import compose
from gateway.testing import answering, exchange, origin, ports, request, running
from gateway.testing.provider import provider
from plugins.jwt import Jwt

EXAMPLES = Path(__file__).resolve().parents[2] / "config" / "examples"
ACCESS = {
    "auth0": {
        "aud": ["https://orders.example.com", "https://example.eu.auth0.com/userinfo"],
        "sub": "auth0|ada",
        "azp": "client",
        "scope": "openid read:orders",
        "permissions": ["read:orders"],
        "org_id": "acme",
        "https://orders.example.com/roles": ["admin"],
    },
    "cognito": {
        "sub": "ada",
        "aud": None,
        "client_id": "1example23456789",
        "token_use": "access",
        "scope": "read:orders",
        "cognito:groups": ["admin"],
    },
    "keycloak": {
        "aud": ["orders", "account"],
        "azp": "web",
        "typ": "Bearer",
        "scope": "read:orders",
        "realm_access": {"roles": ["admin"]},
        "preferred_username": "ada",
    },
    "entra": {
        "aud": "11111111-1111-1111-1111-111111111111",
        "sub": "pairwise",
        "oid": "ada",
        "tid": "acme",
        "ver": "2.0",
        "scp": "read:orders",
        "roles": ["admin"],
    },
}
FOR_SOMEBODY_ELSE = {
    "auth0": {"aud": "client"},
    "cognito": {"token_use": "id", "aud": "1example23456789", "client_id": None},
    "keycloak": {"typ": "ID"},
    "entra": {"ver": "1.0"},
}


async def outcome(signer, name, claims, target):
    text = (EXAMPLES / f"jwt-{name}.yaml").read_text()
    (plugin,) = plain(compose(text, name).root)["routes"][0]["plugins"]
    issuer = plugin["with"]["issuers"][0]["issuer"]
    given = ports()
    document = {"issuer": issuer, "jwks_uri": "https://keys.test/"}
    given.calls.answer(f"{issuer.rstrip('/')}/.well-known/openid-configuration", body=json.dumps(document))
    given.calls.answer("https://keys.test/", body=json.dumps(signer.jwks("rsa")))
    token = signer.token(iss=issuer, **claims)
    asked = request(headers={"Authorization": f"Bearer {token}"})
    return await exchange(Jwt, plugin["with"], asked, target, ports=given)


@pytest.mark.parametrize("name", ACCESS)
async def test_an_access_token_is_taken(signer, name):
    target = answering(200)
    response = await outcome(signer, name, ACCESS[name], target)
    assert response.status == 200, response.error.reason
    found = target.request.principal
    assert "ada" in found.id
    assert (found.roles, "read:orders" in found.scopes) == ({"admin"}, True)


@pytest.mark.parametrize("name", FOR_SOMEBODY_ELSE)
async def test_another_token_of_the_issuer_is_not(signer, name):
    assert (await outcome(signer, name, {**ACCESS[name], **FOR_SOMEBODY_ELSE[name]}, answering(200))).status == 401


@pytest.mark.parametrize("name", ACCESS)
async def test_with_a_live_issuer_over_real_connections(name):
    """The example as it stands, but for the addresses: discovery, keys, tokens of this issuer's shape, the target."""
    text = (EXAMPLES / f"jwt-{name}.yaml").read_text()
    issuer = plain(compose(text, name).root)["routes"][0]["plugins"][0]["with"]["issuers"][0]["issuer"]
    async with provider(path=urlsplit(issuer).path) as idp, origin(200, body="hi") as service:
        config = text.replace(issuer, idp.url).replace("http://127.0.0.1:9000", service.url)
        idp.shape = lambda claims: {**claims, **ACCESS[name]}
        async with running(config) as gateway:
            good = {"Authorization": f"Bearer {idp.token()}"}
            for _ in range(2):
                assert (await gateway.fetch("GET", "/", headers=good)).body == b"hi"
            idp.shape = lambda claims: {**claims, **ACCESS[name], **FOR_SOMEBODY_ELSE[name]}
            refused = await gateway.fetch("GET", "/", headers={"Authorization": f"Bearer {idp.token()}"})
            assert (refused.status, len(service.requests)) == (401, 2)
            found = gateway.exchanges[0].request.principal
            assert "ada" in found.id
            assert found.roles == {"admin"}
        assert dict(idp.calls) == {"/.well-known/openid-configuration": 1, "/jwks": 1}
