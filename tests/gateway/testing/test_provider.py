"""The provider of tests keeps to the rules that real ones have."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from gateway.testing.provider import provider

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
BACK = "https://app.test/callback"


@pytest.fixture
async def http():
    credentials = base64.b64encode(b"shop:a%20secret%20of%20the%20shop%27s").decode()
    async with aiohttp.ClientSession(headers={"Authorization": f"Basic {credentials}"}) as session:
        yield session


async def code_of(http, idp, **changes):
    asked = {
        "client_id": "shop",
        "response_type": "code",
        "redirect_uri": BACK,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changes,
    }
    async with http.get(f"{idp.url}/authorize", params=asked, allow_redirects=False) as answer:
        location = answer.headers.get("Location", "")
        return parse_qs(urlsplit(location).query)["code"][0] if answer.status == 302 else answer.status


async def tokens(http, idp, **form):
    async with http.post(f"{idp.url}/token", data=form) as answer:
        return answer.status, await answer.json(content_type=None)


def exchanged(http, idp, code, **changes):
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER, "redirect_uri": BACK}
    return tokens(http, idp, **{**form, **changes})


async def test_a_code_is_good_once_and_with_its_verifier_only(http):
    async with provider() as idp:
        assert await code_of(http, idp, code_challenge_method="plain") == 400
        assert await code_of(http, idp, client_id="other") == 400
        for changes in ({"code_verifier": "w" * 43}, {"redirect_uri": "https://evil.test/"}):
            assert await exchanged(http, idp, await code_of(http, idp), **changes) == (400, {"error": "invalid_grant"})
        code = await code_of(http, idp)
        assert (await exchanged(http, idp, code))[0] == 200
        assert (await exchanged(http, idp, code))[0] == 400


async def test_a_refresh_token_that_comes_twice_ends_its_family(http):
    async with provider() as idp:
        _, first = await exchanged(http, idp, await code_of(http, idp))
        form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
        status, second = await tokens(http, idp, **form)
        assert status == 200
        assert (await tokens(http, idp, **form))[0] == 400
        assert (await tokens(http, idp, **{**form, "refresh_token": second["refresh_token"]}))[0] == 400
        assert idp.reuses == 1


async def test_only_its_client_may_ask():
    async with provider() as idp, aiohttp.ClientSession() as stranger:
        assert (await tokens(stranger, idp, grant_type="refresh_token"))[0] == 401
        async with stranger.post(f"{idp.url}/introspect", data={"token": idp.opaque()}) as answer:
            assert answer.status == 401
