"""What only a queue on Redis Streams does; what all queues do is in ``test_contract.py``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.services.queue import Attempt, Done, Draft, Item, Query, QueueUnavailable, Unsupported
from gateway.services.queue.streams import queue as queue_module

TOPIC = "inbox/stripe/inbox"
OK = Attempt(1, 1.0, 0.1, 200)
LONG = 60.0


async def test_more_than_one_script_takes_of_many_topics(queue: Any):
    for topic in ("a", "b"):
        await asyncio.gather(*[queue.put(Draft(topic, b"{}")) for _ in range(450)])
    items = [item for topic in ("a", "b") for _ in range(3) for item in await queue.take(topic, 450, 30)]
    assert len(items) == 900
    mixed = items[::2] + items[1::2]
    assert [item.id for item in await queue.renew(mixed, 60)] == [item.id for item in mixed]
    assert await queue.settle([Done(item, OK) for item in mixed]) == [True] * 900
    assert await queue.settle(()) == []
    assert await queue.count(Query()) == 0


async def test_large_items_are_handed_out_a_few_at_a_time(queue: Any):
    for number in range(12):
        await queue.put(Draft(TOPIC, bytes([number]) * 1_000_000))
    batches: list[list[Item]] = []
    while items := await queue.take(TOPIC, 100, 600):
        batches.append(list(items))
    assert [item.payload[:1] for items in batches for item in items] == [bytes([number]) for number in range(12)]
    assert max(len(items) for items in batches) <= 8
    assert await queue.check() == []


@pytest.mark.parametrize("limit", [0, -1])
async def test_none_is_taken_if_none_is_asked_for(queue: Any, limit: int):
    await queue.put(Draft(TOPIC, b"x"))
    assert await queue.take(TOPIC, limit, 60) == []


def strings(server: Any) -> bytes:
    """All that stands in string keys, as it was written."""
    with server.client() as client:
        return b"|".join(client.get(key) for key in client.scan_iter(_type="string"))


async def test_payloads_and_kept_values_are_sealed_and_subjects_are_digests(redis_server: Any, open_queue: Any):
    for keys, seen in (((b"k" * 32,), False), ((), True)):
        redis_server.flush()
        queue = await open_queue(redis_server.url, keys=keys)
        more = {"subject": "ada@example.com", "dedup": "evt_personal", "window": 60}
        await queue.put(Draft(TOPIC, b"the customer's secret", **more))
        await queue.keep("result", b"the customer's result", 60, subject="ada@example.com")
        written = strings(redis_server)
        assert (b"the customer's secret" in written) is seen
        assert (b"the customer's result" in written) is seen
        with redis_server.client() as client:
            every = (
                written
                + b"|".join(client.scan_iter())
                + b"|".join(member for key in client.scan_iter(_type="set") for member in client.smembers(key))
            )
        assert b"ada@example.com" not in every
        assert b"evt_personal" not in every


async def test_a_put_is_two_round_trips_the_first_time_and_shares_one_with_others_later(queue: Any):
    await queue.put(Draft(TOPIC, b"x"))
    before = queue.store.counters.round_trips
    await asyncio.gather(*[queue.put(Draft(TOPIC, b"x")) for _ in range(64)])
    assert queue.store.counters.round_trips - before <= 5


async def test_closing_commits_what_was_handed_in(queue: Any, redis_server: Any, open_queue: Any):
    pending = [asyncio.ensure_future(queue.put(Draft(TOPIC, b"x"))) for _ in range(500)]
    await asyncio.sleep(0)
    await queue.close()
    ids = {receipt.id for receipt in await asyncio.gather(*pending)}
    assert len(ids) == 500
    with pytest.raises(QueueUnavailable):
        await queue.settle([])
    other = await open_queue(redis_server.url)
    assert await other.count(Query()) == 500


async def test_a_group_or_stream_that_somebody_deleted_is_made_anew_and_told(redis_server: Any, queue: Any):
    await queue.put(Draft(TOPIC, b"1"))
    with redis_server.client() as client:
        (stream,) = client.scan_iter(_type="stream")
        client.xgroup_destroy(stream, "workers")
    assert [item.payload for item in await queue.take(TOPIC, 10, 60)] == [b"1"]
    redis_server.command("DEL", stream)
    await queue.put(Draft(TOPIC, b"2"))
    assert [item.payload for item in await queue.take(TOPIC, 10, 60)] == [b"2"]


async def test_a_replica_that_is_gone_is_forgotten(redis_server: Any, queue: Any, monkeypatch: Any):
    await queue.put(Draft(TOPIC, b"1"))
    held = await queue.take(TOPIC, 1, 60)
    with redis_server.client() as client:
        (stream,) = client.scan_iter(_type="stream")
        client.xgroup_createconsumer(stream, "workers", "idle")
        await queue.sweep()
        assert len(client.xinfo_consumers(stream, "workers")) == 2  # neither is so old
        monkeypatch.setattr(queue_module, "GONE", 0.0)
        await queue.sweep()
        assert [each["name"] for each in client.xinfo_consumers(stream, "workers")] == [b"a"]  # it holds something
    assert await queue.settle([Done(held[0], OK)]) == [True]


async def test_a_backup_is_redis_own(queue: Any, tmp_path: Path):
    with pytest.raises(Unsupported, match="BGREWRITEAOF"):
        await queue.backup(tmp_path / "copy")
