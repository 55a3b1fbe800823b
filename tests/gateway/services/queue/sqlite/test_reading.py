from __future__ import annotations

from typing import Any

import pytest

from gateway.services.clock import ManualClock
from gateway.services.queue import Draft, Query, QueueError
from gateway.services.queue.sqlite import queue as module
from gateway.services.queue.sqlite import reading


async def test_the_oldest_is_not_looked_for_from_the_beginning_again(queue: Any, clock: ManualClock):
    for topic in ("a", "b"):
        for _ in range(3):
            await queue.put(Draft(topic, b""))
            clock.advance(1)
    before = {tally.topic: tally.oldest for tally in await queue.tally()}
    assert before == {"a": 1_800_000_000.0, "b": 1_800_000_003.0}
    known = dict(queue._reading._oldest)
    assert len(known) == 2
    await queue.purge(Query(topic="a", until=1_800_000_001.0))
    assert (await queue.tally())[0].oldest == 1_800_000_001.0
    assert queue._reading._oldest.values() != known.values()


async def test_a_listing_goes_on_only_where_there_is_a_place(queue: Any):
    with pytest.raises(QueueError, match="no such place"):
        await queue.find(Query(), after="nonsense")


async def test_outdated_keys_are_found_part_by_part(queue: Any, clock: ManualClock, monkeypatch: Any):
    monkeypatch.setattr(reading, "STALE_PART", 2)
    monkeypatch.setattr(module, "STALE_PARTS", 2)
    for n in range(5):
        await queue.put(Draft("t", b"", dedup=f"{n}", window=10 if n % 2 else 100))
    clock.advance(50)
    assert await queue.sweep() + await queue.sweep() == 2
    assert await queue.sweep() == 0
    clock.advance(50)
    assert await queue.sweep() + await queue.sweep() == 3
