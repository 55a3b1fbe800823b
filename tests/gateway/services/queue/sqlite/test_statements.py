"""Each statement of the hot path goes through an index: a million waiting items cost it nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.services.queue import Query, State
from gateway.services.queue.sqlite import schema, statements
from gateway.services.queue.sqlite.rows import Names
from gateway.services.queue.sqlite.selection import Selection

BIG = ("item", "payload", "attempt", "dedup", "kept")
NAMED = {name: value for name, value in vars(statements).items() if value in statements.HOT}


@pytest.fixture
def connection(path: Path) -> sqlite3.Connection:
    connection = schema.open_file(path)
    yield connection
    connection.close()


def plan(connection: sqlite3.Connection, statement: str, parameters: object = None) -> list[str]:
    if parameters is None:
        highest = max([int(digit) for digit in "123" if f"?{digit}" in statement], default=0)
        parameters = ["[]", 0, 0][:highest]
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]


def through_everything(lines: list[str]) -> list[str]:
    """Steps that go through a whole table or index of items, or sort one."""
    return [
        line for line in lines
        if (line.startswith("SCAN") and line.split()[1] in (*BIG, "i", "a", "p", "w", "b") and "subquery" not in line)
        or "TEMP B-TREE" in line or "AUTOMATIC" in line
    ]  # fmt: skip


@pytest.mark.parametrize("name", sorted(NAMED))
def test_no_statement_goes_through_all_items(connection: sqlite3.Connection, name: str):
    lines = plan(connection, NAMED[name])
    # TAKE reads back what its two searches found, at most twice the limit; `i` names that, not the table.
    wrong = [line for line in through_everything(lines) if not (name == "TAKE" and line == "SCAN i")]
    assert wrong == [], lines


@pytest.mark.parametrize(
    ("name", "index"),
    [
        pytest.param("TAKE", "item_ready (topic=? AND due<?)", id="what is due"),
        pytest.param("TAKE", "item_leased (topic=? AND until<?)", id="leases that ran out"),
        pytest.param("NEXT", "item_ready (topic=?)", id="when the next one falls due"),
        pytest.param("PROMOTE", "item_order (ord=? AND state=?)", id="who is next in an order"),
        pytest.param("BLOCKED", "item_order (ord=? AND state<?)", id="whether an order is taken"),
        pytest.param("DEMOTE", "item_order (ord=? AND state=?)", id="who is ready in an order"),
        pytest.param("BEFORE_PUT", "SEARCH dedup USING INTEGER PRIMARY KEY", id="duplicates"),
        pytest.param("HELD", "INTEGER PRIMARY KEY", id="who holds an item"),
        pytest.param("SETTLE", "SEARCH item USING INTEGER PRIMARY KEY", id="settling"),
    ],
)
def test_what_is_asked_is_found_by_its_index(connection: sqlite3.Connection, name: str, index: str):
    lines = plan(connection, NAMED[name])
    assert any(index in line for line in lines), lines


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(Query(states=frozenset({State.DEAD})), id="dead letters"),
        pytest.param(Query(states=frozenset({State.DEAD}), topic="a/", labels={"route": "r"}), id="of a route"),
        pytest.param(Query(states=frozenset({State.DEAD, State.DONE}), status=502), id="by the last attempt"),
    ],
)
def test_dead_letters_are_found_among_themselves_and_in_order(connection: sqlite3.Connection, query: Query):
    where, parameters = Selection.of(query, Names(b"s" * 32, ())).where(0.0)
    lines = plan(connection, f"SELECT * FROM item AS i {where} ORDER BY i.seq LIMIT 100", parameters)
    assert any("item_kept (seq>? AND seq<?)" in line for line in lines), lines
    assert not any("TEMP B-TREE" in line for line in lines), lines
