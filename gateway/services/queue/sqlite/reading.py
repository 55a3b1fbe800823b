"""What readers ask: each a call on a reader's thread."""
# ruff: noqa: S608 - made of words of this package; what comes from outside is a parameter

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.services.clock import Clock
from gateway.services.queue.contract import Attempt, Item, Page, QueueError, Tally
from gateway.services.queue.sqlite import statements
from gateway.services.queue.sqlite.rows import (
    Names,
    accepted_of,
    attempt_of,
    decode,
    encode,
    item_of,
    micros,
    seconds_of,
)
from gateway.services.queue.sqlite.sealing import KEPT_PURPOSE, Sealing, purpose_of
from gateway.services.queue.sqlite.selection import Selection
from gateway.services.queue.sqlite.transaction import Topics

STALE_PART: Final = 20_000
"""Entries that one look for outdated ones goes through."""


class Reading:
    """Questions to one queue."""

    def __init__(self, names: Names, sealing: Sealing, clock: Clock) -> None:
        self._names = names
        self._sealing = sealing
        self._clock = clock
        self._oldest: dict[int, tuple[int, int]] = {}
        """By topic: how often it was replayed, and the number of its oldest item by then. That number only grows until
        a replay brings an old item back, so that nobody goes through what lies before it again."""

    def payloads(
        self, connection: sqlite3.Connection, topic: str, rows: Sequence[Sequence[Any]]
    ) -> Mapping[int, bytes | None]:
        """By number; None for what no key opens."""
        asked = encode([row[0] for row in rows]).decode()
        return {
            seq: self._sealing.opened(body, purpose_of(topic), sealed=bool(sealed))
            for seq, body, sealed in connection.execute(statements.PAYLOADS, (asked,))
        }

    @staticmethod
    def next(connection: sqlite3.Connection, topics: Topics, topic: str) -> float | None:
        """When something may be taken; None if there is nothing."""
        number = topics.number(connection, topic)
        if number is None:
            return None
        (moment,) = connection.execute(statements.NEXT, (number,)).fetchone()
        return None if moment is None else seconds_of(moment)

    def page(
        self, connection: sqlite3.Connection, topics: Topics, selection: Selection, after: int, limit: int
    ) -> Page:
        where, parameters = selection.where(self._clock.time(), after=after)
        found = connection.execute(
            f"SELECT json_group_array(json_array({statements.COLUMNS})) FROM "
            f"(SELECT * FROM item AS i {where} ORDER BY i.seq LIMIT ?) AS i {statements.LAST}",
            [*parameters, limit + 1],
        ).fetchone()
        rows = sorted(decode(found[0]), key=lambda row: row[0])
        now = self._clock.time()
        items = [item_of(self._names, topics.name(connection, row[1]), row, now) for row in rows[:limit]]
        return Page(items, items[-1].id if items and len(rows) > limit else None)

    def one(self, connection: sqlite3.Connection, topics: Topics, seq: int) -> Item | None:
        row = connection.execute(statements.ONE, (seq,)).fetchone()
        if row is None:
            return None
        topic = topics.name(connection, row[1])
        body = self.payloads(connection, topic, [row]).get(seq)
        return item_of(self._names, topic, row, self._clock.time(), body)

    @staticmethod
    def attempts(connection: sqlite3.Connection, seq: int) -> Sequence[Attempt]:
        return [attempt_of(row) for row in connection.execute(statements.ATTEMPTS, (seq,))]

    def count(self, connection: sqlite3.Connection, selection: Selection) -> int:
        where, parameters = selection.where(self._clock.time())
        (count,) = connection.execute(f"SELECT count(*) FROM item AS i {where}", parameters).fetchone()
        return int(count)

    def tally(self, connection: sqlite3.Connection) -> Sequence[Tally]:
        tallies = []
        for topic, name, ready, leased, dead, done, size, replays in connection.execute(statements.TALLY).fetchall():
            oldest = self._oldest_of(connection, topic, replays) if ready + leased else None
            tallies.append(Tally(name, ready, leased, dead, done, size, oldest))
        return tallies

    def _oldest_of(self, connection: sqlite3.Connection, topic: int, replays: int) -> float | None:
        known, seq = self._oldest.get(topic, (-1, 0))
        row = connection.execute(statements.OLDEST, (seq if known == replays else 0, topic)).fetchone()
        if row is None:
            return None
        self._oldest[topic] = (replays, row[0])
        return accepted_of(row[0])

    def stale(self, connection: sqlite3.Connection, after: int) -> tuple[int | None, Sequence[int]]:
        """(where to look on, None at the end; keys of deduplication whose window is over)."""
        last, count, keys = connection.execute(
            "SELECT max(key), count(*), json_group_array(key) FILTER (WHERE until <= ?1) FROM "
            "(SELECT key, until FROM dedup WHERE key > ?2 ORDER BY key LIMIT ?3)",
            (micros(self._clock.time()), after, STALE_PART),
        ).fetchone()
        return (last if count == STALE_PART else None), decode(keys)

    def kept(self, connection: sqlite3.Connection, name: str) -> bytes | None:
        row = connection.execute(statements.KEPT, (name, micros(self._clock.time()))).fetchone()
        if row is None:
            return None
        value, sealed = row
        opened = self._sealing.opened(value, KEPT_PURPOSE, sealed=bool(sealed))
        if opened is None:
            raise QueueError("no key opens what is kept under this name")
        return opened
