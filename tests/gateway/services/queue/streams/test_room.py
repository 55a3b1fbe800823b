"""How much is held elsewhere, as a put is told."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.services.queue import Draft, Query, QueueFull, QueueUnavailable
from gateway.services.queue.streams import room


async def test_what_other_replicas_hold_counts(redis_server: Any, open_queue: Any, monkeypatch: Any):
    monkeypatch.setattr(room, "FRESH", 0.0)
    first, second = [await open_queue(redis_server.url, gateway=name, max_items=4) for name in "ab"]
    for topic in "abc":
        await first.put(Draft(topic, b"x"))
    await second.put(Draft("d", b"x"))
    with pytest.raises(QueueFull):
        await second.put(Draft("d", b"x"))
    await first.purge(Query())
    # What was purged elsewhere is known after the next look, which a refused put begins.
    for _ in range(50):
        try:
            await second.put(Draft("d", b"x"))
        except QueueFull:
            await second.ping()
        else:
            return
    pytest.fail("there is room, and nobody noticed")


async def test_one_topic_is_counted_exactly_however_many_put(redis_server: Any, open_queue: Any):
    queues = [await open_queue(redis_server.url, gateway=name, max_items=10) for name in "ab"]
    kept = 0
    for number in range(30):
        try:
            await queues[number % 2].put(Draft("a", b"x"))
        except QueueFull:
            continue
        kept += 1
    assert kept == 10


async def test_a_put_that_cannot_learn_it_is_refused(start_redis: Any, open_queue: Any):
    server = start_redis()
    queue = await open_queue(server.url, patience=0.5)
    server.kill()
    with pytest.raises(QueueUnavailable):
        await queue.put(Draft("a", b"x"))
