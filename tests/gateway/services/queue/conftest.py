"""Queues of every kind, on a clock that tests turn: what holds for one holds for the others.

A kind is one row of `KINDS` and one branch of `make_queue`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.services.clock import Clock, ManualClock
from gateway.services.queue.opening import QueueSettings, open_queue
from gateway.testing import MemoryQueue

KINDS = ["sqlite", "streams", "memory"]

NOT_IN_MEMORY = {
    "test_wait_ends_after_the_longest": "its time is the manual clock's",
    "test_what_no_key_opens_is_buried": "it seals nothing",
}

OpenQueue = Callable[..., Awaitable[Any]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=KINDS)
def queue_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        if (why := NOT_IN_MEMORY.get(request.function.__name__)) is not None:
            pytest.skip(why)
        return "memory://"
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/queue/queue.db"
    return str(request.getfixturevalue("redis_server").url)


@pytest.fixture
async def make_queue(queue_url: str, clock: ManualClock) -> AsyncIterator[OpenQueue]:
    """``await make_queue(max_items=3)``: each is another process's view of the same queue."""
    queues: list[Any] = []

    async def make(*, real_clock: bool = False, **settings: Any) -> Any:
        if queue_url == "memory://":
            if not queues:
                queues.append(
                    MemoryQueue(Clock() if real_clock else clock, QueueSettings(**{"gateway": "a", **settings}))
                )
            return queues[0]
        made = await open_queue(
            queue_url, QueueSettings(**{"gateway": "a", **settings}), Clock() if real_clock else clock
        )
        queues.append(made)
        return made

    yield make
    for queue in queues:
        await queue.close()


@pytest.fixture
async def queue(make_queue: OpenQueue) -> Any:
    return await make_queue()
