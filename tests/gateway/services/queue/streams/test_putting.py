"""Puts that come at once share batches, and none is lost, doubled or left without an answer in them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.services.queue import Draft, Query, QueueFull, QueueUnavailable
from gateway.services.queue.streams import putting
from gateway.services.queue.streams import queue as queue_module


async def test_many_at_once_share_a_few_batches_and_keep_the_order_of_the_calls(queue: Any):
    await queue.put(Draft("a", b"first"))
    before = queue.store.counters.calls
    receipts = await asyncio.gather(*[queue.put(Draft("a", b"%d" % number)) for number in range(500)])
    assert [receipt.id for receipt in receipts] == sorted({receipt.id for receipt in receipts})
    assert queue.store.counters.calls - before <= 500 / putting.BATCH + 3
    assert [item.payload async for item in queue.export(Query())] == [b"first", *[b"%d" % n for n in range(500)]]


async def test_each_of_a_batch_has_its_own_answer(redis_server: Any, open_queue: Any):
    queue = await open_queue(redis_server.url, max_items=3)
    drafts = [Draft("a", b"x", dedup=dedup, window=60) for dedup in ("1", "2", "1", "3", "4", "2")]
    first, second, again, third, full, more = await asyncio.gather(*map(queue.put, drafts), return_exceptions=True)
    assert (again.id, again.duplicate, more.id, more.duplicate) == (first.id, True, second.id, True)
    assert not third.duplicate
    assert isinstance(full, QueueFull)
    assert await queue.count(Query()) == 3


async def test_a_batch_holds_no_more_bytes_than_it_may_unless_one_item_does(queue: Any, monkeypatch: Any):
    monkeypatch.setattr(putting, "BYTES", 1000)
    before = queue.store.counters.calls
    await asyncio.gather(*[queue.put(Draft("a", b"x" * size)) for size in (400, 400, 5000, 400)])
    assert queue.store.counters.calls - before >= 3
    assert await queue.count(Query()) == 4


async def test_whoever_gives_up_does_not_disturb_the_others(queue: Any):
    tasks = [asyncio.ensure_future(queue.put(Draft("a", b"x"))) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
    assert len({result.id for result in results[1::2]}) == 10


async def test_all_of_a_batch_are_refused_together_each_with_an_error_of_its_own(start_redis: Any, open_queue: Any):
    server = start_redis()
    queue = await open_queue(server.url, patience=0.5)
    await queue.put(Draft("a", b"x"))
    server.pause()
    errors = await asyncio.gather(*[queue.put(Draft("a", b"x")) for _ in range(300)], return_exceptions=True)
    assert {type(error) for error in errors} == {QueueUnavailable}
    assert len({id(error) for error in errors}) == 300


async def test_no_more_wait_than_may(queue: Any, monkeypatch: Any):
    monkeypatch.setattr(putting, "WAITING", 10)
    results = await asyncio.gather(*[queue.put(Draft("a", b"x")) for _ in range(50)], return_exceptions=True)
    refused = [result for result in results if isinstance(result, QueueUnavailable)]
    assert len(refused) == 40
    assert await queue.count(Query()) == 10


async def test_words_of_any_bytes_arrive(queue: Any):
    payloads = [b"", b"\0", b"1 2 3", b"\r\n$5\r\n", bytes(range(256)) * 300]
    await asyncio.gather(*[queue.put(Draft("a", payload, {"x": "ü\n"})) for payload in payloads])
    assert [item.payload for item in await queue.take("a", 10, 60)] == payloads


async def test_closing_refuses_what_still_waits(start_redis: Any, open_queue: Any, monkeypatch: Any):
    monkeypatch.setattr(queue_module, "FAREWELL", 0.2)
    server = start_redis()
    queue = await open_queue(server.url, patience=30)
    await queue.put(Draft("a", b"x"))
    server.pause()
    tasks = [asyncio.ensure_future(queue.put(Draft("a", b"x"))) for _ in range(400)]
    await asyncio.sleep(0)
    queue_closing = asyncio.ensure_future(queue.close())
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await queue_closing
    assert all(isinstance(result, QueueUnavailable) for result in results)
    with pytest.raises(QueueUnavailable):
        await queue.put(Draft("a", b"x"))
