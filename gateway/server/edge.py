"""What a worker's client connections share: the runtime in force, limits, deadlines, and where an exchange ends."""

from __future__ import annotations

import asyncio
import email.utils
import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from gateway.config.listener import Limits
from gateway.errors import ClientClosed, GatewayError
from gateway.http import Exchange, Request, Response
from gateway.services.clock import Deadlines, Wheel

if TYPE_CHECKING:
    from gateway.server.connection import ClientConnection

SURPLUS = 4096
"""Connections beyond the limit that may have been accepted in the same moment; it is the length of the queue."""
FRESH = 1.0
"""Seconds a connection that has asked for nothing yet is left when the gateway leaves: it was accepted, and its request
may be on the way."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Serves(Protocol):
    """The runtime, as the server sees it."""

    async def handle(self, request: Request) -> Response:
        """Route and run a request. Raises nothing but cancellation."""
        ...

    def refuse(self, error: GatewayError, request: Request) -> Response:
        """The answer to something that is no request, counted like one."""
        ...

    def record(self, exchange: Exchange) -> None:
        """Count an exchange after its end, and log it."""
        ...


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """What a client may make us hold, and for how long; bytes, counts, seconds, bytes a second (0: any)."""

    url: int = 8190
    header: int = 8192
    headers: int = 128
    head: int = 65536
    head_time: float = 10.0
    body_idle: float = 30.0
    send_idle: float = 60.0
    body_rate: float = 240.0
    send_rate: float = 240.0
    keep_alive: float = 75.0
    linger: float = 1.0
    connections: int = 65536
    trace: bool = False
    """Whether TRACE requests are taken."""

    @classmethod
    def of(cls, limits: Limits, *, trace: bool = False) -> EdgeLimits:
        """What the configuration says, in the parser's terms: one field may be as large as the section."""
        return cls(
            url=limits.url,
            header=limits.headers,
            headers=limits.header_count,
            head=limits.url + limits.headers,
            head_time=limits.head,
            body_idle=limits.body_idle,
            send_idle=limits.send_idle,
            body_rate=limits.min_body_rate or 0,
            send_rate=limits.min_send_rate or 0,
            keep_alive=limits.keepalive_idle,
            connections=limits.connections,
            trace=trace,
        )


class Edge:
    """One worker's front side. ``runtime`` is replaced by a reload; an exchange keeps the one it began with."""

    def __init__(self, runtime: Serves, limits: EdgeLimits, wheel: Wheel, trusted: Iterable[Network] = ()) -> None:
        self.loop = asyncio.get_running_loop()
        self.runtime = runtime
        self.connections: set[ClientConnection] = set()
        self.trusted: tuple[Network, ...] = ()
        self.configure(limits, wheel, trusted)
        self.draining = False
        self.accepted = 0
        self.refused_connections = 0
        self.when_full: Callable[[], None] | None = None
        """Called when as many connections are open as may be."""
        self.when_room: Callable[[], None] | None = None
        """Called when one of them has gone."""
        self.full = False
        self._date = b""
        self._date_second = -1.0

    def configure(self, limits: EdgeLimits, wheel: Wheel, trusted: Iterable[Network]) -> None:
        """Take up limits and trust, at start and after a reload; the parsers of open connections keep their limits."""
        self.limits = limits
        before, self.trusted = self.trusted, tuple(trusted)
        if before != self.trusted:
            for connection in list(self.connections):
                self._judge(connection)
        self.head_deadline: Deadlines = wheel.of(limits.head_time)
        self.keep_alive_deadline: Deadlines = wheel.of(limits.keep_alive)
        self.body_deadline: Deadlines = wheel.of(limits.body_idle)
        self.send_deadline: Deadlines = wheel.of(limits.send_idle / 2)  # it is looked at twice in this time
        self.fresh_deadline: Deadlines = wheel.of(FRESH)

    def _judge(self, connection: ClientConnection) -> None:
        """Requests from now on are of a peer that is trusted as it is now; the one under way keeps what it began with.

        A connection whose balancer may no longer speak for others has the balancer for its client; one on which it has
        yet to say for whom is cut, as a new one would be.
        """
        connection.peer = connection.peer.judged(self.is_trusted)
        if connection.preface is not None and not connection.peer.trusted:
            connection.abort()

    def crowded(self) -> bool:
        """Asked before a connection is taken in: at the limit, accepting pauses. True if it must be cut."""
        beyond = len(self.connections) + 1 - self.limits.connections
        if beyond < 0:
            return False
        if self.when_full is None:
            return beyond > 0
        if not self.full:
            self.full = True
            self.when_full()
        return beyond > SURPLUS  # what had been accepted by then is served

    def left(self, connection: ClientConnection) -> None:
        """A connection has gone."""
        self.connections.discard(connection)
        if self.full and len(self.connections) < self.limits.connections:
            self.full = False
            if self.when_room is not None:
                self.when_room()

    def is_trusted(self, address: str) -> bool:
        """Whether a peer may say for whom it speaks. An empty address is a unix socket: local, and trusted."""
        if not self.trusted:
            return False
        if not address:
            return True
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self.trusted)

    def date(self) -> bytes:
        """A ``Date`` line (RFC 9110 §6.6.1), made once a second."""
        now = self.loop.time()
        if now - self._date_second >= 1.0 or not self._date:
            self._date_second = now
            self._date = b"Date: " + email.utils.formatdate(usegmt=True).encode()
        return self._date

    def finish(self, request: Request, response: Response | None, sent: int, received: int, aborted: bool) -> None:
        """End an exchange: `done` of its plugins, metrics, access log. No ``response``: the client left first."""
        error = request.error
        if response is None:
            error = error or ClientClosed()
        elif error is None:
            error = response.error
        status = 499 if response is None else response.status
        duration = monotonic() - request.received
        exchange = Exchange(request, response, status, duration, sent, received, aborted, error)
        if request.awaited:
            request.finish(exchange)
        self.runtime.record(exchange)

    def dismiss(self, lets_stay: Callable[[Request], bool]) -> None:
        """After a reload: end the tunnels whose route or target is gone, in order, a WebSocket with 1001."""
        for connection in list(self.connections):
            connection.dismiss(lets_stay)

    def drain(self) -> None:
        """Take no more requests on kept-alive connections; each is closed after the answer under way."""
        self.draining = True
        for connection in list(self.connections):
            connection.drain()
