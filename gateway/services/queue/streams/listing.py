"""What people ask of the queue: find, count, export, replay, purge. Works through pages, so that neither Redis nor we
ever hold much at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heapreplace
from typing import Any, Final

from gateway.services.queue.contract import Item, Page, Query, State
from gateway.services.queue.streams.keys import lowest_id, tag_of_id
from gateway.services.queue.streams.rows import LETTERS, Codec, Unreadable, micros
from gateway.services.queue.streams.scripts import ONE, PAGE, PURGE, REPLAY, TALLY
from gateway.services.queue.streams.topics import Topics
from gateway.services.store import Script
from gateway.services.store.wire import Arg

CHUNK: Final = 200
"""Rows of one script: Redis does nothing else meanwhile, so this bounds for how long (some milliseconds)."""
LOOKED_AT: Final = 20_000
"""Items that one `find` looks at before it gives what it has; the page says where to go on."""
EXPORTED: Final = 8 << 20
"""Bytes of payloads that an export holds."""
SLACK: Final = 3600 * 1_000_000
"""µs. An id's stamp is no earlier than its acceptance, but later where a clock was set back: so much is allowed for."""
_LIVE: Final = frozenset({State.READY, State.WAITING, State.LEASED})
_UNLEASED: Final = frozenset({State.READY, State.WAITING})
_FINISHED: Final = frozenset({State.DEAD, State.DONE})


@dataclass(slots=True)
class _Source:
    """One topic's items that were not looked at yet."""

    topic: str
    rows: list[Item] = field(default_factory=list)
    """The next one last."""
    more: bool = True


def matches(item: Item, query: Query) -> bool:
    """Whether the item is meant."""
    if query.states and item.state not in query.states:
        return False
    if query.since is not None and item.accepted < query.since:
        return False
    if query.until is not None and item.accepted >= query.until:
        return False
    if query.topic and not _means(query.topic, item.topic):
        return False
    if query.status is not None and (item.last is None or item.last.status != query.status):
        return False
    if query.error and (item.last is None or item.last.error != query.error):
        return False
    return all(item.labels.get(name) == value for name, value in query.labels.items())


def _means(wanted: str, topic: str) -> bool:
    return topic.startswith(wanted) if wanted.endswith("/") else topic == wanted


class Listing:
    """Queries over all topics."""

    def __init__(self, topics: Topics, codec: Codec) -> None:
        self._topics = topics
        self._codec = codec

    async def one(self, id: str) -> Item | None:  # noqa: A002 - the contract's word
        """One item with its payload, or without it if no key opens it."""
        tag = tag_of_id(id)
        row = None if tag is None else await self._topics.run(tag, ONE, id)
        if tag is None or not row or (topic := await self._topics.name(tag)) is None:
            return None
        return self._whole(topic, row)

    def _whole(self, topic: str, row: Sequence[bytes]) -> Item:
        try:
            return self._codec.item(topic, row, whole=True)
        except Unreadable:
            return self._codec.item(topic, row)

    # --- scanning ------------------------------------------------------------------------------------------------

    async def scan(self, query: Query, after: str | None = None, chunk: int = CHUNK) -> AsyncIterator[Item]:
        """Every item that `query` may mean, oldest first; most of what it does not mean is left out."""
        if query.ids:
            for id_ in sorted(set(query.ids)):
                item = None if after is not None and id_ <= after else await self.one(id_)
                if item is not None:
                    yield item
            return
        names = [name for name in await self._topics.names() if not query.topic or _means(query.topic, name)]
        sources = [_Source(name) for name in names]
        await asyncio.gather(*[self._fill(source, query, after, chunk) for source in sources])
        heads = [(source.rows[-1].id, number) for number, source in enumerate(sources) if source.rows]
        heapify(heads)
        while heads:
            _, number = heads[0]
            source = sources[number]
            item = source.rows.pop()
            yield item
            if not source.rows:
                await self._fill(source, query, item.id, chunk)
            if source.rows:
                heapreplace(heads, (source.rows[-1].id, number))
            else:
                heappop(heads)

    async def _fill(self, source: _Source, query: Query, after: str | None, chunk: int) -> None:
        """Read the next rows of a topic."""
        lowest = "-" if query.since is None else "[" + lowest_id(micros(query.since))
        highest = "+" if query.until is None else "[" + lowest_id(micros(query.until) + SLACK)
        while source.more and not source.rows:
            if after is not None and (lowest == "-" or after >= lowest[1:]):
                lowest = "(" + after
            args: tuple[Arg, ...] = (_indexes(query.states), lowest, highest, chunk)
            rows = await self._topics.run(self._topics.tag(source.topic), PAGE, *args)
            source.more = len(rows) == chunk
            after = rows[-1][0].decode() if rows else after
            source.rows = [self._codec.item(source.topic, row) for row in reversed(rows) if len(row) > 1]

    async def find(self, query: Query, after: str | None, limit: int) -> Page:
        """See `Queue.find`. A page may be short, and still there is more: what matters is its ``after``."""
        found: list[Item] = []
        looked, last = 0, after
        async for item in self.scan(query, after, min(max(limit + 1, 20), CHUNK)):
            if looked >= LOOKED_AT or (len(found) == limit and matches(item, query)):
                return Page(found, after=last)
            looked += 1
            if len(found) < limit:
                last = item.id
                if matches(item, query):
                    found.append(item if item.payload is None else replace(item, payload=None))
        return Page(found)

    async def _meant(self, query: Query) -> AsyncIterator[Item]:
        async for item in self.scan(query):
            if matches(item, query):
                yield item

    async def count(self, query: Query) -> int:
        """See `Queue.count`. By topic and state it costs no scan, unless ready ones are told from waiting ones."""
        states = query.states or frozenset(State)
        live = states & _LIVE
        scans = query.ids or query.labels or query.error or query.status is not None
        if scans or query.since is not None or query.until is not None or len(live & _UNLEASED) == 1:
            return sum([1 async for _ in self._meant(query)])
        total = 0
        names = [name for name in await self._topics.names() if not query.topic or _means(query.topic, name)]
        for reply in await asyncio.gather(*[self._topics.run(self._topics.tag(name), TALLY) for name in names]):
            lives, leased, dead, done = reply[:4]
            total += (lives - leased) * bool(live & _UNLEASED) + leased * (State.LEASED in live)
            total += dead * (State.DEAD in states) + done * (State.DONE in states)
        return total

    async def export(self, query: Query) -> AsyncIterator[Item]:
        """See `Queue.export`."""
        held: list[Item] = []
        size = 0
        async for item in self._meant(query):
            held.append(item)
            size += item.size
            if size >= EXPORTED or len(held) >= CHUNK:
                for whole in await self._bodies(held):
                    yield whole
                held, size = [], 0
        for whole in await self._bodies(held):
            yield whole

    async def _bodies(self, items: Sequence[Item]) -> list[Item]:
        """Those that are still there, with payloads."""
        rows = await asyncio.gather(*[self._topics.run(self._topics.tag(item.topic), ONE, item.id) for item in items])
        return [self._whole(item.topic, row) for item, row in zip(items, rows, strict=True) if row]

    # --- changing ------------------------------------------------------------------------------------------------

    async def replay(self, query: Query, rate: float | None) -> int:
        """See `Queue.replay`."""
        replayed = begun = 0
        async for chunk in self._chunks(query, (query.states or _FINISHED) & _FINISHED):
            calls: dict[str, list[Arg]] = {}
            for item in chunk:
                calls.setdefault(item.topic, []).extend((item.id, micros(begun / rate) if rate else 0))
                begun += 1
            replayed += await self._each(REPLAY, calls)
        return replayed

    async def purge(self, query: Query) -> int:
        """See `Queue.purge`."""
        purged = 0
        async for chunk in self._chunks(query, (query.states or frozenset(State)) - {State.LEASED}):
            calls: dict[str, list[Arg]] = {}
            for item in chunk:
                seen = LETTERS[State.READY if item.state is State.WAITING else item.state]
                calls.setdefault(item.topic, []).extend((item.id, seen, item.attempts, item.replays))
            purged += await self._each(PURGE, calls)
        return purged

    async def _chunks(self, query: Query, states: frozenset[State]) -> AsyncIterator[list[Item]]:
        """What is meant and stands in one of these states, some at a time."""
        if not states:
            return
        chunk: list[Item] = []
        async for item in self.scan(query):
            if item.state in states and matches(item, query):
                chunk.append(item)
                if len(chunk) == CHUNK:
                    yield chunk
                    chunk = []
        if chunk:
            yield chunk

    async def _each(self, script: Script[Any], calls: dict[str, list[Arg]]) -> int:
        runs = [self._topics.run(self._topics.tag(topic), script, *args) for topic, args in calls.items()]
        return sum(await asyncio.gather(*runs))


def _indexes(states: Iterable[State]) -> str:
    wanted = frozenset(states) or frozenset(State)
    return "v" * bool(wanted & _LIVE) + "x" * (State.DEAD in wanted) + "f" * (State.DONE in wanted)
