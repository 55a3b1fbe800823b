"""A configuration in force: finds the route, runs the chain, and knows what it shares with its successor."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from gateway.chain import Render
from gateway.config.model import Config
from gateway.errors import GatewayError, MethodNotAllowed, RouteNotFound
from gateway.forward import LiveUpstream
from gateway.http import Exchange, Handler, Request, Response
from gateway.http.problem import PAGE, Problems
from gateway.route.table import NotAllowed, RouteTable
from gateway.runtime.assemble import Assembly, Instance
from gateway.runtime.route import LiveRoute
from gateway.runtime.services import Services

log = logging.getLogger("gateway.runtime")

UNROUTED = "-"
"""The label of exchanges that no route took."""


class Runtime:
    """One configuration made live. Made by `build`; `commit` puts it in force, `retire` takes it out."""

    def __init__(self, config: Config, services: Services, render: Render) -> None:
        self.config = config
        self.services = services
        self.render = render
        self.built_at = time.time()
        self.upstreams: dict[str, LiveUpstream] = {}
        self.instances: dict[tuple[str, ...], Instance] = {}
        self.endpoints: dict[str, tuple[LiveRoute, Handler, frozenset[str]]] = {}
        self.routes: list[LiveRoute] = []
        self.chains: dict[str, tuple[Instance, ...]] = {}
        """Route's name → its plugins, outermost first."""
        self.table: RouteTable[LiveRoute] = RouteTable(())
        self.unrouted = LiveRoute(UNROUTED, self._nowhere, services.metrics.route(UNROUTED))

    async def handle(self, request: Request) -> Response:
        """Route and run a request. Raises nothing but cancellation."""
        try:
            table = self.table
            path = request.path = table.normalize(request.path)
            if self.endpoints and (endpoint := self.endpoints.get(path)) is not None:
                return await self._own(endpoint, request)
            found = table.find(request.host, path, request.method, request.headers, request.query)
            if found is None:
                raise RouteNotFound
            if isinstance(found, NotAllowed):
                raise MethodNotAllowed(headers=(("Allow", found.allow),))
        except GatewayError as error:
            return self.refuse(error, request)
        route = found.route
        route.enter(request)
        if found.params is not None:
            request.path_params = found.params
        return await route.handler(request)

    async def _own(self, endpoint: tuple[LiveRoute, Handler, frozenset[str]], request: Request) -> Response:
        route, handler, methods = endpoint
        route.enter(request)
        if request.method not in methods and not (request.method == "HEAD" and "GET" in methods):
            return self.render(MethodNotAllowed(headers=(("Allow", ", ".join(sorted(methods))),)), request)
        return await handler(request)

    async def _nowhere(self, request: Request) -> Response:
        return self.refuse(RouteNotFound(), request)

    def refuse(self, error: GatewayError, request: Request) -> Response:
        """The answer to what no route takes, counted under ``-``."""
        if not isinstance(request.route, LiveRoute):
            self.unrouted.enter(request)
        return self.render(error, request)

    def record(self, exchange: Exchange) -> None:
        """Count and log an exchange after its end."""
        self.services.record(exchange)

    @property
    def in_flight(self) -> int:
        """Exchanges under way that began on this runtime."""
        return self.unrouted.in_flight + sum(route.in_flight for route in self.routes)

    def forwarder_of(self, name: str) -> Handler:
        """The way to an upstream, for plugins. Raises KeyError."""
        upstream = self.upstreams[name]
        return upstream.forwarder(self.config.upstreams[name].timeout)

    def commit(self) -> None:
        """Put this runtime in force: ports that plugins hold lead here from now on."""
        ports = self.services.ports
        ports.upstreams = self.forwarder_of
        ports.handle = self.handle

    async def retire(self, successor: Runtime | None, deadline: float) -> bool:
        """Wait for what began here, then close what the successor did not take over.

        ``deadline`` in seconds. False if exchanges were still under way when it passed; they keep what they hold until
        their connections end.
        """
        until = self.services.clock.now() + deadline
        # Looked at now and then: counting exchanges down to an event would cost every exchange.
        while self.in_flight and self.services.clock.now() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        drained = not self.in_flight
        await self.close(successor)
        await self.services.settle()
        return drained

    async def close(self, successor: Runtime | None = None) -> None:
        """Close everything that ``successor`` does not use. Every close is tried; failures are logged."""
        kept = {id(each.plugin) for each in successor.instances.values()} if successor is not None else set()
        for instance in reversed(list(self.instances.values())):
            if id(instance.plugin) not in kept:
                await _close(instance.plugin.close(), f"{instance.route}: {instance.id}")
                self.services.ports.forget(instance.route, instance.id)
        shared = {id(each) for each in successor.upstreams.values()} if successor is not None else set()
        for name, upstream in self.upstreams.items():
            if id(upstream) not in shared:
                await _close(upstream.close(), f"upstream {name}")
        if successor is not None:
            names = {route.name for route in successor.routes}
            for route in self.routes:
                if route.name not in names and not route.in_flight:
                    self.services.metrics.remove_route(route.name)


async def _close(closing: Any, what: str) -> None:
    try:
        await closing
    except Exception:
        log.exception("%s did not close cleanly", what)


async def build(config: Config, services: Services, *, old: Runtime | None = None) -> Runtime:
    """Make a configuration live beside the old one, taking over from it what has not changed.

    On any failure everything that was opened is closed again and the first error is raised, with those of closing as
    notes. Raises BuildError, StoreUrlError, or OSError for files that are gone.
    """
    await services.prepare(config)
    pages = config.errors
    render = Problems(pages.html or PAGE, pages.messages)
    runtime = Runtime(config, services, render)
    try:
        await Assembly(runtime, old).run()
    except BaseException as error:
        try:
            await runtime.close(old)
        except Exception as second:  # noqa: BLE001 - the first error is the one to tell
            error.add_note(f"and closing what was open: {second}")
        raise
    return runtime
