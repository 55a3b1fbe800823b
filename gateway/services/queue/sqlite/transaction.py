"""One commit: what all the pieces of work in it share."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from gateway.services.queue.sqlite import schema, statements
from gateway.services.queue.sqlite.rows import COUNTER_BITS, decode, encode, micros

_COLUMN: Final = {
    schema.READY: 0, schema.WAITING: 0, schema.LEASED: 1, schema.HELD: 2, schema.DEAD: 2, schema.DONE: 3,
}  # fmt: skip
KEPT_TOPIC: Final = 0
"""In the tally: what is kept under names, which has bytes but is no item."""


class Topics:
    """Names and numbers of topics, as far as one connection has met them."""

    __slots__ = ("_names", "_numbers")

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def number(self, connection: sqlite3.Connection, name: str, *, make: bool = False) -> int | None:
        """None if there is no such topic and none is to be made."""
        found = self._numbers.get(name)
        if found is None:
            if make:
                connection.execute("INSERT OR IGNORE INTO topic (name) VALUES (?)", (name,))
            row = connection.execute("SELECT id FROM topic WHERE name = ?", (name,)).fetchone()
            if row is None:
                return None
            found = row[0]
            self._numbers[name], self._names[found] = found, name
        return found

    def name(self, connection: sqlite3.Connection, number: int) -> str:
        found = self._names.get(number)
        if found is None:
            row = connection.execute("SELECT name FROM topic WHERE id = ?", (number,)).fetchone()
            found = str(row[0]) if row else ""
            self._numbers[found], self._names[number] = number, found
        return found

    def clear(self) -> None:
        """After a rollback: one that was made is not there."""
        self._numbers.clear()
        self._names.clear()


class Work:
    """A piece of work; those of one class are applied together, in the order they came."""

    __slots__ = ()
    adds: ClassVar[bool] = False
    """It brings something in: it is refused while too much waits, and what ends work or makes room is not."""
    alone: ClassVar[bool] = False
    """It is done by `run_alone`, outside of any transaction."""
    cost: int
    """Bytes that it holds in memory."""

    @classmethod
    def apply(cls, tx: Transaction, works: Sequence[Any]) -> list[Any]:
        """Each one's result; an exception is that one's failure."""
        return [work.run(tx) for work in works]

    def run(self, tx: Transaction) -> Any:
        """What one does, where nothing is gained by doing many at once."""
        raise NotImplementedError

    def run_alone(self, connection: sqlite3.Connection) -> Any:
        """What begins and ends transactions itself."""
        raise NotImplementedError


@dataclass(slots=True)
class Transaction:
    """Open, under the file's write lock."""

    connection: sqlite3.Connection
    topics: Topics
    now: float
    max_items: int
    max_size: int
    woken: set[str] = field(default_factory=set)
    """Topics in which something may be taken afterwards."""
    _deltas: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0] * 6))
    _total: list[int] | None = None

    def run(self, statement: str, *parameters: object) -> None:
        self.connection.execute(statement, parameters)

    def each(self, statement: str, rows: Sequence[object], *more: object) -> None:
        """A statement over a JSON array, if there is anything in it."""
        if rows:
            self.connection.execute(statement, (encode(rows).decode(), *more))

    def ask(self, statement: str, rows: Sequence[object], *more: object) -> list[Any]:
        """What a statement answers in one JSON array."""
        if not rows:
            return []
        row = self.connection.execute(statement, (encode(rows).decode(), *more)).fetchone()
        return list(decode(row[0]))

    def ask_with(self, statement: str, parameters: Sequence[object]) -> list[Any]:
        """The same, with parameters of its own."""
        return list(decode(self.connection.execute(statement, tuple(parameters)).fetchone()[0]))

    def count(self, topic: int, state: int, items: int, size: int = 0) -> None:
        """So many items more (or fewer) in this state."""
        delta = self._deltas[topic]
        delta[_COLUMN[state]] += items
        delta[4] += size

    def count_replays(self, topic: int, items: int) -> None:
        self._deltas[topic][5] += items

    def room(self, items: int, size: int) -> bool:
        """Whether so much more may be put; if so, it is taken to be."""
        total = self._total or self._started(*self.connection.execute(statements.TOTAL).fetchone())
        if total[0] + items > self.max_items or total[1] + size > self.max_size:
            return False
        total[0] += items
        total[1] += size
        return True

    def _started(self, items: int, size: int) -> list[int]:
        """What was there before, and what this transaction did so far."""
        self._total = [
            items + sum(sum(delta[:4]) for delta in self._deltas.values()),
            size + sum(delta[4] for delta in self._deltas.values()),
        ]
        return self._total

    def before_put(self, keys: Sequence[int]) -> tuple[int, dict[tuple[int, int], int]]:
        """(a number than which every new one is greater, the numbers of items that are known by these keys).

        New numbers come after all that ever were, and not before now.
        """
        row = self.connection.execute(statements.BEFORE_PUT, (encode(keys).decode(), micros(self.now))).fetchone()
        last, items, size, known = row
        if self._total is None:
            self._started(items, size)
        now = (micros(self.now) // 1000 << COUNTER_BITS) - 1
        return max(int(last), now), {(key, rest): seq for key, rest, seq in decode(known)}

    def delete(self, seqs: Sequence[int]) -> None:
        """Rows of items; the tally is the caller's."""
        self.each(statements.DELETE_ITEMS, seqs)
        self.each(statements.DELETE_PAYLOADS, seqs)
        self.each(statements.DELETE_ATTEMPTS, seqs)

    def promote(self, orders: Iterable[int]) -> None:
        """Whoever is first in each of these orders gets ready, if nothing stands in its way."""
        self.each(statements.PROMOTE, list(orders))

    def finish(self) -> None:
        """Before the commit."""
        rows = [(topic, *delta) for topic, delta in self._deltas.items() if any(delta)]
        self.each(statements.ADD_TALLY, rows)
