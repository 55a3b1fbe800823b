"""The ports that plugins reach the gateway through: one object a worker, which follows the runtime in force."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import ClientClosed, GatewayError, InternalError
from gateway.http import UNROUTED, Body, Exchange, Handler, Request, Response
from gateway.plugin import Context, Destination
from gateway.services.audit import Audit
from gateway.services.client import Client
from gateway.services.clock import Clock
from gateway.services.masking import Masking
from gateway.services.metrics import Metrics
from gateway.services.queue import Queue
from gateway.services.relay import Relay
from gateway.services.shared import Shared
from gateway.services.store import Store
from gateway.services.tracing import Tracing

if TYPE_CHECKING:
    from gateway.runtime.behind import Behind
    from gateway.runtime.services import Services

log = logging.getLogger("gateway.plugins")

_DISPATCHED: Final = "dispatched"


class LivePorts:
    """`gateway.plugin.Ports`, over the services of a worker and whatever runtime is in force."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.clock: Clock = services.clock
        self.metrics: Metrics = services.metrics
        self.relay: Relay = services.relay
        self.masking: Masking = services.masking
        self.audit: Audit = services.audit
        self.tracing: Tracing = services.tracing
        self.shared: Shared = Shared()
        self.workers = services.workers
        self.owner = services.owner
        self.upstreams: Callable[[str], Handler] = _no_upstream
        """Set by the runtime that is in force."""
        self.onwards: Callable[[str, str], Handler] = _no_route
        """Likewise: from a route's and an upstream's name."""
        self.behinds: Callable[[Context], Behind | None] = lambda _context: None
        """Likewise: what stands behind a plugin."""
        self.draining = False
        """The gateway is shutting down: nothing that can wait is begun any more."""
        self.handle: Handler | None = None
        self.reports: dict[Context, dict[str, Callable[[], dict[str, Any]]]] = {}
        """By plugin instance: during a reload there are two of the same route and id."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._refusals = services.metrics.counter(
            "plugin_refusals_total",
            "Requests that a plugin refused, or in shadow mode would have refused.",
            ("route", "plugin", "code", "mode"),
        )

    @property
    def replicas(self) -> int:
        """Gateways that serve the same traffic."""
        return self.services.replicas

    def store(self) -> Store:
        """The shared store."""
        return self.services.store()

    async def queue(self) -> Queue:
        """The durable queue. Raises what `Services.queue` does."""
        return await self.services.queue()

    def client(self) -> Client:
        """For calls of a plugin's own."""
        return self.services.client()

    def upstream(self, name: str) -> Handler:
        """The forwarder of an upstream. Raises KeyError."""
        return self.upstreams(name)

    def onward(self, route: str, upstream: str) -> Handler:
        """The forwarder of an upstream as a route goes there. Raises KeyError."""
        return self.onwards(route, upstream)

    async def dispatch(self, request: Request) -> Response:
        """Run a request as if a client had sent it; its exchange ends with the body that is returned.

        Raises InternalError for a body that streams: it is the client's, and ends with the exchange that it came in.
        """
        if request.extras is not None and _DISPATCHED in request.extras:
            raise InternalError(reason="a dispatched request dispatched another")
        if self.handle is None:
            raise InternalError(reason="dispatch before the runtime is in force")
        if request.body.whole is None:
            raise InternalError(reason="a dispatched request whose body streams")
        inner = request.fork(body=Body(request.body.whole))
        inner.principal = inner.tenant = inner.upstream = inner.path_params = inner.error = None
        inner.route = UNROUTED  # until it has taken one: what it leaves at its end must be what it entered
        inner.attempt, inner.attempts, inner.target = None, 0, ""
        inner.repeatable = False
        inner.inform, inner.upgrade = None, ""  # interim answers and other protocols are between client and gateway
        inner.extras = {_DISPATCHED: True}
        inner.received = self.clock.now()
        try:
            response = await self.handle(inner)
        except BaseException:  # the client has left
            self._ended_alone(inner, None)
            raise
        response.body.at_end(lambda: self._ended_alone(inner, response))
        return response

    async def behind(self, context: Context, request: Request) -> Response:
        """Run a request through what stands behind a plugin. Raises LookupError where there is nothing any more."""
        found = self.behinds(context)
        if found is None:
            raise LookupError(f"{context.route}/{context.id}")
        if request.body.whole is None:
            raise InternalError(reason="what is delivered has a body that is held")
        request.received = self.clock.now()
        found.route.enter(request)
        stored = request.trace.decode() if request.trace is not None else ""
        try:
            with self.tracing.work(f"deliver {context.route}", stored, route=context.route) as work:
                request.trace = work.traceparent
                work.attributes = {"sidegate.route": context.route, "sidegate.request_id": request.id}
                response = await found.handler(request)
                work.error = response.error.code if response.error is not None else ""
        except BaseException:  # whoever waited gave up
            self._ended_alone(request, None)
            raise
        response.body.at_end(lambda: self._ended_alone(request, response))
        return response

    def destination(self, context: Context) -> Destination | None:
        """Where a plugin's route leads; None if the plugin is not in force."""
        found = None if self.draining else self.behinds(context)
        return found.destination if found is not None and found.context is context else None

    def _ended_alone(self, request: Request, response: Response | None) -> None:
        exchange = Exchange(
            request,
            response,
            status=499 if response is None else response.status,
            duration=self.clock.now() - request.received,
            sent_bytes=0 if response is None else len(response.body.whole or b""),
            received_bytes=len(request.body.whole or b""),
            aborted=response is None,
            error=ClientClosed() if response is None else response.error,
        )
        request.finish(exchange)
        self.services.record(exchange)

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """A task that lives until the worker closes; its failure is logged."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            if isinstance(failure, GatewayError):
                log.warning("%s ended: %s", task.get_name(), failure.reason)
            else:
                log.error("%s failed", task.get_name(), exc_info=failure)

    def count_refusal(self, context: Context, error: GatewayError, *, enforced: bool) -> None:
        """Metric for every refusal, a log line for what shadow let pass."""
        mode = "enforce" if enforced else "shadow"
        self._refusals.child(context.route, context.id, error.code, mode).inc()
        if not enforced:
            log.info(
                "would_refuse %s %s: %s",
                context.route,
                context.id,
                error.reason,
                extra={"route": context.route, "plugin": context.id, "code": error.code, "status": error.status},
            )

    def report(self, context: Context, name: str, state: Callable[[], dict[str, Any]]) -> None:
        """Show a plugin's state in ``/readyz`` and ``/routes``."""
        self.reports.setdefault(context, {})[name] = state

    def forget(self, context: Context) -> None:
        """The plugin is closed: its reports go."""
        self.reports.pop(context, None)

    async def close(self) -> None:
        """Cancel what plugins spawned."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _no_upstream(name: str) -> Handler:
    raise KeyError(name)


def _no_route(route: str, upstream: str) -> Handler:
    raise KeyError(route, upstream)
