"""The provider: what is believed of its metadata and of its answers."""

from __future__ import annotations

import json

import pytest

from gateway.errors import ConnectTimeout
from gateway.plugin import Context
from gateway.plugin.identity import Unacceptable
from gateway.plugin.oauth import Reply
from gateway.services.jose.source import IssuerKeys
from gateway.testing import ports, settings_of
from plugins.oidc import Oidc
from plugins.oidc.errors import LoginFailed, ProviderUnavailable
from plugins.oidc.provider import Provider

ISSUER = "https://id.test"
NOW = 1_800_000_000
METADATA = {
    "issuer": ISSUER,
    "jwks_uri": f"{ISSUER}/jwks",
    "authorization_endpoint": f"{ISSUER}/authorize?tenant=a",
    "token_endpoint": f"{ISSUER}/token",
}


@pytest.fixture
async def opening(signer):
    """``await opening(metadata)`` → the provider and the test's ports."""
    opened = []

    async def make(**metadata):
        given = ports()
        given.calls.answer(f"{ISSUER}/.well-known/openid-configuration", body=json.dumps({**METADATA, **metadata}))
        given.calls.answer(f"{ISSUER}/jwks", body=json.dumps(signer.jwks("rsa")))
        session = {"keys": ["a key of sixteen bytes"]}
        settings = settings_of(Oidc, {"issuer": ISSUER, "client": {"id": "shop", "secret": "s"}, "session": session})
        context = Context(given, route="test", plugin="oidc", id="oidc")
        keys = IssuerKeys(context, ISSUER, settings.algorithms, settings.fetch)
        await keys.open(1)
        opened.append(keys)
        return Provider(settings, context, keys), given

    yield make
    for keys in opened:
        await keys.close()


async def test_a_login_page_with_parameters_of_its_own(opening):
    provider, _ = await opening()
    assert provider.login_url("https://app.test/cb", "s", "n", "v").startswith(f"{ISSUER}/authorize?tenant=a&")


@pytest.mark.parametrize(
    "url", ["http://id.test/authorize", "javascript:alert(1)", 7, None, "https://id.test/\r\nSet-Cookie: x"]
)
async def test_an_endpoint_that_is_not_to_be_trusted(opening, url):
    provider, _ = await opening(authorization_endpoint=url)
    with pytest.raises(ProviderUnavailable):
        provider.login_url("https://app.test/cb", "s", "n", "v")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param({"status": 500}, ProviderUnavailable, id="an error"),
        pytest.param({"status": 429}, ProviderUnavailable, id="asked too often"),
        pytest.param({"status": 401, "body": '{"error": "invalid_client"}'}, ProviderUnavailable, id="our own mistake"),
        pytest.param({"status": 400, "body": '{"error": "invalid_grant"}'}, LoginFailed, id="the code is not good"),
        pytest.param({"body": "<html>"}, LoginFailed, id="a page"),
        pytest.param({"body": '{"access_token": "a"}'}, LoginFailed, id="no ID token"),
        pytest.param({"body": '{"access_token": 7, "id_token": "x"}'}, LoginFailed, id="a token that is none"),
        pytest.param({"body": '{"access_token": "a\\n", "id_token": "x"}'}, LoginFailed, id="one that splits a field"),
        pytest.param(
            {"body": '{"access_token": "a", "token_type": "DPoP", "id_token": "x"}'}, LoginFailed, id="of another kind"
        ),
        pytest.param({"error": ConnectTimeout(reason="no answer")}, ProviderUnavailable, id="no answer"),
    ],
)
async def test_answers_to_a_code(opening, answer, error):
    provider, given = await opening()
    given.calls.answer(f"{ISSUER}/token", **answer)
    with pytest.raises(error):
        await provider.exchange("code", "verifier", "https://app.test/cb", "nonce")


@pytest.mark.parametrize(
    ("said", "expires"),
    [
        (300, NOW + 300),
        ("300", NOW + 300),
        (0.5, NOW + 0.5),
        (0, 0),
        (-1, 0),
        (True, 0),
        ("x", 0),
        (None, 0),
        (1e12, 0),
    ],
)
async def test_how_long_an_access_token_lives(opening, signer, said, expires):
    provider, _ = await opening()
    document = {"access_token": "a", "id_token": signer.token(aud="shop"), "expires_in": said}
    granted = await provider._granted(Reply(200, document), nonce=None, subject="ada")
    assert (granted.expires, granted.refresh, granted.claims["sub"]) == (expires, "", "ada")


async def test_claims_that_have_served_their_purpose_are_not_kept(opening, signer):
    provider, _ = await opening()
    document = {"access_token": "a", "id_token": signer.token(aud="shop", nonce="n", jti="j", email="e")}
    granted = await provider._granted(Reply(200, document), nonce="n", subject=None)
    assert set(granted.claims) == {"iss", "aud", "sub", "iat", "exp", "email"}


async def test_a_refresh_without_an_id_token_keeps_the_claims(opening):
    provider, _ = await opening()
    granted = await provider._granted(
        Reply(200, {"access_token": "a", "refresh_token": "r"}), nonce=None, subject="ada"
    )
    assert (granted.claims, granted.refresh) == (None, "r")
    with pytest.raises(Unacceptable):
        await provider._granted(Reply(200, {"access_token": "a"}), nonce="n", subject=None)
