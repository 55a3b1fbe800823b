"""From a query to the condition that SQLite looks for."""
# ruff: noqa: S608 - made of words of this package; what comes from outside is a parameter

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.services.queue.contract import Query, State
from gateway.services.queue.sqlite import schema
from gateway.services.queue.sqlite.rows import Names, encode, first_seq, micros, writable

_STATES: Final = {
    State.READY: f"+i.state = {schema.READY} OR i.state = {schema.LEASED} AND i.until <= {{now}}",
    State.WAITING: f"+i.state = {schema.WAITING}",
    State.LEASED: f"i.state = {schema.LEASED} AND i.until > {{now}}",
    State.DEAD: f"+i.state IN ({schema.HELD}, {schema.DEAD})",
    State.DONE: f"+i.state = {schema.DONE}",
}
KEPT: Final = frozenset({State.DEAD, State.DONE})
NEWEST: Final = (1 << 63) - 1


@dataclass(slots=True)
class Selection:
    """Conditions on ``item AS i``, each with its parameters."""

    kept: bool
    """Only dead and done ones are meant: they have an index of their own."""
    conditions: Sequence[str]
    parameters: Sequence[object]
    since: int
    until: int

    @classmethod
    def of(cls, query: Query, names: Names, *, only: frozenset[State] = frozenset()) -> Selection:
        """``only``: of all states, these are looked at."""
        states = (query.states or frozenset(State)) & (only or frozenset(State))
        conditions: list[str] = []
        parameters: list[object] = []

        def add(condition: str, *values: object) -> None:
            conditions.append(condition)
            parameters.extend(values)

        if query.ids:
            seqs = [seq for seq in map(names.seq, query.ids) if seq is not None]
            add("i.seq IN (SELECT value FROM json_each(?))", encode(seqs).decode())
        if states != frozenset(State):
            # {now}: a lease that has run out is none.
            add(f"({' OR '.join(sorted(_STATES[state] for state in states)) or 'false'})")
        if query.topic.endswith("/"):
            add("+i.topic IN (SELECT id FROM topic WHERE substr(name, 1, ?) = ?)", len(query.topic), query.topic)
        elif query.topic:
            add("+i.topic = (SELECT id FROM topic WHERE name = ?)", query.topic)
        for name, value in query.labels.items():
            # The path is matched, not built: a label's name may hold any character.
            add(
                "EXISTS (SELECT 1 FROM json_each(i.info, '$.labels') AS l WHERE l.key = ? AND l.value = ?)",
                writable(name), writable(value),
            )  # fmt: skip
        last: list[str] = []
        if query.status is not None:
            last.append("a.status = ?")
            parameters.append(query.status)
        if query.error:
            last.append("a.error = ?")
            parameters.append(query.error)
        if last:
            conditions.append(
                "EXISTS (SELECT 1 FROM attempt AS a WHERE a.seq = i.seq AND a.number = i.attempts AND "
                + " AND ".join(last)
                + ")"
            )
        since = 0 if query.since is None else first_seq(query.since)
        until = NEWEST if query.until is None else first_seq(query.until)
        return cls(states <= KEPT, conditions, parameters, max(since, 0), max(min(until, NEWEST), 0))

    def where(self, now: float, *, after: int = -1, upto: int = NEWEST) -> tuple[str, list[Any]]:
        """What stands behind ``FROM item AS i``: numbers greater than ``after`` and not greater than ``upto``."""
        head = "INDEXED BY item_kept WHERE i.state >= 3 AND " if self.kept else "WHERE "
        bounds = ["i.seq >= ?", "i.seq <= ?"]
        low, high = max(self.since, after + 1), min(self.until - 1, upto)
        conditions = [condition.replace("{now}", str(micros(now))) for condition in self.conditions]
        return head + " AND ".join([*bounds, *conditions]), [low, high, *self.parameters]
