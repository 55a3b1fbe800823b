"""What a plugin gets from the gateway: its own name and mode, the services, and ports to what lies above it.

Ports are resolved at the call, never at load, so that a plugin which survives a reload reaches the new routes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from gateway.errors import GatewayError
from gateway.http import Exchange, Handler, Request, Response
from gateway.services.clock import Clock

if TYPE_CHECKING:
    from gateway.services.audit import Audit
    from gateway.services.client import Client
    from gateway.services.masking import Masking
    from gateway.services.metrics import Metrics
    from gateway.services.queue import Queue
    from gateway.services.relay import Relay
    from gateway.services.shared import Shared
    from gateway.services.store import Store
    from gateway.services.tracing import Tracing


class Mode(StrEnum):
    """Whether a plugin's refusals bite."""

    ENFORCE = "enforce"
    SHADOW = "shadow"
    OFF = "off"


class Destination(Protocol):
    """Where a route leads, at this moment."""

    @property
    def upstream(self) -> str:
        """Of a split, the first one; empty where the route has none."""
        ...

    def hindrance(self) -> str:
        """Why nothing should be sent there now, such as ``circuit_open`` or ``no_target``; empty: something may.

        Stricter than for clients' requests: while most targets are ill those are still sent, as somebody waits.
        """
        ...


class Ports(Protocol):
    """What the runtime offers its plugins. `gateway.testing` has one without sockets."""

    @property
    def clock(self) -> Clock: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def relay(self) -> Relay:
        """To the other workers of this gateway."""
        ...

    @property
    def shared(self) -> Shared:
        """Things that exist once a worker, however many plugins use them."""
        ...

    @property
    def masking(self) -> Masking:
        """What data goes through before people see it."""
        ...

    @property
    def audit(self) -> Audit:
        """The audit trail; without one it takes events and does nothing."""
        ...

    @property
    def tracing(self) -> Tracing:
        """Traces, of work that was put off."""
        ...

    workers: int
    """Processes of this gateway."""
    owner: bool
    """This worker is the one that does what must be done once a gateway."""

    @property
    def replicas(self) -> int:
        """Gateways that share a store, this one included."""
        ...

    def store(self) -> Store:
        """The shared store (``stores.shared``)."""
        ...

    async def queue(self) -> Queue:
        """The durable queue (``stores.durable``), opened when first asked for.

        Raises RuntimeError if the configuration names none, QueueUnavailable or QueueUrlError if it cannot be opened.
        """
        ...

    def client(self) -> Client:
        """For calls of the plugin's own, such as fetching keys."""
        ...

    async def behind(self, context: Context, request: Request) -> Response:
        """Run a request through what stands behind this plugin in its route's list. As `Context.behind`."""
        ...

    def destination(self, context: Context) -> Destination | None:
        """Where the plugin's route leads. As `Context.destination`."""
        ...

    def upstream(self, name: str) -> Handler:
        """The forwarder of an upstream. Raises KeyError for a name that is not configured."""
        ...

    def onward(self, route: str, upstream: str) -> Handler:
        """As `upstream`, the way that a route goes there: with its rewriting, Host and timeouts. Raises KeyError."""
        ...

    async def dispatch(self, request: Request) -> Response:
        """Run a request as if a client had sent it: its own route, chain and exchange, no inherited principal."""
        ...

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """A task tied to the runtime: cancelled when it closes, its failure logged."""
        ...

    def count_refusal(self, context: Context, error: GatewayError, *, enforced: bool) -> None:
        """Metric and log for a refusal, or for one that shadow let pass."""
        ...

    def report(self, context: Context, name: str, state: Callable[[], dict[str, Any]]) -> None:
        """Show this under ``name`` in ``/readyz`` and ``/routes``."""
        ...


class Context:
    """One plugin instance's view of the gateway."""

    __slots__ = ("id", "log", "mode", "plugin", "ports", "route")

    def __init__(self, ports: Ports, *, route: str, plugin: str, id: str, mode: Mode = Mode.ENFORCE) -> None:  # noqa: A002
        self.ports = ports
        self.route = route
        """The route's name, or ``upstream:<name>`` in an attempt chain."""
        self.plugin = plugin
        self.id = id
        """As given in YAML, else the plugin's name; unique in its list."""
        self.mode = mode
        self.log = logging.getLogger(f"gateway.plugins.{plugin}")

    @property
    def on_attempt(self) -> bool:
        """It stands in an upstream's ``attempt`` list, not in a route's."""
        return self.route.startswith("upstream:")

    @property
    def clock(self) -> Clock:
        return self.ports.clock

    @property
    def metrics(self) -> Metrics:
        return self.ports.metrics

    @property
    def shared(self) -> Shared:
        """Things that exist once a worker, however many plugins use them, over reloads."""
        return self.ports.shared

    @property
    def masking(self) -> Masking:
        """What data goes through before people see it; give it this plugin's `route`. Follows each reload."""
        return self.ports.masking

    @property
    def tracing(self) -> Tracing:
        """Traces: `gateway.services.tracing.Tracing.work` continues one in work that was put off. Exchanges and
        attempts are traced without a plugin's doing.
        """
        return self.ports.tracing

    @property
    def audit(self) -> Audit:
        """The audit trail; without one it takes events and does nothing. Follows each reload."""
        return self.ports.audit

    @property
    def relay(self) -> Relay:
        """To the other workers of this gateway."""
        return self.ports.relay

    def store(self) -> Store:
        """The shared store (``stores.shared``)."""
        return self.ports.store()

    @property
    def topic(self) -> str:
        """What this plugin's work is called in the queue: ``<plugin>/<route>/<id>``."""
        return f"{self.plugin}/{self.route}/{self.id}"

    async def queue(self) -> Queue:
        """The durable queue (``stores.durable``); for plugins that say they are `durable`. Ask in ``open``.

        Raises RuntimeError if the configuration names none, QueueUnavailable or QueueUrlError if it cannot be opened.
        """
        return await self.ports.queue()

    async def behind(self, request: Request) -> Response:
        """Run a request, without a client, through what stands behind this plugin in its route's list: the plugins
        below it, then the route's way to its upstream, all as configured at this moment.

        It is an exchange of its own, under the route's name, that ends with the body of the answer; its metrics have
        the route ``delivery:<route>``. The body must be whole. Raises LookupError if the route or the plugin is not
        there any more.
        """
        return await self.ports.behind(self, request)

    def destination(self) -> Destination | None:
        """Where this plugin's route leads. None if this instance is not in force: its route is gone, a reload has put
        another in its place, or it is yet to come into force.
        """
        return self.ports.destination(self)

    def client(self) -> Client:
        """For calls of the plugin's own, such as fetching keys."""
        return self.ports.client()

    def upstream(self, name: str) -> Handler:
        """The forwarder of an upstream, looked up at each call. Raises KeyError if there is none of that name."""
        return self.ports.upstream(name)

    def onward(self, name: str) -> Handler:
        """The way to an upstream for requests of this plugin's route, looked up at each call: path and Host are
        rewritten, and deadlines set, as for the route's own. Raises KeyError for an upstream that is not there.
        """
        return self.ports.onward(self.route, name)

    async def dispatch(self, request: Request) -> Response:
        """Run a request as if a client had sent it. Raises InternalError from inside a dispatched request."""
        return await self.ports.dispatch(request)

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """A task tied to the runtime instead of the client."""
        return self.ports.spawn(work, name)

    async def detached(self, request: Request, proceed: Handler, deadline: float) -> Response:
        """Run the rest of the chain for a fork of ``request`` that outlives its client.

        Must be awaited in a task of its own (`spawn`). ``deadline`` is in seconds and covers the time to the head.
        The plugins inside are `done` when the answer's body ends, not when the client does. Raises TimeoutError.
        """
        twin = request.detach()
        began = self.clock.now()
        try:
            async with asyncio.timeout(deadline):
                response = await proceed(twin)
        except BaseException:
            twin.finish(Exchange(twin, None, status=0, duration=self.clock.now() - began, aborted=True))
            raise
        response.body.at_end(
            lambda: twin.finish(
                Exchange(
                    twin, response, status=response.status, duration=self.clock.now() - began, error=response.error
                )
            )
        )
        return response

    def refused(self, error: GatewayError) -> None:
        """Count a refusal."""
        self.ports.count_refusal(self, error, enforced=True)

    def would_refuse(self, error: GatewayError) -> None:
        """Count and log a refusal that shadow mode let pass."""
        self.ports.count_refusal(self, error, enforced=False)

    def report(self, name: str, state: Callable[[], dict[str, Any]]) -> None:
        """Show this plugin's state under ``name`` in ``/readyz``.

        ``state`` may say ``ok``: False puts it among what is failing there. With ``critical`` true, too, ``/readyz``
        turns 503: only for what loses work or fails every request while it lasts, as a durable store does. It is asked
        at each look, must not block, and shows no secrets.
        """
        self.ports.report(self, name, state)
