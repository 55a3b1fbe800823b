"""A configuration in force: finds the route, runs the chain, and knows what it shares with its successor."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.chain import Render, crashed
from gateway.config.model import Config
from gateway.errors import GatewayError, MethodNotAllowed, RouteNotFound
from gateway.forward import LiveUpstream
from gateway.http import Exchange, Handler, Request, Response
from gateway.http.problem import PAGE, Problems
from gateway.http.screen import screen
from gateway.plugin import Context
from gateway.route.table import Found, NotAllowed, RouteTable
from gateway.runtime.assemble import Assembly, Instance
from gateway.runtime.behind import Behind, label_of
from gateway.runtime.logs import log_processors
from gateway.runtime.route import UNROUTED, LiveRoute
from gateway.runtime.services import Services, StoreIdentity
from gateway.services.tracing import Trace, Tracer, current

log = logging.getLogger("gateway.runtime")

_WHOLE = "/*"
"""The path of ``OPTIONS *``. It asks of the gateway and of no route: as several services stand behind it, it answers
itself, as a final recipient does (RFC 9110 §9.3.7, RFC 9112 §3.2.4)."""
SHORTEST_LOOK = 0.02
LONGEST_LOOK = 1.0
"""Seconds between two looks whether exchanges have ended."""


class Runtime:
    """One configuration made live. Made by `build`; `commit` puts it in force."""

    def __init__(self, config: Config, services: Services, render: Render, store: StoreIdentity) -> None:
        self.config = config
        self.services = services
        self.record: Callable[[Exchange], None] = services.record
        """Counts and logs an exchange after its end."""
        self.store = store
        """What its store is known by; plugins hold on to theirs, so they survive only with it."""
        self.render = render
        self.built_at = time.time()
        self.closed = False
        self.upstreams: dict[str, LiveUpstream] = {}
        self.instances: dict[tuple[str, ...], Instance] = {}
        self.endpoints: dict[str, tuple[LiveRoute, Handler, frozenset[str]]] = {}
        self.routes: list[LiveRoute] = []
        self.preflights: set[LiveRoute] = set()
        """Routes with a plugin that answers preflights."""
        self.ways: dict[str, Callable[[str], Handler]] = {}
        """Route's name → its way to an upstream."""
        self.behind: dict[tuple[str, str], Behind] = {}
        """Route's name and plugin's id → what stands behind a plugin that keeps work."""
        self.chains: dict[str, tuple[Instance, ...]] = {}
        """Route's name → its plugins, outermost first."""
        self.table: RouteTable[LiveRoute] = RouteTable(())
        self.unrouted = LiveRoute(UNROUTED, self._nowhere, services.metrics.route(UNROUTED))
        self.witnessed: Callable[[Handler], Handler] | None = None
        """Puts what records requests on all routes around the answer to what no route takes; None if nothing does."""

    async def handle(self, request: Request) -> Response:
        """Route and run a request. Raises nothing but cancellation."""
        try:
            peer = request.peer
            if peer is None or request.fields is not peer.screened:
                screen(request)
            table = self.table
            path = request.path = table.normalize(request.path)
            if self.endpoints and (endpoint := self.endpoints.get(path)) is not None:
                return await self._own(endpoint, request)
            found: Found[LiveRoute] | NotAllowed | None = None
            if request.method == "OPTIONS":
                if path == _WHOLE:
                    self.unrouted.enter(request)
                    return Response(200)
                if self.preflights:
                    found = self._preflight(request, path)
            if found is None:
                found = table.find(request.host, path, request.method, request.headers, request.query)
            if found is None:
                raise RouteNotFound
            if isinstance(found, NotAllowed):
                raise MethodNotAllowed(headers=(("Allow", found.allow),))
            route = found.route
            route.enter(request)
            if found.params is not None:
                request.path_params = found.params
            return await route.handler(request)
        except GatewayError as error:
            if self.witnessed is not None and not isinstance(request.route, LiveRoute):
                return await self._recorded(self.witnessed, error, request)
            return self.refuse(error, request)
        except Exception as bug:  # noqa: BLE001 - whatever it is, the client gets an answer and the log the traceback
            return self.refuse(crashed(bug, request), request)

    def _preflight(self, request: Request, path: str) -> Found[LiveRoute] | None:
        """A CORS preflight is about another request, and belongs to its route if a plugin there answers it."""
        asked = request.headers.get("Access-Control-Request-Method")
        if asked is None or "Origin" not in request.headers:
            return None
        found = self.table.find(request.host, path, asked, request.headers, request.query)
        return found if isinstance(found, Found) and found.route in self.preflights else None

    async def _own(self, endpoint: tuple[LiveRoute, Handler, frozenset[str]], request: Request) -> Response:
        route, handler, methods = endpoint
        route.enter(request)
        if request.method not in methods and not (request.method == "HEAD" and "GET" in methods):
            return self.render(MethodNotAllowed(headers=(("Allow", ", ".join(sorted(methods))),)), request)
        return await handler(request)

    async def _recorded(
        self, witnessed: Callable[[Handler], Handler], error: GatewayError, request: Request
    ) -> Response:
        async def refused(_request: Request) -> Response:
            raise error

        self.unrouted.enter(request)
        return await witnessed(refused)(request)

    async def _nowhere(self, request: Request) -> Response:
        return self.refuse(RouteNotFound(), request)

    def refuse(self, error: GatewayError, request: Request) -> Response:
        """The answer to what no route takes, counted under ``-``."""
        if not isinstance(request.route, LiveRoute):
            self.unrouted.enter(request)
        return self.render(error, request)

    @property
    def in_flight(self) -> int:
        """Exchanges under way that began on this runtime."""
        routes = (self.unrouted, *self.routes, *(each.route for each in self.behind.values()))
        return sum(route.in_flight for route in routes)

    def forwarder_of(self, name: str) -> Handler:
        """The way to an upstream, for plugins. Raises KeyError."""
        upstream = self.upstreams[name]
        return upstream.forwarder(self.config.upstreams[name].timeout)

    def onward_of(self, route: str, upstream: str) -> Handler:
        """A route's way to an upstream, for plugins. Raises KeyError."""
        return self.ways[route](upstream)

    def behind_of(self, context: Context) -> Behind | None:
        """What stands behind a plugin of this route and id."""
        return self.behind.get((context.route, context.id))

    def commit(self) -> None:
        """Put this runtime in force: ports that plugins hold lead here from now on."""
        self.services.commit([each.context.topic for each in self.behind.values()])
        self.services.masking.refill(*log_processors(self))
        ports = self.services.ports
        ports.upstreams = self.forwarder_of
        ports.onwards = self.onward_of
        ports.behinds = self.behind_of
        ports.handle = self.handle

    async def emptied(self, seconds: float) -> bool:
        """Wait until nothing that began here is under way, at most so long. False if something is."""
        until = self.services.clock.now() + seconds
        pause = SHORTEST_LOOK
        # Looked at now and then: counting exchanges down to an event would cost every exchange. Ever less often, too: a
        # WebSocket may stay for days, and there may be as many runtimes waiting as there were reloads meanwhile.
        while self.in_flight and (left := until - self.services.clock.now()) > 0:
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, LONGEST_LOOK)
        return not self.in_flight

    async def close(self, *others: Runtime) -> None:
        """Close everything that none of the ``others`` uses. Every close is tried; failures are logged. Idempotent."""
        if self.closed:
            return
        self.closed = True
        kept = {id(each.plugin) for other in others for each in other.instances.values()}
        for instance in reversed(list(self.instances.values())):
            if id(instance.plugin) not in kept:
                await _close(instance.plugin.close(), f"{instance.route}: {instance.id}")
                self.services.ports.forget(instance.plugin.context)
        shared = {id(each) for other in others for each in other.upstreams.values()}
        for name, upstream in self.upstreams.items():
            if id(upstream) not in shared:
                await _close(upstream.close(), f"upstream {name}")

    @property
    def labels(self) -> set[str]:
        """Values of the label ``route`` that belong to this configuration."""
        routes = {route.name for route in self.routes}
        delivered = {label_of(route) for route, _ in self.behind}
        return {UNROUTED, *routes, *delivered, *(f"upstream:{name}" for name in self.upstreams)}

    def lets_stay(self, request: Request) -> bool:
        """Whether a tunnel that began on another runtime may go on: its route and its target are still here."""
        if all(route.name != request.route.name for route in self.routes):
            return False
        return any(target.name == request.target for each in self.upstreams.values() for target in each.targets)


class TracedRuntime(Runtime):
    """A configuration whose exchanges are traced. A class of its own, so that those that are not pay nothing."""

    tracer: Tracer

    def handle(self, request: Request) -> Coroutine[Any, Any, Response]:
        """As `Runtime.handle`, within a trace that ends with the exchange."""
        # A plain function that hands on the coroutine: one of its own would be one more frame for each request.
        trace = self.tracer.begin(request)
        return super().handle(request) if trace.outer is None else self._dispatched(request, trace)

    async def _dispatched(self, request: Request, trace: Trace) -> Response:
        try:
            return await super().handle(request)
        finally:
            current.set(trace.outer)  # what follows in this task is the outer exchange's

    def refuse(self, error: GatewayError, request: Request) -> Response:
        """As `Runtime.refuse`; of what never came to `handle`, the trace begins here."""
        trace = current.get()
        if trace is None or trace.request is not request:
            self.tracer.begin(request)
        return super().refuse(error, request)


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
    store = await services.prepare(config)
    pages = config.errors
    render = Problems(pages.html or PAGE, pages.messages)
    runtime: Runtime
    if (tracer := services.tracing.prepared) is not None:
        runtime = traced = TracedRuntime(config, services, render, store)
        traced.tracer = tracer
    else:
        runtime = Runtime(config, services, render, store)
    try:
        with services.building():
            await Assembly(runtime, old).run()
    except BaseException as error:
        try:
            await runtime.close(*([old] if old is not None else []))
            await services.abandon()
        except Exception as second:  # noqa: BLE001 - the first error is the one to tell
            error.add_note(f"and closing what was open: {second}")
        raise
    return runtime
