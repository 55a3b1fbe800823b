"""oidc over real connections: browsers, gateways, a provider that rotates refresh tokens, a Redis that they share."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from gateway.testing import origin, running
from gateway.testing.provider import Jar, provider

CONFIG = """
listeners: [{bind: 127.0.0.1:0}]
stores: {shared: "${STORE}", deadline: 1s}
defaults:
  plugins:
    - plugin: oidc
      with:
        issuer: ${ISSUER}
        client: {id: shop, secret: "a secret of the shop's"}
        session: {keys: [a key of thirty-two bytes or more], store: "${PLACE}", recheck: 0}
        claims_to_headers: {X-User: sub}
      when: {methods: [GET, POST]}
upstreams: {shop: {targets: ["${TARGET}"]}}
routes:
  - {name: shop, match: {path: /}, upstream: shop}
  - {name: admin, match: {path: /admin/}, upstream: shop%s}
"""
PAGE = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
SCRIPT = {"Sec-Fetch-Mode": "cors", "Accept": "application/json"}


class Browser:
    def __init__(self, gateway, http, jar=None):
        self.gateway = gateway
        self.http = http
        self.jar = jar or Jar()

    async def ask(self, path, headers=PAGE, method="GET"):
        answer = await self.gateway.fetch(method, path, headers={**headers, "Cookie": f"theirs=1; {self.jar.header}"})
        self.jar.take(answer.headers)
        return answer

    async def login(self, path="/"):
        begun = await self.ask(path)
        async with self.http.get(URL(begun.headers["Location"], encoded=True), allow_redirects=False) as answer:
            parts = urlsplit(answer.headers["Location"])
        assert f"{parts.scheme}://{parts.netloc}" == self.gateway.url
        return await self.ask(f"{parts.path}?{parts.query}")


@contextlib.asynccontextmanager
async def shop(gateways=1, store="memory://", place="cookie", **attributes):
    """Gateways, a service, the provider, and a client for browsers."""
    async with contextlib.AsyncExitStack() as stack:
        idp = await stack.enter_async_context(provider(**attributes))
        service = await stack.enter_async_context(origin(200, body="hi"))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        variables = {"TARGET": service.url, "ISSUER": idp.url, "STORE": store, "PLACE": place}
        made = [await stack.enter_async_context(running(CONFIG % "", **variables)) for _ in range(gateways)]
        yield made, service, idp, http, variables


async def test_a_visit_from_login_to_logout():
    async with shop() as ((gateway,), service, idp, http, variables):
        browser = Browser(gateway, http)
        browser.jar.cookies["sidegate"] = "old"
        assert (await browser.ask("/", {**SCRIPT, "X-User": "root"}, "PUT")).status == 200, "a `when:` lets it past"
        assert "X-User" not in service.requests[-1].headers
        assert service.requests[-1].headers["Cookie"] == "theirs=1"
        told = await browser.ask("/", SCRIPT)
        assert (told.status, told.headers["Content-Type"]) == (401, "application/problem+json")
        back = await browser.login("/admin/?page=2")
        assert (back.status, back.headers["Location"]) == (303, "/admin/?page=2")
        assert list(browser.jar.cookies) == ["sidegate"], "without TLS there is no __Host-"
        for path in ("/admin/?page=2", "/"):
            assert (await browser.ask(path, {**PAGE, "X-User": "root"})).body == b"hi"
            assert service.requests[-1].headers.getall("X-User") == ["ada"]
            assert service.requests[-1].headers["Cookie"] == "theirs=1"
        assert (idp.calls["/jwks"], idp.calls["/token"]) == (1, 1), "both routes are one client"
        await gateway.reload(CONFIG % ", timeout: {total: 5s}", **variables)
        assert (await browser.ask("/")).status == 200
        copy = Browser(gateway, http)
        copy.jar.cookies = dict(browser.jar.cookies)
        gone = await browser.ask("/oauth2/logout")
        assert gone.status == 303
        assert gone.headers["Location"].startswith(f"{idp.url}/end_session?")
        assert (await copy.ask("/", SCRIPT)).status == 401
        wrong = await browser.ask("/oauth2/callback?state=x&code=y")
        assert (wrong.status, wrong.headers["Content-Type"]) == (400, "text/html; charset=utf-8")
        assert (await browser.ask("/oauth2/callback", method="POST")).status == 405
        seen = [exchange for exchange in await gateway.ended(10) if exchange.request.principal is not None]
        assert {exchange.request.principal.id for exchange in seen} == {"ada"}


async def test_two_gateways_and_one_redis_never_log_a_user_out(redis_server):
    """Access tokens of a second: each batch of fifty, spread over two gateways, meets one that is due."""
    for place in ("cookie", "shared"):
        async with shop(2, redis_server.url, place, expires_in=1) as (gateways, service, idp, http, _):
            one = Browser(gateways[0], http)
            await one.login()
            two = Browser(gateways[1], http, one.jar)
            async with asyncio.timeout(30):
                while idp.calls["/token"] < 2:
                    answers = await asyncio.gather(*(each.ask("/", SCRIPT) for each in (one, two) for _ in range(25)))
                    assert {answer.status for answer in answers} == {200}
            assert idp.reuses == 0
            assert len(service.requests) >= 50
            await one.ask("/oauth2/logout")
            assert (await two.ask("/", SCRIPT)).status == 401
