"""What one commit does for many: the same as many commits would."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.services.clock import ManualClock
from gateway.services.queue import Attempt, Buried, Done, Draft, Later, Returned, State
from gateway.services.queue.sqlite import writing

A = Attempt(1, 0, 0)


async def test_takes_that_share_a_commit_share_nothing_else(queue: Any):
    await asyncio.gather(*[queue.put(Draft("t", b"%d" % n)) for n in range(10)])
    handed = await asyncio.gather(*[queue.take("t", 4, 30) for _ in range(4)])
    assert [len(items) for items in handed] == [4, 4, 2, 0]
    assert len({item.id for items in handed for item in items}) == 10


async def test_settlements_of_one_item_in_one_commit_count_once(queue: Any):
    await queue.put(Draft("t", b""))
    (item,) = await queue.take("t", 1, 30)
    results = await asyncio.gather(*[queue.settle([Later(item, A, 0)]) for _ in range(3)])
    assert sorted(results) == [[False], [False], [True]]
    assert (await queue.get(item.id)).attempts == 1


async def test_an_order_goes_on_once_whatever_ends_in_the_same_commit(queue: Any, clock: ManualClock):
    for order in ("k", "l", "m", "n"):
        for n in range(2):
            await queue.put(Draft("t", f"{order}{n}".encode(), order=order))
    k, l, m, n = await queue.take("t", 10, 30)  # noqa: E741
    later = clock.time() + 99
    await queue.settle([Done(k, A), Buried(l, A), Buried(m, A, hold=True), Returned(n, later)])
    assert [item.payload for item in await queue.take("t", 10, 30)] == [b"k1", b"l1"]
    assert await queue.check() == []


async def test_no_more_than_fits_into_memory_is_handed_out_but_always_one(queue: Any, monkeypatch: Any):
    monkeypatch.setattr(writing, "TAKEN_BYTES", 250)
    for size in (300, 100, 100, 100):
        await queue.put(Draft("t", bytes(size)))
    sizes = []
    while items := await queue.take("t", 10, 30):
        sizes.append([item.size for item in items])
    assert sizes == [[300], [100, 100], [100]]


@pytest.mark.parametrize("limit", [0, -1])
async def test_nobody_who_wants_nothing_gets_something(queue: Any, limit: int):
    await queue.put(Draft("t", b""))
    assert await queue.take("t", limit, 30) == []


async def test_texts_of_an_attempt_are_bounded_and_writable(queue: Any):
    await queue.put(Draft("t", b""))
    (item,) = await queue.take("t", 1, 30)
    await queue.settle([Buried(item, Attempt(1, 0, 0, error="a\0b", detail="\udcff" * 5000))])
    found = await queue.get(item.id)
    assert (found.state, found.last.error, found.last.detail) == (State.DEAD, "a\ufffdb", "?" * 1000)
