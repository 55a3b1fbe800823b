"""jwt over real connections: a gateway, a service behind it, and an issuer that changes its keys and goes down."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from gateway.testing import origin, running

CONFIG = """
listeners: [{bind: 127.0.0.1:0}]
upstreams: {orders: {targets: ["${TARGET}"]}}
routes:
  - name: orders
    upstream: orders
    plugins:
      - plugin: jwt
        with:
          issuers:
            - {issuer: "${ISSUER}", audience: orders, algorithms: [RS256], %s, fetch: {refresh: 10s, cooldown: 1s}}
          claims_to_headers: {X-User: sub}
"""
BY_URL = CONFIG % 'jwks: {url: "${ISSUER}/jwks"}'
BY_DISCOVERY = CONFIG % "discovery: true"


class Issuer:
    """Serves its keys over HTTP, and signs."""

    def __init__(self) -> None:
        self.url = ""
        self.down = False
        self.fetches = 0
        self.keys = {"one": rsa.generate_private_key(65537, 2048)}

    async def jwks(self, _request: web.Request) -> web.Response:
        self.fetches += 1
        if self.down:
            raise web.HTTPServiceUnavailable
        keys = [{**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid} for kid, key in self.keys.items()]
        return web.json_response({"keys": keys})

    async def discovery(self, _request: web.Request) -> web.Response:
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/jwks"})

    def token(self, kid: str = "one", **more: Any) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": "orders", "sub": "ada", "iat": now, "exp": now + 300, **more}
        return jwt.encode(claims, self.keys[kid], "RS256", {"kid": kid})


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    made = Issuer()
    app = web.Application()
    app.router.add_get("/jwks", made.jwks)
    app.router.add_get("/.well-known/openid-configuration", made.discovery)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        made.url = f"http://{host}:{port}"
        yield made
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def guarded(issuer: Issuer, config: str = BY_URL) -> AsyncIterator[tuple[Any, Any]]:
    async with origin(200, body="hi") as service, running(config, TARGET=service.url, ISSUER=issuer.url) as gateway:
        yield gateway, service


def bearer(token: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **more}


@pytest.mark.parametrize("config", [BY_URL, BY_DISCOVERY], ids=["jwks", "discovery"])
async def test_who_gets_to_the_service(issuer: Issuer, config: str) -> None:
    async with guarded(issuer, config) as (gateway, service):
        token = issuer.token()
        for _ in range(3):
            answer = await gateway.fetch("GET", "/", headers=bearer(token, **{"X-User": "root", "x_user": "root"}))
            assert (answer.status, answer.body) == (200, b"hi")
        sent = service.requests[-1].headers
        assert (sent.getall("X-User"), sent.getall("X_User", [])) == (["ada"], [])
        assert issuer.fetches == 1
        for headers in ({}, bearer(token[:-2]), bearer(issuer.token(aud="billing")), bearer(issuer.token(exp=1))):
            refused = await gateway.fetch("GET", "/", headers=headers)
            assert (refused.status, refused.headers["Content-Type"]) == (401, "application/problem+json")
            assert refused.headers["WWW-Authenticate"].startswith('Bearer realm="orders"')
        twice = await gateway.fetch("GET", "/", headers=[*bearer(token).items(), *bearer(token).items()])
        assert twice.status == 400
        assert len(service.requests) == 3
        exchanges = await gateway.ended(8)
        assert exchanges[0].request.principal.id == "ada"


async def test_an_issuer_that_is_down_at_start_and_comes_back(issuer: Issuer) -> None:
    issuer.down = True
    async with guarded(issuer) as (gateway, service):
        refused = await gateway.fetch("GET", "/", headers=bearer(issuer.token()))
        assert (refused.status, len(service.requests)) == (503, 0)
        issuer.down = False
        for _ in range(200):  # the gateway asks again by itself, first after a second
            answer = await gateway.fetch("GET", "/", headers=bearer(issuer.token()))
            if answer.status == 200:
                break
            await asyncio.sleep(0.05)
        assert answer.status == 200


async def test_a_reload_keeps_keys_and_remembered_tokens(issuer: Issuer) -> None:
    async with guarded(issuer) as (gateway, service):
        token = issuer.token()
        assert (await gateway.fetch("GET", "/", headers=bearer(token))).status == 200
        issuer.down = True
        await gateway.reload(
            BY_URL.replace("orders: {targets", "orders: {balance: random, targets"),
            TARGET=service.url,
            ISSUER=issuer.url,
        )
        assert (await gateway.fetch("GET", "/", headers=bearer(token))).status == 200
        assert (await gateway.fetch("GET", "/", headers=bearer(issuer.token(jti="new")))).status == 200
        assert issuer.fetches == 1
