"""Queues over real Redis servers, on a clock that tests turn unless they say otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from gateway.services.clock import Clock, ManualClock
from gateway.services.queue.opening import QueueSettings
from gateway.services.queue.streams import StreamsQueue, open_streams

OpenStreams = Callable[..., Awaitable[StreamsQueue]]
PATIENCE = 20.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def open_queue(clock: ManualClock) -> AsyncIterator[OpenStreams]:
    """``await open_queue(url, gateway="b", real_clock=True, max_items=3)``"""
    queues: list[StreamsQueue] = []

    async def open_one(
        url: str, *, real_clock: bool = False, patience: float = PATIENCE, **settings: Any
    ) -> StreamsQueue:
        queue = await open_streams(
            url, QueueSettings(**{"gateway": "a", **settings}), Clock() if real_clock else clock, patience=patience
        )
        queues.append(queue)
        return queue

    yield open_one
    for queue in queues:
        await queue.close()


@pytest.fixture
async def queue(redis_server: Any, open_queue: OpenStreams) -> StreamsQueue:
    return await open_queue(redis_server.url)
