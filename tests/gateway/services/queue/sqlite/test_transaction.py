from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.services.queue.sqlite import schema
from gateway.services.queue.sqlite.rows import COUNTER_BITS
from gateway.services.queue.sqlite.transaction import Topics, Transaction, Work


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    made = schema.open_file(path)
    yield made
    made.close()


def transaction(
    connection: sqlite3.Connection, *, now: float = 1000.0, items: int = 10, size: int = 100
) -> Transaction:
    return Transaction(connection, Topics(), now, items, size)


def test_room_is_counted_over_commits_and_within_one(connection: sqlite3.Connection):
    first = transaction(connection)
    assert first.room(4, 40)
    first.count(1, schema.READY, 4, 40)
    assert first.room(6, 60)
    assert not first.room(1, 0)
    assert not first.room(0, 1)
    first.finish()
    second = transaction(connection)
    second.count(2, schema.DEAD, 1, 10)  # counted before it is asked
    assert not second.room(5, 51)
    assert second.room(5, 50)


def test_what_is_counted_up_and_down_again_is_not_written(connection: sqlite3.Connection):
    tx = transaction(connection)
    tx.count(1, schema.READY, 1, 10)
    tx.count(1, schema.WAITING, -1, -10)
    tx.finish()
    assert connection.execute("SELECT count(*) FROM tally").fetchone() == (0,)


def test_numbers_follow_the_clock_and_never_go_back(connection: sqlite3.Connection):
    assert transaction(connection).before_put([])[0] + 1 == 1_000_000 << COUNTER_BITS
    connection.execute("INSERT INTO sqlite_sequence VALUES ('item', ?)", (2_000_000 << COUNTER_BITS,))
    assert transaction(connection).before_put([])[0] == 2_000_000 << COUNTER_BITS


def test_nothing_is_run_for_no_rows(connection: sqlite3.Connection):
    tx = transaction(connection)
    tx.each("no SQL at all", [])
    assert tx.ask("no SQL at all", []) == []


def test_a_topic_that_was_rolled_back_is_forgotten(connection: sqlite3.Connection):
    topics = Topics()
    connection.execute("BEGIN")
    number = topics.number(connection, "a", make=True)
    assert number is not None
    assert topics.name(connection, number) == "a"
    connection.execute("ROLLBACK")
    topics.clear()
    assert topics.number(connection, "a") is None
    assert topics.name(connection, number) == ""


def test_work_says_how_it_is_done(connection: sqlite3.Connection):
    with pytest.raises(NotImplementedError):
        Work.apply(transaction(connection), [Work()])
