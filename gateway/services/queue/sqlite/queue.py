"""The queue on SQLite: one file, no other service."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from gateway.services.clock import Clock
from gateway.services.queue.contract import (
    UNREADABLE,
    Attempt,
    Buried,
    Draft,
    Item,
    Page,
    Query,
    QueueError,
    Receipt,
    Returned,
    Settlement,
    State,
    Tally,
)
from gateway.services.queue.opening import QueueSettings
from gateway.services.queue.sqlite import backup, clearing, schema, statements
from gateway.services.queue.sqlite.reader import Reader
from gateway.services.queue.sqlite.reading import Reading
from gateway.services.queue.sqlite.rows import Names, item_of
from gateway.services.queue.sqlite.sealing import Sealing
from gateway.services.queue.sqlite.selection import Selection
from gateway.services.queue.sqlite.transaction import Work
from gateway.services.queue.sqlite.writer import Writer
from gateway.services.queue.sqlite.writing import Put, Renew, Settle, Take

Answer = TypeVar("Answer")

SHRINKING: Final = 5.0
"""Seconds of a sweep in which the file may be made smaller."""
STALE_PARTS: Final = 50
"""Of `reading.STALE_PART` keys, a sweep."""
EXPORT_PAGE: Final = 50
LEAST_WAIT: Final = 0.001
"""Seconds: what falls due at a moment is found by looking just after it."""


class SqliteQueue:
    """See `gateway.services.queue.contract.Queue`."""

    warnings: Sequence[str] = ()
    """Every commit is synced, however the machine is set up."""

    def __init__(
        self, path: Path, settings: QueueSettings, clock: Clock, connection: sqlite3.Connection, lock: int
    ) -> None:
        """``lock``: a handle that says to `restore` that the file is in use; closed with the queue."""
        (secret,) = connection.execute(schema.SECRET).fetchone()
        self.path = path
        self._settings = settings
        self._clock = clock
        self._lock = lock
        self._names = Names(secret, settings.keys)
        self._sealing = Sealing(settings.keys)
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self._writer = Writer(path, connection, clock, limits=(settings.max_items, settings.max_size), wake=self._wake)
        self._points = Reader(path, "reader")
        self._scans = Reader(path, "scanner")
        self._reading = Reading(self._names, self._sealing, clock)
        self._closing = False
        self._swept = -1

    def configure(self, settings: QueueSettings) -> None:
        self._sealing.configure(settings.keys)
        self._names.configure(settings.keys)
        self._writer.limits = settings.max_items, settings.max_size
        self._settings = settings

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._wake(None)
        await self._points.close()
        await self._scans.close()
        await self._writer.close()
        backup.leave(self._lock)

    # ---- work --------------------------------------------------------------------------------------------------

    async def put(self, draft: Draft) -> Receipt:
        receipt: Receipt = await self._writer.submit(Put(draft, self._names, self._sealing))
        return receipt

    async def take(self, topic: str, limit: int, lease: float) -> Sequence[Item]:
        def give_back(rows: Sequence[Any]) -> None:
            """Nobody waits for them any more: the next taker shall not wait for the leases."""
            held = [item_of(self._names, topic, row, 0.0) for row in rows]
            self._forgettable(Settle([Returned(item, item.due) for item in held], self._names))

        rows = await self._writer.submit(Take(topic, limit, lease), give_back)
        if not rows:
            return []
        try:
            bodies = await self._points.ask(lambda connection, _: self._reading.payloads(connection, topic, rows))
        except BaseException:
            give_back(rows)
            raise
        items: list[Item] = []
        unreadable: list[Item] = []
        for row in rows:
            seq = row[0]
            if seq in bodies:  # else it was erased meanwhile
                item = item_of(self._names, topic, row, 0.0, bodies[seq])
                (unreadable if item.payload is None else items).append(item)
        if unreadable:
            now = self._clock.time()
            await self.settle([
                Buried(item, Attempt(item.attempts + 1, now, 0.0, error=UNREADABLE, detail="no key opens its payload",
                                     gateway=self._settings.gateway))
                for item in unreadable
            ])  # fmt: skip
        return items

    async def wait(self, topic: str, longest: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(topic, set())
        waiters.add(future)
        self._writer.watch()
        try:
            due = await self._points.ask(lambda connection, topics: self._reading.next(connection, topics, topic))
            left = longest if due is None else min(longest, due - self._clock.time() + LEAST_WAIT)
            if left > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await future
        finally:
            waiters.discard(future)
            if not waiters:
                self._waiters.pop(topic, None)
            self._writer.unwatch()

    def _wake(self, topics: Iterable[str] | None) -> None:
        for topic in list(self._waiters) if topics is None else topics:
            for future in self._waiters.get(topic, ()):
                if not future.done():
                    future.set_result(None)

    async def renew(self, items: Sequence[Item], lease: float) -> Sequence[Item]:
        ends = await self._writer.submit(Renew(items, self._names, lease))
        return [replace(item, lease_until=end) for item, end in zip(items, ends, strict=True) if end is not None]

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool]:
        held: list[bool] = await self._writer.submit(Settle(settlements, self._names)) if settlements else []
        return held

    def _forgettable(self, work: Work) -> None:
        """Work that nobody waits for."""
        with contextlib.suppress(QueueError):
            self._writer.submit(work).add_done_callback(_read)

    # ---- looking -----------------------------------------------------------------------------------------------

    async def find(self, query: Query, *, after: str | None = None, limit: int = 100) -> Page:
        selection = Selection.of(query, self._names)
        since = self._names.seq(after) if after is not None else None
        if after is not None and since is None:
            raise QueueError("there is no such place in the listing")
        # Items by name are found at once: whoever asks for them does not wait behind somebody who looks through all.
        readers = self._points if query.ids and not selection.kept else self._scans
        return await readers.ask(
            lambda connection, topics: self._reading.page(connection, topics, selection, since or -1, limit)
        )

    async def get(self, id: str) -> Item | None:  # noqa: A002
        seq = self._names.seq(id)
        if seq is None:
            return None
        return await self._points.ask(lambda connection, topics: self._reading.one(connection, topics, seq))

    async def attempts(self, id: str) -> Sequence[Attempt]:  # noqa: A002
        seq = self._names.seq(id)
        if seq is None:
            return []
        return await self._points.ask(lambda connection, _: self._reading.attempts(connection, seq))

    async def count(self, query: Query) -> int:
        selection = Selection.of(query, self._names)
        return await self._scans.ask(lambda connection, _: self._reading.count(connection, selection))

    async def export(self, query: Query) -> AsyncIterator[Item]:
        after: str | None = None
        while True:
            page = await self.find(query, after=after, limit=EXPORT_PAGE)
            for item in page.items:
                whole = await self.get(item.id)
                if whole is not None:
                    yield whole
            after = page.after
            if after is None:
                return

    async def tally(self) -> Sequence[Tally]:
        return await self._scans.ask(lambda connection, _: self._reading.tally(connection))

    # ---- many at once ------------------------------------------------------------------------------------------

    async def replay(self, query: Query, *, rate: float | None = None) -> int:
        if rate is not None and not rate > 0:
            raise ValueError("a rate is more than nothing a second")
        selection = Selection.of(query, self._names, only=frozenset({State.DEAD, State.DONE}))
        upto, count, after, start = await self._newest(), 0, -1, self._clock.time()
        while True:
            work = clearing.Replay(selection, after, upto, start, rate, count)
            part: clearing.Part = await self._writer.submit(work)
            count, after = count + part.count, part.after
            if part.over:
                return count

    async def purge(self, query: Query) -> int:
        selection = Selection.of(query, self._names)
        upto, count, after = await self._newest(), 0, -1
        while True:
            part: clearing.Part = await self._writer.submit(clearing.Purge(selection, after, upto))
            count, after = count + part.count, part.after
            if part.over:
                return count

    async def _newest(self) -> int:
        """What comes later was not meant."""
        (seq,) = await self._scans.ask(lambda connection, _: connection.execute(statements.LAST_SEQ).fetchone())
        return int(seq)

    async def erase(self, subject: str) -> int:
        subjects, count = self._names.subjects(subject), 0
        while True:
            part: clearing.Part = await self._writer.submit(clearing.Erase(subjects))
            count += part.count
            if part.over:
                return count

    async def sweep(self) -> int:
        count = 0
        while True:
            part: clearing.Part = await self._writer.submit(clearing.Sweep(self._settings.retention))
            count += part.count
            if part.over:
                break
        count += await self._sweep_dedup()
        shrink, until = clearing.Shrink(), self._clock.now() + SHRINKING
        while await self._writer.submit(shrink) and self._clock.now() < until:
            pass  # the rest with the next sweep
        return count

    async def _sweep_dedup(self) -> int:
        """Some of the keys whose window is over, on from where the last sweep stopped."""
        count = 0
        for _ in range(STALE_PARTS):
            ask = functools.partial(self._reading.stale, after=self._swept)
            after, keys = await self._scans.ask(lambda connection, _, ask=ask: ask(connection))  # type: ignore[misc]
            if keys:
                count += await self._writer.submit(clearing.ForgetDedup(keys))
            self._swept = -1 if after is None else after
            if after is None:
                break
        return count

    # ---- values ------------------------------------------------------------------------------------------------

    async def keep(self, name: str, value: bytes, ttl: float, *, subject: str | None = None) -> None:
        digest = None if subject is None else self._names.subject(subject)
        await self._writer.submit(clearing.Keep(name, value, ttl, digest, self._sealing))

    async def kept(self, name: str) -> bytes | None:
        return await self._points.ask(lambda connection, _: self._reading.kept(connection, name))

    async def forget(self, name: str) -> None:
        await self._writer.submit(clearing.Forget(name))

    # ---- the file ----------------------------------------------------------------------------------------------

    async def ping(self) -> None:
        await self._writer.submit(clearing.Ping())

    async def backup(self, destination: Path) -> None:
        if await asyncio.to_thread(_same, destination, self.path):
            raise QueueError("a queue is no backup of itself")
        await self._alone("backup", lambda connection: backup.copy(connection, destination))

    async def check(self) -> Sequence[str]:
        return await self._alone("check", backup.faults)

    async def _alone(self, name: str, long: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Something that takes minutes, on a thread and connection of its own."""
        reader = Reader(self.path, name)
        try:
            return await reader.ask(lambda connection, _: long(connection))
        finally:
            await reader.close()


def _same(one: Path, other: Path) -> bool:
    return one.exists() and one.samefile(other)


def _read(future: asyncio.Future[Any]) -> None:
    """An exception that nobody reads is reported by asyncio; this one is known to matter to nobody."""
    if not future.cancelled():
        future.exception()
