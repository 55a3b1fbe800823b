"""The connections to one target: kept alive, bounded, with a bounded waiting line and no timer per connection."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from time import monotonic

from gateway.errors import ConnectTimeout, PoolExhausted
from gateway.http.spent import Spent
from gateway.transport.connection import Connection
from gateway.transport.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Counts and seconds; the configuration's defaults say why."""

    connections: int = 1024
    waiting: int = 1024
    waiting_time: float = 1.0
    idle: float = 60.0
    connect: float = 2.0


class Pool:
    """Connections to one endpoint, the most recently used one first, so that the rest may grow old and go."""

    __slots__ = (
        "_buffer",
        "_closed",
        "_loop",
        "_sweeper",
        "_waiting",
        "endpoint",
        "limits",
        "opened",
        "overran",
        "ready",
        "total",
    )

    def __init__(self, endpoint: Endpoint, limits: PoolLimits, buffer: memoryview) -> None:
        self.endpoint = endpoint
        self.limits = limits
        self.total = 0
        """Connections that are open or being opened."""
        self.opened = 0
        """Connections ever opened."""
        self.overran = 0
        """Connections ever closed because the target sent more than it had declared."""
        self.ready: list[Connection] = []
        """Open and unused, the longest unused first. Read it to see whether `take` has something to give."""
        self._loop = asyncio.get_running_loop()
        self._buffer = buffer
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def idle(self) -> int:
        """Connections that are open and unused."""
        return len(self.ready)

    @property
    def waiting(self) -> int:
        """Requests that stand in line for a connection."""
        return len(self._waiting)

    def take(self) -> Connection | None:
        """An idle connection, at once, or None."""
        return self.ready.pop() if self.ready else None

    async def acquire(
        self, connect: float | None = None, *, fresh: bool = False, spent: Spent | None = None
    ) -> Connection:
        """A connection: idle, new, or the next one freed. Raises ConnectFailed, ConnectTimeout or PoolExhausted.

        ``connect`` seconds instead of the pool's own. ``fresh``: not an idle one, which may have died unnoticed.
        What the wait costs is added to ``spent``.
        """
        while True:
            connection = None if fresh else self.take()
            if connection is not None:
                return connection
            if fresh and self.ready and self.total >= self.limits.connections:
                self.ready[0].retire()
            if self.total < self.limits.connections:
                began = monotonic()
                try:
                    return await self._open(self.limits.connect if connect is None else connect)
                finally:
                    if spent is not None:
                        spent.connect += monotonic() - began
            began = monotonic()
            try:
                connection = await self._wait()
            finally:
                if spent is not None:
                    spent.queue += monotonic() - began
            if connection is not None and not connection.lost:  # it may have died between being given and now
                return connection

    async def _open(self, limit: float) -> Connection:
        self.total += 1
        connection = Connection(self._loop, self._buffer, self._freed, self._lost)
        try:
            async with asyncio.timeout(limit):
                await self.endpoint.connect(connection, limit)
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError):
                raise ConnectTimeout(reason=f"{self.endpoint.url}: no connection in time") from None
            raise
        self.opened += 1
        return connection

    async def _wait(self) -> Connection | None:
        if len(self._waiting) >= self.limits.waiting:
            raise PoolExhausted(reason=f"{self.endpoint.url}: the waiting line is full")
        place: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self.limits.waiting_time):
                return await place
        except BaseException as error:
            self._leave(place)
            if isinstance(error, TimeoutError):
                raise PoolExhausted(reason=f"{self.endpoint.url}: no connection became free in time") from None
            raise

    def _leave(self, place: asyncio.Future[Connection | None]) -> None:
        """Step out of the line; what was given in the same moment goes to the next one."""
        if place in self._waiting:
            self._waiting.remove(place)
        elif place.done() and not place.cancelled():
            given = place.result()
            if given is None:
                self._next(None)
            elif not given.lost:
                self._freed(given)

    def _next(self, given: Connection | None) -> bool:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(given)
                return True
        return False

    def _freed(self, connection: Connection) -> None:
        if self._closed:
            connection.retire()
        elif not self._waiting or not self._next(connection):
            connection.idle_since = self._loop.time()
            self.ready.append(connection)
            if self._sweeper is None:
                self._sweeper = self._loop.call_later(min(self.limits.idle, self.endpoint.ttl), self._sweep)

    def _lost(self, connection: Connection) -> None:
        self.total -= 1
        self.overran += connection.overran
        if connection in self.ready:
            self.ready.remove(connection)
        if self._waiting:
            self._next(None)  # there is room for a new one

    def _sweep(self) -> None:
        self._sweeper = None
        oldest = self._loop.time() - self.limits.idle
        gone = self.endpoint.refresh(self._loop)
        for connection in [each for each in self.ready if each.idle_since <= oldest or each.address in gone]:
            connection.retire()
        if self.ready:
            # Busy connections are never old: without a look now and then a moved target would keep them forever.
            due = min(self.ready[0].idle_since + self.limits.idle, self._loop.time() + self.endpoint.ttl)
            self._sweeper = self._loop.call_at(due, self._sweep)

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it is done. Idempotent."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in list(self.ready):
            connection.retire()
