"""Queues on SQLite alone: what only they can do, and what happens to their files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.services.clock import Clock, ManualClock
from gateway.services.queue.opening import QueueSettings
from gateway.services.queue.sqlite import SqliteQueue, open_sqlite

OpenSqlite = Callable[..., Awaitable[SqliteQueue]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue" / "queue.db"


@pytest.fixture
async def open_queue(path: Path, clock: ManualClock) -> AsyncIterator[OpenSqlite]:
    """``await open_queue(path, real_clock=True, max_items=3)``; each is as another process's."""
    queues: list[SqliteQueue] = []

    async def open_one(where: Path = path, *, real_clock: bool = False, **settings: Any) -> SqliteQueue:
        queue = await open_sqlite(
            str(where), QueueSettings(**{"gateway": "a", **settings}), Clock() if real_clock else clock
        )
        queues.append(queue)
        return queue

    yield open_one
    for queue in queues:
        await queue.close()


@pytest.fixture
async def queue(open_queue: OpenSqlite) -> SqliteQueue:
    return await open_queue()
