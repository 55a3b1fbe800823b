from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway.services.queue import QueueUnavailable
from gateway.services.queue.sqlite import reader as module
from gateway.services.queue.sqlite import schema
from gateway.services.queue.sqlite.reader import Reader


@pytest.fixture
async def reader(path: Path):
    schema.open_file(path).close()
    made = Reader(path, "test")
    yield made
    await made.close()


async def test_no_thread_before_the_first_question_and_none_after_the_end(reader: Reader):
    assert reader._thread is None
    name = await reader.ask(lambda *_: threading.current_thread().name)
    assert name == "queue test"
    thread = reader._thread
    await reader.close()
    assert thread is not None
    thread.join(60)
    assert not thread.is_alive()
    with pytest.raises(QueueUnavailable, match="closed"):
        await reader.ask(lambda *_: None)


async def test_a_failure_is_that_questions_and_the_next_gets_a_new_connection(reader: Reader):
    with pytest.raises(QueueUnavailable, match="no such table"):
        await reader.ask(lambda connection, _: connection.execute("SELECT * FROM nobody"))
    with pytest.raises(ZeroDivisionError):
        await reader.ask(lambda *_: 1 // 0)
    assert await reader.ask(lambda connection, _: connection.execute("SELECT 7").fetchone()) == (7,)


async def test_what_nobody_waits_for_any_more_is_not_asked(reader: Reader):
    gate, asked = threading.Event(), []
    first = asyncio.ensure_future(reader.ask(lambda *_: gate.wait(60)))
    second = asyncio.ensure_future(reader.ask(lambda *_: asked.append(1)))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    gate.set()
    assert await first
    await reader.ask(lambda *_: None)
    assert asked == []


async def test_too_many_questions_are_refused(reader: Reader, monkeypatch: Any):
    monkeypatch.setattr(module, "PENDING", 1)
    gate = threading.Event()
    first = asyncio.ensure_future(reader.ask(lambda *_: gate.wait(60)))
    await asyncio.sleep(0)
    with pytest.raises(QueueUnavailable, match="too many"):
        await reader.ask(lambda *_: None)
    gate.set()
    await first


async def test_the_end_does_not_wait_for_a_long_question(reader: Reader):
    begun = threading.Event()

    def long(connection: sqlite3.Connection, _: Any) -> None:
        begun.set()
        connection.execute(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
        ).fetchone()

    asking = asyncio.ensure_future(reader.ask(long))
    assert await asyncio.to_thread(begun.wait, 60)
    while not asking.done():
        closing = asyncio.ensure_future(reader.close())
        await asyncio.wait([closing, asking], timeout=0.05)
        if reader._connection is not None:
            reader._connection.interrupt()  # it may not have been in SQLite yet
    with pytest.raises(QueueUnavailable, match="interrupted"):
        await asking
