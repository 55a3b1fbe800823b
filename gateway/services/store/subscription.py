"""Messages from Redis' channels: one connection for a whole store, held for as long as somebody listens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from gateway.services.store.memory import deliver_safely
from gateway.services.store.wire import pack

SILENCE: Final = 5.0
"""Seconds without a message after which we ask whether the server is still there; after as much again it counts as
gone.
"""
CONNECT_PATIENCE: Final = 2.0
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0

Dial = Callable[[], Awaitable[AbstractConnection]]


class ChannelSubscription:
    """One subscription; see `Store.subscribe`."""

    __slots__ = ("_channels", "channel", "deliver", "missed")

    def __init__(
        self, channels: Channels, channel: bytes, deliver: Callable[[bytes], None], missed: Callable[[], None] | None
    ) -> None:
        self._channels = channels
        self.channel = channel
        self.deliver = deliver
        self.missed = missed

    def close(self) -> None:
        self._channels.remove(self)


class Channels:
    """All subscriptions of one store."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._listeners: dict[bytes, list[ChannelSubscription]] = {}
        self._connection: AbstractConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._sending: set[asyncio.Task[None]] = set()

    def add(
        self, channel: bytes, deliver: Callable[[bytes], None], missed: Callable[[], None] | None
    ) -> ChannelSubscription:
        subscription = ChannelSubscription(self, channel, deliver, missed)
        first = channel not in self._listeners
        self._listeners.setdefault(channel, []).append(subscription)
        if self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._listen())
        elif first:
            self._say(b"SUBSCRIBE", channel)
        return subscription

    def remove(self, subscription: ChannelSubscription) -> None:
        listeners = self._listeners.get(subscription.channel, [])
        if subscription in listeners:
            listeners.remove(subscription)
            if not listeners:
                del self._listeners[subscription.channel]
                self._say(b"UNSUBSCRIBE", subscription.channel)

    async def close(self) -> None:
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, *self._sending, return_exceptions=True)
        self._listeners.clear()

    def _say(self, word: bytes, *channels: bytes) -> None:
        """Send on the listening connection, if there is one: a new one begins with all channels anyway."""
        if self._connection is not None:
            task = asyncio.get_running_loop().create_task(self._send(self._connection, word, *channels))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, connection: AbstractConnection, *words: bytes) -> None:
        with suppress(RedisError, OSError):  # the reader sees a broken connection, too
            await connection.send_packed_command(pack(*words), check_health=False)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        pause = 0.0
        while True:
            began = loop.time()
            with suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_PATIENCE):
                    connection = await self._dial()
                try:
                    await self._read(connection)
                finally:
                    self._connection = None
                    await connection.disconnect(nowait=True)
            # A server that takes us in and throws us out at once is no reason to hurry.
            pause = FIRST_PAUSE if loop.time() - began > SILENCE else min(max(pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _read(self, connection: AbstractConnection) -> None:
        self._connection = connection
        if self._listeners:
            await self._send(connection, b"SUBSCRIBE", *self._listeners)
        asked = False
        reading = asyncio.ensure_future(connection.read_response(disable_decoding=True))
        try:
            while True:
                await asyncio.wait((reading,), timeout=SILENCE)
                if not reading.done():
                    if asked:
                        raise TimeoutError("the subscription's connection is dead")
                    asked = True
                    await self._send(connection, b"PING")
                    continue
                asked = False
                message = reading.result()
                reading = asyncio.ensure_future(connection.read_response(disable_decoding=True))
                self._take(message)
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, RedisError, OSError):
                await reading

    def _take(self, message: list[bytes] | bytes) -> None:
        if isinstance(message, bytes):
            return  # PONG, while nobody listens to anything
        kind, channel, *rest = message
        listeners = tuple(self._listeners.get(channel, ()))
        if kind == b"message":
            for listener in listeners:
                deliver_safely(listener.deliver, rest[0])
        elif kind == b"subscribe":
            for listener in listeners:
                if listener.missed is not None:
                    deliver_safely(listener.missed)
