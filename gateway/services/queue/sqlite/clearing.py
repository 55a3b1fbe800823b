"""The pieces of work that go through many items: replay, purge, erase, sweep; and what is kept under names.

Each does a small part of what there is to do, so that puts and settlements get their turn between two parts.
"""
# ruff: noqa: S608 - statements are put together from words of this package; what comes from outside is a parameter

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.services.queue.contract import QueueFull
from gateway.services.queue.sqlite import schema, statements
from gateway.services.queue.sqlite.rows import micros
from gateway.services.queue.sqlite.sealing import KEPT_PURPOSE, Sealing
from gateway.services.queue.sqlite.selection import Selection
from gateway.services.queue.sqlite.transaction import KEPT_TOPIC, Transaction, Work
from gateway.services.queue.sqlite.writing import FULL

PART: Final = 500
"""Items that one commit changes."""
FREED_PAGES: Final = 2_048
"""Free pages that are left in the file for what comes next: 16 MiB."""
LEAST_SHRUNK: Final = 32
"""Pages that one commit gives back, at first."""
SHRINKING: Final = 0.02
"""Seconds that one commit may take for it."""
_ROWS: Final = "json_group_array(json_array(seq, topic, state, size, ord))"
_OF_SUBJECT: Final = (
    "SELECT {} FROM (SELECT * FROM {} WHERE subject IN (SELECT value FROM json_each(?1)) AND subject IS NOT NULL "
    f"LIMIT {PART})"
)


@dataclass(frozen=True, slots=True)
class Part:
    """What one part did."""

    count: int
    after: int
    """The number up to which it has looked."""
    over: bool


def _found(tx: Transaction, where: str, parameters: Sequence[object]) -> list[list[Any]]:
    return tx.ask_with(f"SELECT {_ROWS} FROM (SELECT * FROM item AS i {where})", parameters)


@dataclass(slots=True, eq=False)
class Replay(Work):
    """Dead and done items after a number, up to another."""

    selection: Selection
    after: int
    upto: int
    first_due: float
    rate: float | None
    done_before: int
    cost: int = 0

    def run(self, tx: Transaction) -> Part:
        where, parameters = self.selection.where(tx.now, after=self.after, upto=self.upto)
        rows = _found(tx, f"{where} ORDER BY i.seq LIMIT {PART}", parameters)
        changed, orders = [], set()
        for place, (seq, topic, state, _, order) in enumerate(rows, self.done_before):
            due = self.first_due + (place / self.rate if self.rate else 0.0)
            new = schema.READY if order is None else schema.WAITING
            changed.append((seq, new, micros(due)))
            tx.count(topic, state, -1)
            tx.count(topic, new, 1)
            tx.count_replays(topic, 1)
            tx.woken.add(tx.topics.name(tx.connection, topic))
            if order is not None:
                orders.add(order)
        tx.each(statements.REPLAY, changed)
        # What waited behind it stands behind it again: an order is that of acceptance.
        tx.each(statements.DEMOTE, list(orders))
        tx.promote(orders)
        return Part(len(rows), rows[-1][0] if rows else self.upto, len(rows) < PART)


def _delete(tx: Transaction, rows: Sequence[Sequence[Any]]) -> None:
    orders = set()
    for _, topic, state, size, order in rows:
        tx.count(topic, state, -1, -size)
        if order is not None and state <= schema.HELD:
            orders.add(order)
            tx.woken.add(tx.topics.name(tx.connection, topic))
    tx.delete([row[0] for row in rows])
    tx.promote(orders)


@dataclass(slots=True, eq=False)
class Purge(Work):
    """Items after a number, up to another, that are not leased."""

    selection: Selection
    after: int
    upto: int
    cost: int = 0

    def run(self, tx: Transaction) -> Part:
        where, parameters = self.selection.where(tx.now, after=self.after, upto=self.upto)
        rows = _found(
            tx, f"{where} AND NOT (i.state = 1 AND i.until > {micros(tx.now)}) ORDER BY i.seq LIMIT {PART}", parameters
        )
        _delete(tx, rows)
        return Part(len(rows), rows[-1][0] if rows else self.upto, len(rows) < PART)


@dataclass(slots=True, eq=False)
class Erase(Work):
    """A subject's items, leased or not, and values."""

    subjects: Sequence[int]
    cost: int = 0

    def run(self, tx: Transaction) -> Part:
        tx.run("PRAGMA secure_delete = ON")  # what was here shall not be read out of the file's free pages
        try:
            rows = tx.ask(_OF_SUBJECT.format(_ROWS, "item"), self.subjects)
            _delete(tx, rows)
            kept = tx.ask(_OF_SUBJECT.format("json_group_array(json_array(id, size))", "kept"), self.subjects)
            _forget(tx, kept)
        finally:
            tx.run("PRAGMA secure_delete = FAST")
        return Part(len(rows) + len(kept), 0, len(rows) < PART and len(kept) < PART)


def _forget(tx: Transaction, rows: Sequence[Sequence[int]]) -> None:
    tx.each("DELETE FROM kept WHERE id IN (SELECT value FROM json_each(?1))", [row[0] for row in rows])
    tx.count(KEPT_TOPIC, schema.DONE, 0, -sum(row[1] for row in rows))


@dataclass(slots=True, eq=False)
class Sweep(Work):
    """What has had its time: done items, dead letters, values."""

    retention: float
    cost: int = 0

    def run(self, tx: Transaction) -> Part:
        now = micros(tx.now)
        rows: list[list[Any]] = []
        dead = now - micros(self.retention)
        for state, before in ((schema.DONE, now), (schema.DEAD, dead), (schema.HELD, dead)):
            if len(rows) < PART:
                rows += _found(
                    tx, f"WHERE i.state = {state} AND i.state >= 3 AND i.until <= ?1 ORDER BY i.until LIMIT ?2",
                    (before, PART - len(rows)),
                )  # fmt: skip
        _delete(tx, rows)
        kept = tx.ask_with(
            "SELECT json_group_array(json_array(id, size)) FROM (SELECT id, size FROM kept WHERE until <= ?1 LIMIT ?2)",
            (now, PART),
        )
        _forget(tx, kept)
        return Part(len(rows) + len(kept), 0, len(rows) < PART and len(kept) < PART)


@dataclass(slots=True, eq=False)
class ForgetDedup(Work):
    """Entries whose window is over."""

    keys: Sequence[int]
    cost: int = 0

    def run(self, tx: Transaction) -> int:
        before = tx.connection.total_changes
        tx.each("DELETE FROM dedup WHERE key IN (SELECT value FROM json_each(?1)) AND until <= ?2", self.keys,
                micros(tx.now))  # fmt: skip
        return tx.connection.total_changes - before


@dataclass(slots=True, eq=False)
class Shrink(Work):
    """Give free pages at the file's end back; True if there are more than shall be left.

    Moving a page costs more the more free ones there are: how many are moved is learnt from how long it took.
    """

    alone = True
    cost: int = 0
    pages: int = LEAST_SHRUNK

    def run_alone(self, connection: sqlite3.Connection) -> bool:
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        if free <= FREED_PAGES:
            return False
        began = time.monotonic()
        # Through execute() the module would stop after one page.
        pages = min(self.pages, free - FREED_PAGES)
        try:
            connection.executescript(f"BEGIN IMMEDIATE; PRAGMA incremental_vacuum({pages}); COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        took = time.monotonic() - began
        self.pages = self.pages * 2 if took < SHRINKING / 2 else max(self.pages // 2, LEAST_SHRUNK)
        return True


@dataclass(slots=True, eq=False)
class Keep(Work):
    """A value under a name."""

    adds = True
    name: str
    value: bytes
    ttl: float
    subject: int | None
    sealing: Sealing
    cost: int = 0

    def __post_init__(self) -> None:
        self.cost = len(self.value)

    def run(self, tx: Transaction) -> QueueFull | None:
        row = tx.connection.execute("SELECT size FROM kept WHERE name = ?", (self.name,)).fetchone()
        before = row[0] if row else 0
        if not tx.room(0, self.cost - before):
            return QueueFull(FULL)
        value, sealed = self.sealing.stored(self.value, KEPT_PURPOSE)
        tx.run(
            "INSERT OR REPLACE INTO kept (name, value, until, size, sealed, subject) VALUES (?, ?, ?, ?, ?, ?)",
            self.name, value, micros(tx.now + self.ttl), self.cost, int(sealed), self.subject,
        )  # fmt: skip
        tx.count(KEPT_TOPIC, schema.DONE, 0, self.cost - before)
        return None


@dataclass(slots=True, eq=False)
class Forget(Work):
    """A name."""

    name: str
    cost: int = 0

    def run(self, tx: Transaction) -> None:
        row = tx.connection.execute("SELECT id, size FROM kept WHERE name = ?", (self.name,)).fetchone()
        if row:
            _forget(tx, [row])


@dataclass(slots=True, eq=False)
class Ping(Work):
    """Nothing, but written."""

    cost: int = 0

    def run(self, tx: Transaction) -> None:
        tx.run("INSERT OR REPLACE INTO fact VALUES ('pinged', ?)", micros(tx.now))
