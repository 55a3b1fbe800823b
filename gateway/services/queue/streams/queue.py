"""The durable queue on Redis Streams: several replicas share its work, and take over what one of them leaves behind.

A topic's due items stand in a stream with one consumer group; each replica is a consumer, and what it was handed lies
in its pending list until it settles. Ends of leases stand beside, in a sorted set, because each lease may have another
length. Every step is one script (``lua/``), and time is Redis'.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from gateway.errors import InternalError, StoreUnavailable
from gateway.services.clock import Clock
from gateway.services.queue.contract import (
    UNREADABLE,
    Attempt,
    Buried,
    Done,
    Draft,
    Item,
    Later,
    Page,
    Query,
    QueueFull,
    QueueUnavailable,
    Receipt,
    Returned,
    Settlement,
    Tally,
    Unsupported,
)
from gateway.services.queue.opening import QueueSettings
from gateway.services.queue.streams.audit import Audit
from gateway.services.queue.streams.durability import doubts
from gateway.services.queue.streams.kept import Kept
from gateway.services.queue.streams.keys import digest, tag_of_id
from gateway.services.queue.streams.listing import Listing
from gateway.services.queue.streams.putting import Putting
from gateway.services.queue.streams.room import Room
from gateway.services.queue.streams.rows import Codec, Unreadable, encoded, micros, read_attempt, seconds
from gateway.services.queue.streams.scripts import ATTEMPTS, ERASE, RENEW, SETTLE, SWEEP, TAKE, TALLY
from gateway.services.queue.streams.topics import Topics
from gateway.services.queue.streams.waiting import Waiting
from gateway.services.store import Script
from gateway.services.store.redis import RedisStore
from gateway.services.store.wire import Arg

log = logging.getLogger("gateway.queue")

CHUNK: Final = 200
"""Items that one script settles, renews, takes or sweeps: Redis does nothing else meanwhile."""
GONE = 86_400.0
"""Seconds after which a replica that holds nothing and asks for nothing is forgotten."""
FAREWELL: Final = 5.0
"""Seconds that closing waits for what was handed in."""
T = TypeVar("T")


class StreamsQueue:
    """A `Queue` in Redis. Make it on the event loop that uses it; ``store`` is its own, and open."""

    def __init__(self, store: RedisStore, settings: QueueSettings, clock: Clock) -> None:
        self.store = store
        self.warnings: Sequence[str] = ()
        """Why something accepted may be lost all the same (`durability.doubts`); as of opening and the last sweep."""
        self._settings = settings
        self._topics = Topics(store, clock)
        self._codec = Codec(settings)
        self._listing = Listing(self._topics, self._codec)
        self._kept = Kept(self._topics, self._codec)
        self._waiting = Waiting(self._topics)
        self._room = Room(self._topics)
        self._putting = Putting(self._topics, self._room, settings)
        self._under_way = 0
        self._landed = asyncio.Event()
        self._closed = False

    def configure(self, settings: QueueSettings) -> None:
        """See `Queue.configure`."""
        self._settings = settings
        self._putting.settings = settings
        self._codec.configure(settings)

    async def open(self) -> None:
        """Look at the server's settings and log what they put at risk. A Redis that is away is no error: what is put
        meanwhile is refused.
        """
        await self._judge()

    async def _judge(self) -> None:
        try:
            found = await doubts(self.store)
        except (StoreUnavailable, InternalError) as error:
            found = [f"it is not known whether Redis keeps what it accepts: {error.reason}"]
        for line in found:
            if line not in self.warnings:
                log.warning("durable queue: %s", line)
        self.warnings = found

    async def close(self) -> None:
        """See `Queue.close`."""
        if self._closed:
            return
        self._closed = True
        if self._under_way:
            try:
                async with asyncio.timeout(FAREWELL):
                    await self._landed.wait()
            except TimeoutError:
                log.warning("durable queue: closed while %d calls were not answered", self._under_way)
        self._topics.close()
        await self._waiting.close()
        await self._putting.close()
        await self._room.close()
        await self.store.close()

    @contextmanager
    def _handed_in(self) -> Iterator[None]:
        """A change that closing waits for."""
        if self._closed:
            raise QueueUnavailable("the queue is closed")
        self._under_way += 1
        self._landed.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._landed.set()

    async def _run(self, topic: str, script: Script[Any], *args: Arg) -> Any:
        return await self._topics.run(self._topics.tag(topic), script, *args)

    # --- the way of an item --------------------------------------------------------------------------------------

    async def put(self, draft: Draft) -> Receipt:
        """See `Queue.put`. After a timeout it is not known whether it was kept: with ``dedup`` a second put tells."""
        with self._handed_in():
            became, id_ = await self._putting.put(draft.topic, self._codec.draft(draft))
        if became == b"full":
            raise QueueFull("it holds as many items or bytes as it may")
        return Receipt(id_, duplicate=became == b"duplicate")

    async def take(self, topic: str, limit: int, lease: float) -> Sequence[Item]:
        """See `Queue.take`."""
        if limit < 1:
            return []
        token = secrets.token_hex(8)
        consumer = self._settings.gateway or "gateway"
        rows = await self._run(topic, TAKE, min(limit, CHUNK), micros(lease), token, consumer)
        items: list[Item] = []
        for row in rows:
            try:
                items.append(self._codec.item(topic, row, whole=True))
            except Unreadable as error:
                item = self._codec.item(topic, row)
                now = item.lease_until - lease
                attempt = Attempt(
                    item.attempts + 1, now, 0.0, error=UNREADABLE, detail=str(error), gateway=self._settings.gateway
                )
                await self.settle([Buried(item, attempt)])
        return items

    async def wait(self, topic: str, longest: float) -> None:
        """See `Queue.wait`."""
        await self._waiting.wait(topic, longest)

    async def renew(self, items: Sequence[Item], lease: float) -> Sequence[Item]:
        """See `Queue.renew`."""
        held: dict[str, float] = {}
        calls = [
            (topic, chunk)
            for topic, each in _by_topic(items, lambda item: item.topic).items()
            for chunk in _chunks(each)
        ]
        replies = await asyncio.gather(
            *[
                self._run(topic, RENEW, micros(lease), *[word for item in chunk for word in (item.id, item.lease)])
                for topic, chunk in calls
            ]
        )
        for (_, chunk), (until, *results) in zip(calls, replies, strict=True):
            held.update({item.id: seconds(until) for item, kept in zip(chunk, results, strict=True) if kept})
        return [replace(item, lease_until=held[item.id]) for item in items if item.id in held]

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool]:
        """See `Queue.settle`. What concerns one topic is one commit (up to `CHUNK` items)."""
        with self._handed_in():
            return await self._settle(settlements)

    async def _settle(self, settlements: Sequence[Settlement]) -> Sequence[bool]:
        places = range(len(settlements))
        calls = [
            (topic, chunk)
            for topic, each in _by_topic(places, lambda place: settlements[place].item.topic).items()
            for chunk in _chunks(each)
        ]
        replies = await asyncio.gather(
            *[
                self._run(topic, SETTLE, *[word for place in chunk for word in _words(settlements[place])])
                for topic, chunk in calls
            ]
        )
        results = [False] * len(settlements)
        for (_, chunk), reply in zip(calls, replies, strict=True):
            for place, done in zip(chunk, reply, strict=True):
                results[place] = bool(done)
        return results

    # --- for people ----------------------------------------------------------------------------------------------

    async def find(self, query: Query, *, after: str | None = None, limit: int = 100) -> Page:
        """See `Queue.find`."""
        return await self._listing.find(query, after, limit)

    async def get(self, id: str) -> Item | None:  # noqa: A002
        """See `Queue.get`."""
        return await self._listing.one(id)

    async def attempts(self, id: str) -> Sequence[Attempt]:  # noqa: A002
        """See `Queue.attempts`."""
        tag = tag_of_id(id)
        return [] if tag is None else [read_attempt(raw) for raw in await self._topics.run(tag, ATTEMPTS, id)]

    async def count(self, query: Query) -> int:
        """See `Queue.count`."""
        return await self._listing.count(query)

    def export(self, query: Query) -> AsyncIterator[Item]:
        """See `Queue.export`."""
        return self._listing.export(query)

    async def replay(self, query: Query, *, rate: float | None = None) -> int:
        """See `Queue.replay`."""
        return await self._listing.replay(query, rate)

    async def purge(self, query: Query) -> int:
        """See `Queue.purge`."""
        return await self._listing.purge(query)

    async def erase(self, subject: str) -> int:
        """See `Queue.erase`. Redis' append-only file holds the data until it is next rewritten (BGREWRITEAOF)."""
        erased = await self._kept.erase(subject)
        for name in await self._topics.names():
            more = 1
            while more:
                gone, more = await self._topics.run(self._topics.tag(name), ERASE, digest(subject))
                erased += gone
        return erased

    async def tally(self) -> Sequence[Tally]:
        """See `Queue.tally`."""
        names = await self._topics.names()
        replies = await asyncio.gather(*[self._topics.run(self._topics.tag(name), TALLY) for name in names])
        return [
            Tally(name, live - leased, leased, dead, done, int(size), seconds(oldest) if oldest else None)
            for name, (live, leased, dead, done, size, oldest) in zip(names, replies, strict=True)
        ]

    async def sweep(self) -> int:
        """See `Queue.sweep`. Dedup entries and kept values go by themselves."""
        swept = 0
        for name in await self._topics.names():
            gone = CHUNK
            while gone >= CHUNK:
                tag = self._topics.tag(name)
                span = micros(self._settings.retention)
                gone = await self._topics.run(tag, SWEEP, span, CHUNK, int(GONE * 1000))
                swept += gone
        await self._judge()
        return swept

    # --- values --------------------------------------------------------------------------------------------------

    async def keep(self, name: str, value: bytes, ttl: float, *, subject: str | None = None) -> None:
        """See `Queue.keep`."""
        await self._kept.keep(name, value, ttl, subject)

    async def kept(self, name: str) -> bytes | None:
        """See `Queue.kept`."""
        return await self._kept.kept(name)

    async def forget(self, name: str) -> None:
        """See `Queue.forget`."""
        await self._kept.forget(name)

    # --- the queue as such ---------------------------------------------------------------------------------------

    async def ping(self) -> None:
        """See `Queue.ping`."""
        if self._closed:
            raise QueueUnavailable("the queue is closed")
        try:
            await self.store.ping()
        except StoreUnavailable as error:
            raise QueueUnavailable(error.reason) from error

    async def backup(self, destination: Path) -> None:  # noqa: ARG002 - the contract's
        """Not from here: raises Unsupported."""
        raise Unsupported(
            "a queue in Redis is backed up with Redis' own means: copy its append-only directory (after BGREWRITEAOF)"
            " or the file of BGSAVE, from a replica if there is one"
        )

    async def check(self) -> Sequence[str]:
        """See `Queue.check`. What the server's settings put at risk is in `warnings`."""
        return await Audit(self._topics).problems()


def _words(settlement: Settlement) -> tuple[Arg, ...]:
    """One settlement as settle.lua takes it."""
    item = settlement.item
    if isinstance(settlement, Returned):
        return ("r", item.id, item.lease, micros(settlement.due), "", 0, "")
    attempt = settlement.attempt
    tried = (encoded(attempt), attempt.status, attempt.error)
    if isinstance(settlement, Done):
        return ("d", item.id, item.lease, micros(settlement.keep), *tried)
    if isinstance(settlement, Later):
        return ("l", item.id, item.lease, micros(settlement.due), *tried)
    return ("h" if settlement.hold else "b", item.id, item.lease, 0, *tried)


def _by_topic(things: Iterable[T], topic: Callable[[T], str]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = {}
    for thing in things:
        found.setdefault(topic(thing), []).append(thing)
    return found


def _chunks(things: Sequence[T]) -> Iterable[Sequence[T]]:
    return (things[start : start + CHUNK] for start in range(0, len(things), CHUNK))
