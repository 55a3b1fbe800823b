"""How much the queue holds over all topics, so that it takes no more than it may."""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.services.queue.contract import QueueUnavailable
from gateway.services.queue.streams.scripts import TALLY
from gateway.services.queue.streams.topics import Topics

FRESH: Final = 1.0
"""Seconds for which the other topics' totals are taken as they were. Redis counts each topic exactly and on its own,
because topics may lie on different servers; what other replicas put into *other* topics is seen this much later.
"""


class Room:
    """Items and bytes by topic, as last heard."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._held: dict[str, tuple[int, int]] = {}
        self._items = self._size = 0
        self._asked = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def elsewhere(self, topic: str) -> tuple[int, int]:
        """Items and bytes of all other topics. Raises QueueUnavailable if that was never heard yet."""
        now = asyncio.get_running_loop().time()
        if now - self._asked > FRESH:
            first = self._asked < 0
            if self._asking is None or self._asking.done():
                self._asking = asyncio.get_running_loop().create_task(self._refresh())
                self._asking.add_done_callback(_heard)
            if first:
                await asyncio.shield(self._asking)
            self._asked = now
        items, size = self._held.get(topic, (0, 0))
        return self._items - items, self._size - size

    def note(self, topic: str, items: int, size: int) -> None:
        """So much the topic holds now."""
        before = self._held.get(topic, (0, 0))
        self._held[topic] = (items, size)
        self._items += items - before[0]
        self._size += size - before[1]

    async def _refresh(self) -> None:
        names = await self._topics.names()
        replies = await asyncio.gather(*[self._topics.run(self._topics.tag(name), TALLY) for name in names])
        for name, (live, _leased, dead, done, size, _oldest) in zip(names, replies, strict=True):
            self.note(name, live + dead + done, int(size))

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)


def _heard(task: asyncio.Task[None]) -> None:
    """Redis away is no news here: the put that asked is told by its own call."""
    if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, QueueUnavailable):
        raise error
