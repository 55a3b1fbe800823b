"""Work that goes through many items does so in parts, and lets others write in between."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.services.clock import ManualClock
from gateway.services.queue import Draft, Query, QueueFull, State
from gateway.services.queue.sqlite import clearing


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: Any) -> None:
    monkeypatch.setattr(clearing, "PART", 3)
    monkeypatch.setattr(clearing, "_OF_SUBJECT", clearing._OF_SUBJECT.replace("LIMIT 500", "LIMIT 3"))


async def dead(queue: Any, count: int = 10) -> None:
    for n in range(count):
        await queue.put(Draft("t", b"%d" % n, state=State.DEAD, subject="ada"))


@pytest.mark.parametrize("what", ["replay", "purge", "erase", "sweep"])
async def test_it_goes_on_until_all_is_done(queue: Any, clock: ManualClock, what: str):
    await dead(queue)
    before = queue._writer.commits
    if what == "replay":
        assert await queue.replay(Query()) == 10
    elif what == "purge":
        assert await queue.purge(Query()) == 10
    elif what == "erase":
        assert await queue.erase("ada") == 10
    else:
        clock.advance(1e8)
        assert await queue.sweep() == 10
    assert queue._writer.commits - before >= 4
    assert await queue.count(Query(states=frozenset({State.DEAD}))) == 0
    assert await queue.check() == []


async def test_a_rate_goes_on_over_the_parts(queue: Any, clock: ManualClock):
    await dead(queue)
    began = clock.time()
    await queue.replay(Query(), rate=10)
    found = (await queue.find(Query())).items
    assert [round(item.due - began, 3) for item in found] == [n / 10 for n in range(10)]


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
async def test_a_rate_of_nothing_is_no_rate(queue: Any, rate: float):
    with pytest.raises(ValueError, match="rate"):
        await queue.replay(Query(), rate=rate)


async def test_what_comes_while_it_is_purged_was_not_meant(queue: Any):
    await dead(queue)
    purging = asyncio.ensure_future(queue.purge(Query()))
    ids = []
    while not purging.done():
        ids.append((await queue.put(Draft("t", b"new"))).id)
    assert await purging >= 10
    assert set(await _ids(queue)) <= set(ids)
    assert ids[-1] in await _ids(queue)


async def _ids(queue: Any) -> list[str]:
    return [item.id for item in (await queue.find(Query())).items]


async def test_what_is_kept_counts_as_bytes_but_not_as_items(open_queue: Any):
    queue = await open_queue(max_size=10, max_items=1)
    await queue.keep("a", b"123456", 60)
    with pytest.raises(QueueFull):
        await queue.keep("b", b"12345", 60)
    with pytest.raises(QueueFull):
        await queue.put(Draft("t", b"12345"))
    await queue.keep("a", b"1234567890", 60)
    await queue.keep("a", b"1", 60)
    await queue.put(Draft("t", b"123456789"))
    await queue.forget("a")
    await queue.keep("c", b"1", 60)


async def test_values_whose_time_is_over_are_swept(queue: Any, clock: ManualClock):
    for n in range(5):
        await queue.keep(f"{n}", b"x", 10)
    await queue.keep("stays", b"x", 100)
    clock.advance(10)
    assert await queue.sweep() == 5
    assert await queue.kept("stays") == b"x"
