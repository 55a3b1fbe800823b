"""A browser in front of `oidc` and a real provider behind it, for tests of sessions without a gateway's sockets."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from yarl import URL

from gateway.chain import compose
from gateway.http import Response
from gateway.http.problem import Problems
from gateway.services.client import Client
from gateway.testing import answering, opened, ports, request
from gateway.testing.provider import Jar, Provider, provider
from plugins.oidc import Oidc

KEY = "a key of thirty-two bytes or more"
PAGE = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html,*/*;q=0.8"}
SCRIPT = {"Sec-Fetch-Mode": "cors", "Accept": "application/json"}
HOST = "app.test"


class Browser:
    """One user's, with its own cookies."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.jar = Jar()

    async def ask(
        self, path: str, headers: dict[str, str] = PAGE, *, method: str = "GET", body: str = "", host: str = HOST
    ) -> Response:
        """A request to the gateway, at an endpoint of the plugin's or at the route."""
        given = {**headers, **({"Cookie": self.jar.header} if self.jar.cookies else {})}
        asked = request(method, path, headers=given, body=body, scheme="https", host=host)
        handler = self.shop.endpoint(path, method)
        if handler is None:
            response = await self.shop.live(asked, self.shop.target)
        else:
            response = await handler(asked)
        self.jar.take(response.headers)
        return response

    async def consent(self, location: str) -> str:
        """Go to the provider; the path of the callback that it sends back to."""
        async with self.shop.http.get(URL(location, encoded=True), allow_redirects=False) as answer:
            assert answer.status == 302, await answer.text()
            parts = urlsplit(answer.headers["Location"])
            return f"{parts.path}?{parts.query}"

    async def login(self, path: str = "/") -> Response:
        """From a page to the provider and back."""
        begun = await self.ask(path)
        assert begun.status == 302, begun.error
        return await self.ask(await self.consent(begun.headers["Location"]))


class Shop:
    """The plugin, open, between browsers and a provider."""

    def __init__(self, live: Any, idp: Provider, http: aiohttp.ClientSession) -> None:
        self.live = live
        self.idp = idp
        self.http = http
        self.target = answering(200, body="hello")
        self.clock = live.ports.clock
        self.ports = live.ports

    def endpoint(self, path: str, method: str) -> Any:
        for endpoint in self.live.plugin.endpoints():
            if endpoint.path == path.partition("?")[0]:
                assert method in endpoint.methods
                return compose((), endpoint.handler, Problems())
        return None

    def browser(self) -> Browser:
        return Browser(self)


@contextlib.asynccontextmanager
async def opening(idp: Provider, given: Any = None, **changes: Any) -> AsyncIterator[Shop]:
    given = given or ports()
    client = Client()
    given.client = lambda: client
    idp.now = given.clock.time
    session = {"keys": [KEY], **changes.pop("session", {})}
    settings = {"issuer": idp.url, "client": idp.client, "session": session, **changes}
    async with aiohttp.ClientSession() as http:
        try:
            async with opened(Oidc, settings, ports=given) as live:
                yield Shop(live, idp, http)
        finally:
            await client.close()


@pytest.fixture
async def idp() -> AsyncIterator[Provider]:
    async with provider() as made:
        yield made


@pytest.fixture
async def shop(idp: Provider) -> AsyncIterator[Callable[..., Any]]:
    """``await shop(session={…}, groups=[…])``: the plugin with these settings."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(given: Any = None, **changes: Any) -> Shop:
            return await stack.enter_async_context(opening(idp, given, **changes))

        yield make
