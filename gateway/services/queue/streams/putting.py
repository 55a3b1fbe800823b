"""Puts that come at once go to Redis together, as one script with one large argument.

With ``appendfsync always`` Redis syncs once for what it read of a connection in one turn, and that is 16 KB of small
arguments, but the whole of a large one: so a batch costs one sync, where a pipeline of the same puts would cost many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final

from gateway.services.queue.contract import QueueError, QueueUnavailable
from gateway.services.queue.opening import QueueSettings
from gateway.services.queue.streams.room import Room
from gateway.services.queue.streams.scripts import PUT
from gateway.services.queue.streams.topics import Topics
from gateway.services.store.wire import Arg, encode

BATCH: Final = 128
"""Items that go together: Redis does nothing else meanwhile (some milliseconds)."""
BYTES: Final = 4 << 20
"""Bytes that go together; one item may be larger."""
FLIGHTS: Final = 2
"""Batches of one topic under way at once: one is read while the other is synced."""
WAITING: Final = 20_000
"""Items of one topic that may wait for a batch; beyond it they are refused at once."""

Entry = tuple[list[bytes], asyncio.Future[tuple[bytes, str]]]


class Putting:
    """What waits to be put, by topic."""

    def __init__(self, topics: Topics, room: Room, settings: QueueSettings) -> None:
        self.settings = settings
        self._topics = topics
        self._room = room
        self._waiting: dict[str, list[Entry]] = {}
        self._flights: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def put(self, topic: str, words: Sequence[Arg]) -> tuple[bytes, str]:
        """What became of it (put.lua), and its id. Raises QueueUnavailable."""
        loop = asyncio.get_running_loop()
        if len(self._waiting.get(topic, ())) >= WAITING:
            raise QueueUnavailable("too many items wait for Redis")
        future: asyncio.Future[tuple[bytes, str]] = loop.create_future()
        self._waiting.setdefault(topic, []).append(([encode(word) for word in words], future))
        if self._flights.get(topic, 0) < FLIGHTS:
            self._flights[topic] = self._flights.get(topic, 0) + 1
            task = loop.create_task(self._fly(topic))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _fly(self, topic: str) -> None:
        """Send batch after batch until nothing waits."""
        try:
            while batch := self._next(topic):
                await self._carry(topic, batch)
        finally:
            self._flights[topic] -= 1
            if not self._flights[topic]:
                del self._flights[topic]

    def _next(self, topic: str) -> list[Entry]:
        waiting = self._waiting.get(topic, [])
        size = count = 0
        for words, _ in waiting[:BATCH]:
            size += sum(map(len, words))
            if count and size > BYTES:
                break
            count += 1
        batch, rest = waiting[:count], waiting[count:]
        if rest:
            self._waiting[topic] = rest
        else:
            self._waiting.pop(topic, None)
        return batch

    async def _carry(self, topic: str, batch: list[Entry]) -> None:
        try:
            results = await self._send(topic, [word for words, _ in batch for word in words])
        except QueueError as error:
            _refuse(batch, str(error))
        except BaseException:
            _refuse(batch, "the queue was closed before Redis answered")
            raise
        else:
            for (_, future), (kind, id_) in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result((kind, id_.decode()))

    async def _send(self, topic: str, words: list[bytes]) -> list[tuple[bytes, bytes]]:
        items, size = await self._room.elsewhere(topic)
        room = (self.settings.max_items - items, self.settings.max_size - size)
        lengths = b" ".join([b"%d" % len(word) for word in words])
        arguments: tuple[Any, ...] = (*room, lengths, b"".join(words))
        reply = await self._topics.run(self._topics.tag(topic), PUT, *arguments)
        if not reply:
            await self._topics.register(topic)
            reply = await self._topics.run(self._topics.tag(topic), PUT, *arguments)
        if not reply:
            raise QueueUnavailable("Redis does not keep the topic")
        held_items, held_size, *results = reply
        self._room.note(topic, held_items, int(held_size))
        return list(zip(results[::2], results[1::2], strict=True))

    async def close(self) -> None:
        """Whatever still waits is refused."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for waiting in self._waiting.values():
            _refuse(waiting, "the queue is closed")
        self._waiting.clear()


def _refuse(entries: Iterable[Entry], why: str) -> None:
    """An error for each: a traceback grows on one that is raised in several places."""
    for _, future in entries:
        if not future.done():
            future.set_exception(QueueUnavailable(why))
