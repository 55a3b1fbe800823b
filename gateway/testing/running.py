"""A whole gateway in this process: real listeners on free ports, real connections to real targets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp
from aiohttp import web

from gateway.config import load_text
from gateway.config.model import Config
from gateway.http import Exchange
from gateway.reload import Succession
from gateway.runtime import Runtime, Services
from gateway.runtime.review import findings
from gateway.server.edge import Edge, EdgeLimits
from gateway.server.listener import OpenListener, open_listener
from gateway.services.client import Answer
from gateway.testing.message import Headers, data_of

WITHIN = 30.0
"""Seconds that a call of a test may take."""


class Running:
    """A gateway that serves. Made by `running`."""

    def __init__(self, services: Services, session: aiohttp.ClientSession) -> None:
        self.services = services
        self.exchanges: list[Exchange] = []
        """Those that have ended, in order."""
        self.edges: list[Edge] = []
        self.listeners: list[OpenListener] = []
        self.succession = Succession(services, self._publish)
        self._session = session
        self._ended = asyncio.Event()
        services.log_exchange = self._note

    @property
    def runtime(self) -> Runtime:
        """The configuration in force."""
        current = self.succession.current
        assert current is not None
        return current

    @property
    def urls(self) -> list[str]:
        """Where its listeners are, in the order of the configuration."""
        pairs = zip(self.runtime.config.listeners, self.listeners, strict=True)
        return [f"{'https' if settings.tls is not None else 'http'}://{bound.name}" for settings, bound in pairs]

    @property
    def url(self) -> str:
        """Where its first listener is."""
        return self.urls[0]

    async def fetch(
        self, method: str, path: str, *, headers: Headers = (), body: bytes | str = b"", redirects: bool = False
    ) -> Answer:
        """A request over a real connection, and its whole answer. Raises aiohttp's ClientError, TimeoutError."""
        async with (
            asyncio.timeout(WITHIN),
            self._session.request(
                method, self.url + path, headers=_pairs(headers), data=data_of(body), allow_redirects=redirects
            ) as response,
        ):
            return Answer(response.status, response.headers, await response.read())

    async def reload(self, config: str, **variables: str) -> None:
        """Take up another configuration, as a changed file is: all or nothing. The old one drains in the background."""
        made = _config(config, variables)
        ready = [bound.prepare(listener) for bound, listener in zip(self.listeners, made.listeners, strict=True)]
        await self.succession.prepare(made)
        self.succession.commit()
        for bound, listener, tls in zip(self.listeners, made.listeners, ready, strict=True):
            bound.configure(listener, tls)

    async def ended(self, count: int) -> list[Exchange]:
        """The exchanges, once there have been so many: an exchange ends just after its answer's last byte."""
        async with asyncio.timeout(WITHIN):
            while len(self.exchanges) < count:
                self._ended.clear()
                await self._ended.wait()
        return self.exchanges

    def _note(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        self._ended.set()

    def _publish(self, runtime: Runtime) -> None:
        for edge, listener in zip(self.edges, runtime.config.listeners, strict=False):
            edge.runtime = runtime
            limits = EdgeLimits.of(runtime.config.limits_of(listener), trace=listener.trace)
            edge.configure(limits, self.services.wheel, runtime.config.trusted_proxies)
            edge.dismiss(runtime.lets_stay)

    async def open(self, config: Config) -> None:
        """Build the runtime and begin to listen."""
        await self.succession.prepare(config)
        self.succession.commit()
        for listener in config.listeners:
            limits = EdgeLimits.of(config.limits_of(listener), trace=listener.trace)
            edge = Edge(self.runtime, limits, self.services.wheel, config.trusted_proxies)
            self.edges.append(edge)
            self.listeners.append(await open_listener(listener, edge))

    async def close(self) -> None:
        """Cut what is open and close everything."""
        for listener in self.listeners:
            await listener.close()
        for edge in self.edges:
            for connection in list(edge.connections):
                connection.abort()
        await self.succession.close()
        await self.services.close()


def _pairs(headers: Headers) -> list[tuple[str, str]]:
    return list(headers.items() if isinstance(headers, Mapping) else headers)


def _config(text: str, variables: dict[str, str]) -> Config:
    config = load_text(text, variables, review=findings).config
    # Whatever the text says, a test binds no fixed port.
    anywhere = tuple(
        each if each.address.path else each.model_copy(update={"bind": f"{each.address.host or '127.0.0.1'}:0"})
        for each in config.listeners
    )
    return config.model_copy(update={"listeners": anywhere})


@contextlib.asynccontextmanager
async def running(config: str, /, **variables: str) -> AsyncIterator[Running]:
    """A gateway with this configuration (YAML), on free ports.

    ``variables`` stand for the environment: ``running("… targets: [${TARGET}]", TARGET=url)``. Raises
    ConfigurationError, BuildError.
    """
    made = _config(config, variables)
    async with aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
        gateway = Running(Services(), session)
        try:
            await gateway.open(made)
            yield gateway
        finally:
            await gateway.close()


class Origin:
    """A real service to put behind a gateway, and what it was asked. Made by `origin`."""

    def __init__(self, status: int, headers: Headers, body: bytes, chunks: Sequence[bytes] | None) -> None:
        self.url = ""
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.status = status
        self._headers = _pairs(headers)
        self._body = body
        self._chunks = chunks

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer."""
        assert isinstance(request, web.Request)
        self.requests.append(request)
        self.bodies.append(await request.read())
        if self._chunks is None:
            return web.Response(status=self.status, headers=dict(self._headers), body=self._body)
        response = web.StreamResponse(status=self.status, headers=dict(self._headers))
        await response.prepare(request)
        for chunk in self._chunks:
            await response.write(chunk)
        await response.write_eof()
        return response


@contextlib.asynccontextmanager
async def origin(
    status: int = 200, headers: Headers = (), body: bytes | str = b"", *, chunks: Sequence[bytes] | None = None
) -> AsyncIterator[Origin]:
    """A real HTTP service on a free port that answers every request alike and notes what it was asked."""
    made = Origin(status, headers, data_of(body), chunks)
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{rest:.*}", made.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address: Any = runner.addresses[0]
        made.url = f"http://{address[0]}:{address[1]}"
        yield made
    finally:
        await runner.cleanup()
