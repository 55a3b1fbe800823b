"""Waits until something may be taken: a blocking XREAD on a connection of its own, so that nobody polls an empty queue
and a put costs no message.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from gateway.errors import StoreUnavailable
from gateway.services.queue.contract import QueueUnavailable
from gateway.services.queue.streams.scripts import UPCOMING
from gateway.services.queue.streams.topics import Topics
from gateway.services.store.dial import ask

LOOK: Final = 0.5
"""Seconds after which we look again: what another replica put off is in no stream until somebody finds it due."""
PAUSE: Final = 0.25
"""Seconds between looks while Redis is away, or when no connection for blocking is to be had."""
GRACE: Final = 2.0
"""Seconds that an answer may come later than it should before the connection counts as dead."""
CONNECTIONS: Final = 64
"""Blocking reads at once; more waiters look every `PAUSE` instead."""


class Waiting:
    """Connections that block."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._idle: dict[bytes, list[AbstractConnection]] = {}
        self._open = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def wait(self, topic: str, longest: float) -> None:
        """See `Queue.wait`. Redis away is waited out: whoever takes next is told of it."""
        loop = asyncio.get_running_loop()
        tag, until = self._topics.tag(topic), loop.time() + longest
        while (left := until - loop.time()) > 0 and not self._closed:
            try:
                soonest, newest = await self._topics.run(tag, UPCOMING)
            except QueueUnavailable:
                await asyncio.sleep(min(left, PAUSE))
                continue
            if soonest and int(soonest) <= 0:
                return
            span = min(left, LOOK, int(soonest) / 1_000_000 if soonest else LOOK)
            if await self._block(tag, newest, span):
                return

    async def _block(self, tag: bytes, newest: bytes, span: float) -> bool:
        """Whether something came into the stream after ``newest`` within ``span`` seconds."""
        if self._open >= CONNECTIONS and not self._idle.get(tag):
            await asyncio.sleep(min(span, PAUSE))
            return False
        connection: AbstractConnection | None = None
        kept = False
        self._open += 1
        try:
            connection = await self._connection(tag)
            words = (b"XREAD", b"COUNT", 1, b"BLOCK", max(int(span * 1000), 1), b"STREAMS", tag + b":s", newest)
            async with asyncio.timeout(span + GRACE):
                reply = await ask(connection, *words)
            kept = True
        except (RedisError, OSError, TimeoutError, StoreUnavailable):
            # Away, or the slot moved; the next look says which.
            await asyncio.sleep(min(span, PAUSE))
            return False
        finally:
            self._open -= 1
            if connection is not None:
                await self._put_back(tag, connection, kept=kept)
        return bool(reply)

    async def _connection(self, tag: bytes) -> AbstractConnection:
        idle = self._idle.get(tag)
        while idle:
            connection = idle.pop()
            if connection.is_connected and not await connection.can_read():
                return connection
            await _drop(connection)
        return await self._topics.store.apart(tag)

    async def _put_back(self, tag: bytes, connection: AbstractConnection, *, kept: bool) -> None:
        # One for each topic is kept; after an error or a cancellation an answer may still be under way on it.
        idle = self._idle.setdefault(tag, [])
        if not kept or self._closed or idle or len(self._idle) > CONNECTIONS:
            await _drop(connection)
        else:
            idle.append(connection)

    async def close(self) -> None:
        """Let go of connections; who waits returns."""
        self._closed = True
        idle = [connection for each in self._idle.values() for connection in each]
        self._idle.clear()
        for connection in idle:
            await _drop(connection)


async def _drop(connection: AbstractConnection) -> None:
    with suppress(RedisError, OSError):
        await connection.disconnect(nowait=True)
