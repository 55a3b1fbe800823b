"""Whether every item stands where it should: nothing stranded, nothing in no index, sums as they are said to be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from gateway.services.queue.streams.scripts import CHECK_ITEMS, CHECK_PLACES, TALLY
from gateway.services.queue.streams.topics import Topics

CHUNK: Final = 200
TOLD: Final = 100
"""Lines at most; what is broken often is broken in one way."""


class Audit:
    """Goes over everything, some at a time, while work goes on."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    async def problems(self) -> list[str]:
        """Lines for people, at most `TOLD`; none: it is sound. Raises QueueUnavailable."""
        found: list[str] = []
        for topic in await self._topics.names():
            async for line in self._of(topic):
                found.append(f"{topic}: {line}")
                if len(found) == TOLD:
                    return [*found, "… and perhaps more"]
        return found

    async def _of(self, topic: str) -> AsyncIterator[str]:
        tag = self._topics.tag(topic)
        before = await self._topics.run(tag, TALLY)
        total = 0
        for index in "vxf":
            after = ""
            while True:
                last, size, wrong = await self._topics.run(tag, CHECK_ITEMS, index, after, CHUNK)
                total += int(size)
                for id_, what in zip(wrong[::2], wrong[1::2], strict=True):
                    yield f"{id_.decode()} {what.decode()}"
                if not last:
                    break
                after = last.decode()
        if before == await self._topics.run(tag, TALLY) and total != int(before[4]):
            yield f"its payloads have {total} bytes, and {int(before[4])} are counted"
        for place in ("stream", "later", "leases", "turns"):
            at = ""
            while True:
                on, wrong = await self._topics.run(tag, CHECK_PLACES, place, at, CHUNK)
                for id_, what in zip(wrong[::2], wrong[1::2], strict=True):
                    yield f"{id_.decode()} {what.decode()}"
                if not on:
                    break
                at = on.decode()
