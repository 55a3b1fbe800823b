"""A route made live: its handler, its counters, and what it does besides running plugins."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

from gateway.config.routing import PathMatch
from gateway.errors import InternalError
from gateway.http import Exchange, Handler, Request, Response, Route
from gateway.route.pattern import path_test
from gateway.route.redirect import Locator
from gateway.route.split import Chooser

if TYPE_CHECKING:
    from gateway.services.metrics import RequestStats, RouteMetrics

UNROUTED: Final = "-"
"""The label of exchanges that no route took."""


class LiveRoute(Route):
    """What an exchange holds on to from match to last byte; a reload makes new ones and keeps the counters."""

    __slots__ = ("_by_status", "_metrics", "handler", "in_flight")

    def __init__(self, name: str, handler: Handler, metrics: RouteMetrics) -> None:
        super().__init__(name)
        self.handler = handler
        self.in_flight = 0
        """Exchanges under way on this generation of the route; a drain waits for them."""
        self._metrics = metrics
        self._by_status: dict[int, RequestStats] = {}

    def enter(self, request: Request) -> None:
        """An exchange takes this route."""
        request.route = self
        self.in_flight += 1
        self._metrics.in_flight += 1

    def leave(self, exchange: Exchange) -> None:
        """It has ended."""
        self.in_flight -= 1
        self._metrics.in_flight -= 1
        status = exchange.status
        stats = self._by_status.get(status)
        if stats is None:
            stats = self._by_status[status] = self._metrics.of(status)
        stats.record(exchange.duration, exchange.received_bytes, exchange.sent_bytes)


Forwarders = Callable[[str], Handler]
"""From an upstream's name to this route's way to it. Raises KeyError."""


def destination(upstream: str | None, choose: Chooser | None, forwarders: Forwarders) -> Handler:
    """The end of a route's chain: the upstream that a plugin set, that the split draws, or the route's own."""
    known: dict[str, Handler] = {}
    draw = random.random

    def handler_of(name: str) -> Handler:
        handler = known.get(name)
        if handler is None:
            try:
                handler = known[name] = forwarders(name)
            except KeyError:
                raise InternalError(reason=f"a plugin chose an upstream that is not there: {name}") from None
        return handler

    if choose is None and upstream is not None:
        primary = handler_of(upstream)

        # Plain functions that hand on the coroutine: a coroutine of their own would be one more frame for each request.
        def forward(request: Request) -> Awaitable[Response]:
            if request.upstream is None:
                return primary(request)
            return handler_of(request.upstream)(request)

        return forward

    def forward_split(request: Request) -> Awaitable[Response]:
        name = request.upstream
        if name is None:
            if choose is None:
                raise InternalError(reason="the route has no upstream, and no plugin answered or set one")
            name = choose(request, draw())
        return handler_of(name)(request)

    return forward_split


def redirecting(locate: Locator, status: int, otherwise: Handler | None) -> Handler:
    """Answer with a redirect, unless the request is already there."""

    async def redirect(request: Request) -> Response:
        where = locate(request.scheme, request.host, request.path, request.query, request.path_params)
        if where is not None:
            return Response(status, headers={"Location": where})
        if otherwise is None:
            raise InternalError(reason="a redirect leads to itself and the route has no upstream")
        return await otherwise(request)

    return redirect


def condition_of(
    methods: frozenset[str], path: str | None, headers: Mapping[str, str], *, ignore_case: bool = False
) -> Callable[[Request], bool] | None:
    """`when` of a plugin entry, compiled; None if it asks nothing.

    Paths are compared as the route table compares them, so that no other spelling walks around a plugin.
    """
    if not methods and path is None and not headers:
        return None
    on_path = path_test(PathMatch.model_validate(path), ignore_case=ignore_case) if path is not None else None

    def holds(request: Request) -> bool:
        if methods and request.method not in methods:
            return False
        if on_path is not None and not on_path(request.path):
            return False
        for name, wanted in headers.items():
            values = request.headers.getall(name, ())
            if not values or (wanted != "*" and wanted not in values):
                return False
        return True

    return holds
