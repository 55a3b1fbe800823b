"""The pieces of work that put, hand out and settle: each kind is done for all that share a commit at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.services.queue.contract import (
    Attempt,
    Buried,
    Done,
    Draft,
    Item,
    Later,
    QueueFull,
    Receipt,
    Returned,
    Settlement,
    State,
)
from gateway.services.queue.sqlite import schema, statements
from gateway.services.queue.sqlite.rows import Names, decode, info_of, micros, writable
from gateway.services.queue.sqlite.sealing import Sealing, purpose_of
from gateway.services.queue.sqlite.transaction import Transaction, Work

ATTEMPTS_KEPT: Final = 100
DETAIL: Final = 1_000
"""Characters."""
TAKEN_BYTES: Final = 64 * 1024 * 1024
"""Payloads handed out at once; the first one always is."""
FULL: Final = "the queue holds as much as it may"


@dataclass(slots=True, eq=False)
class Put(Work):
    """A draft and what is made of it off the loop's thread."""

    adds = True
    draft: Draft
    names: Names
    sealing: Sealing
    cost: int = 0

    def __post_init__(self) -> None:
        self.cost = len(self.draft.payload)

    def dedup(self) -> tuple[int, int] | None:
        """What it is known by, if it may be a duplicate."""
        draft = self.draft
        return self.names.dedup(draft.topic, draft.dedup) if draft.dedup is not None and draft.window > 0 else None

    def order(self) -> int | None:
        draft = self.draft
        return self.names.order(draft.topic, draft.order) if draft.order is not None else None

    @classmethod
    def apply(cls, tx: Transaction, works: Sequence[Any]) -> list[Any]:
        return _Puts(tx).all(works)


@dataclass(slots=True)
class _Puts:
    """The rows of many drafts."""

    tx: Transaction
    items: list[Any] = field(default_factory=list)
    payloads: list[Any] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    dedup: list[Any] = field(default_factory=list)
    attempts: list[Any] = field(default_factory=list)

    def all(self, works: Sequence[Put]) -> list[Any]:
        tx = self.tx
        results: list[Any] = []
        keys = [work.dedup() for work in works]
        orders = [work.order() for work in works]
        asked = [key for key, _ in filter(None, keys)]
        seq, known = tx.before_put(asked)
        taken = set(tx.ask(statements.BLOCKED, list({order for order in orders if order is not None})))
        offset = 1
        for work, key, order in zip(works, keys, orders, strict=True):
            if key is not None and key in known:
                results.append(Receipt(work.names.id(known[key]), duplicate=True))
                continue
            if not tx.room(1, work.cost):
                results.append(QueueFull(FULL))
                continue
            seq += 1
            state = self._state(work.draft, order, taken)
            body = self._item(work, seq, state, order)
            self.payloads.append((seq, offset, len(body)))
            self.bodies.append(body)
            offset += len(body)
            if key is not None:
                known[key] = seq
                self.dedup.append((*key, seq, micros(tx.now + work.draft.window)))
            results.append(Receipt(work.names.id(seq)))
        self._write()
        return results

    @staticmethod
    def _state(draft: Draft, order: int | None, taken: set[int]) -> int:
        if draft.state is State.DEAD:
            return schema.DEAD
        if order is None:
            return schema.READY
        if order in taken:
            return schema.WAITING
        taken.add(order)
        return schema.READY

    def _item(self, work: Put, seq: int, state: int, order: int | None) -> bytes:
        """Notes the item's row; returns what is stored of its payload."""
        draft, tx = work.draft, self.tx
        topic = tx.topics.number(tx.connection, draft.topic, make=True)
        assert topic is not None
        now = micros(tx.now)
        body, sealed = work.sealing.stored(draft.payload, purpose_of(draft.topic))
        subject = work.names.subject(draft.subject) if draft.subject is not None else None
        number = 0
        if draft.last is not None:
            number = max(draft.last.number, 1)
            self.attempts.append(attempt_row(seq, number, draft.last))
        self.items.append((
            seq, topic, state, max(micros(draft.due), now), now if state == schema.DEAD else 0, number, work.cost,
            int(sealed), order, subject, info_of(draft.labels, draft.order),
        ))  # fmt: skip
        tx.count(topic, state, 1, work.cost)
        if state == schema.READY:
            tx.woken.add(draft.topic)
        return body

    def _write(self) -> None:
        tx = self.tx
        tx.each(statements.PUT_ITEMS, self.items)
        tx.each(statements.PUT_PAYLOADS, self.payloads, b"".join(self.bodies))
        self.dedup.sort()  # neighbours share a page
        tx.each(statements.PUT_DEDUP, self.dedup)
        tx.each(statements.PUT_ATTEMPTS, self.attempts)


def attempt_row(seq: int, number: int, attempt: Attempt) -> tuple[Any, ...]:
    return (
        seq, number, micros(attempt.began), micros(attempt.seconds), attempt.status, writable(attempt.error),
        writable(attempt.detail[:DETAIL]), writable(attempt.gateway),
    )  # fmt: skip


@dataclass(slots=True, eq=False)
class Take(Work):
    """Rows of `statements.COLUMNS`, leased."""

    topic: str
    limit: int
    lease: float
    cost: int = 0

    def run(self, tx: Transaction) -> list[list[Any]]:
        topic = tx.topics.number(tx.connection, self.topic)
        if topic is None or self.limit <= 0:
            return []
        now, until = micros(tx.now), micros(tx.now + self.lease)
        (found,) = tx.connection.execute(statements.TAKE, (topic, now, self.limit)).fetchone()
        rows: list[list[Any]] = decode(found)
        rows.sort(key=_by_age)
        taken = _within(rows[: self.limit])
        fresh = sum(1 for row in taken if row[2] == schema.READY)
        tx.each(statements.LEASE, [row[0] for row in taken], until)
        tx.count(topic, schema.READY, -fresh)
        tx.count(topic, schema.LEASED, fresh)
        for row in taken:
            row[2], row[4], row[5] = schema.LEASED, until, row[5] + 1
        return taken


def _by_age(row: Sequence[Any]) -> tuple[bool, int, int]:
    """What somebody had and did not settle first, then by when it fell due."""
    leased = row[2] == schema.LEASED
    return (not leased, row[4] if leased else row[3], row[0])


def _within(rows: list[list[Any]]) -> list[list[Any]]:
    """As many as fit into `TAKEN_BYTES`."""
    size = 0
    for place, row in enumerate(rows):
        size += row[9]
        if size > TAKEN_BYTES and place:
            return rows[:place]
    return rows


@dataclass(slots=True, eq=False)
class Renew(Work):
    """When the leases end now, for each item; None where it was lost."""

    items: Sequence[Item]
    names: Names
    lease: float
    cost: int = 0

    def run(self, tx: Transaction) -> list[float | None]:
        wanted = [(self.names.seq(item.id), item.lease) for item in self.items]
        held = {row[0]: str(row[2]) for row in tx.ask(statements.HELD, [seq for seq, _ in wanted if seq is not None])}
        still = [seq for seq, lease in wanted if seq is not None and held.get(seq) == lease]
        until = tx.now + self.lease
        tx.each(statements.RENEW, still, micros(until))
        kept = set(still)
        return [until if seq in kept and held.get(seq or 0) == lease else None for seq, lease in wanted]


@dataclass(slots=True, eq=False)
class Settle(Work):
    """Whether each lease was still held."""

    settlements: Sequence[Settlement]
    names: Names
    cost: int = 0

    @classmethod
    def apply(cls, tx: Transaction, works: Sequence[Any]) -> list[Any]:
        return list(_Settles(tx).all(works))


@dataclass(slots=True)
class _Settles:
    tx: Transaction
    deleted: list[int] = field(default_factory=list)
    changed: list[Any] = field(default_factory=list)
    attempts: list[Any] = field(default_factory=list)
    cut: list[Any] = field(default_factory=list)
    orders: set[int] = field(default_factory=set)

    def all(self, works: Sequence[Settle]) -> list[list[bool]]:
        tx = self.tx
        seqs = [[work.names.seq(one.item.id) for one in work.settlements] for work in works]
        asked = [seq for each in seqs for seq in each if seq is not None]
        held = {row[0]: row[1:] for row in tx.ask(statements.HELD, asked)}
        results = []
        for work, numbers in zip(works, seqs, strict=True):
            done = []
            for settlement, seq in zip(work.settlements, numbers, strict=True):
                row = held.get(seq or 0)
                mine = row is not None and str(row[1]) == settlement.item.lease
                if row is not None and seq is not None and mine:
                    del held[seq]  # a second settlement of it finds the lease gone
                    self._one(settlement, seq, row)
                done.append(mine)
            results.append(done)
        tx.each(statements.SETTLE, self.changed)
        tx.each(statements.PUT_ATTEMPTS, self.attempts)
        tx.each(statements.CUT_ATTEMPTS, self.cut)
        tx.delete(self.deleted)
        tx.promote(self.orders)
        return results

    def _one(self, settlement: Settlement, seq: int, row: Sequence[Any]) -> None:
        topic, _, due, attempts, rounds, size, order = row
        tx, now = self.tx, micros(self.tx.now)
        tx.count(topic, schema.LEASED, -1)
        if isinstance(settlement, Returned | Later):
            tx.woken.add(settlement.item.topic)
        if isinstance(settlement, Returned):
            tx.count(topic, schema.READY, 1)
            self.changed.append((seq, schema.READY, micros(settlement.due), 0, attempts, rounds))
            return
        if order is not None and not isinstance(settlement, Later):
            self.orders.add(order)
            tx.woken.add(settlement.item.topic)
        if isinstance(settlement, Done) and settlement.keep <= 0:
            tx.count(topic, schema.LEASED, 0, -size)
            self.deleted.append(seq)
            return
        number = max(attempts + 1, settlement.attempt.number)
        state, due, until = _after(settlement, due, now, ordered=order is not None)
        tx.count(topic, state, 1)
        self.changed.append((seq, state, due, until, number, rounds + 1))
        self.attempts.append(attempt_row(seq, number, settlement.attempt))
        if number > ATTEMPTS_KEPT:
            self.cut.append((seq, number - ATTEMPTS_KEPT))


def _after(settlement: Done | Later | Buried, due: int, now: int, *, ordered: bool) -> tuple[int, int, int]:
    """(state, due, until)."""
    if isinstance(settlement, Later):
        return schema.READY, micros(settlement.due), 0
    if isinstance(settlement, Buried):
        return schema.HELD if settlement.hold and ordered else schema.DEAD, due, now
    return schema.DONE, due, now + micros(settlement.keep)
