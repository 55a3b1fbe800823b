"""The queue over sentinels and a cluster; the index of topics; whose clock counts."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from gateway.services.queue import Attempt, Done, Draft, Query, QueueUnavailable, State
from gateway.services.queue.streams.keys import tag_of_topic

OK = Attempt(1, 1.0, 0.1, 200)
LONG = 60.0


async def test_topics_lie_on_all_servers_of_a_cluster_and_are_found_together(cluster: Any, open_queue: Any):
    queue = await open_queue(cluster.url, real_clock=True)
    topics = [f"inbox/{number}" for number in range(30)]
    ids = []
    for round_ in range(3):
        for topic in topics:
            more = {"subject": "ada", "order": "k", "dedup": f"{round_}", "window": 60}
            draft = Draft(topic, b"%d" % round_, {"round": str(round_)}, **more)
            ids.append((await queue.put(draft)).id)
    for server in cluster.masters:
        assert server.command("DBSIZE") > 20
    assert [tally.ready for tally in await queue.tally()] == [3] * 30
    found, after = [], None
    while True:
        page = await queue.find(Query(labels={"round": "1"}), after=after, limit=7)
        found += [item.id for item in page.items]
        after = page.after
        if after is None:
            break
    assert found == ids[30:60]
    assert await queue.count(Query(topic="inbox/1")) == 3
    items = [item for topic in topics for item in await queue.take(topic, 10, 60)]
    assert [item.payload for item in items] == [b"0"] * 30
    assert await queue.settle([Done(item, OK, keep=60) for item in items]) == [True] * 30
    assert await queue.replay(Query(states=frozenset({State.DONE}))) == 30
    await queue.keep("name", b"value", 60, subject="ada")
    assert await queue.check() == []
    assert await queue.erase("ada") == 91
    assert await queue.count(Query()) == 0


async def test_waiting_wakes_on_the_server_that_has_the_topic(cluster: Any, open_queue: Any):
    queue = await open_queue(cluster.url, real_clock=True)
    topics = [f"inbox/{number}" for number in range(6)]
    for topic in topics:
        await queue.put(Draft(topic, b"x"))
        await queue.settle([Done(item, OK) for item in await queue.take(topic, 10, 60)])
    async with asyncio.timeout(LONG):
        for topic in topics:
            waiting = asyncio.create_task(queue.wait(topic, LONG))
            await asyncio.sleep(0.02)
            await queue.put(Draft(topic, b"x"))
            await waiting
            assert len(await queue.take(topic, 10, 60)) == 1


async def test_a_failover_of_the_sentinels_master_is_followed(watched: Any, open_queue: Any):
    queue = await open_queue(watched.url, real_clock=True, patience=1)
    first = await queue.put(Draft("inbox", b"1"))
    async with asyncio.timeout(LONG):
        while watched.replica.command("DBSIZE") < 5:  # replication runs behind
            await asyncio.sleep(0.01)
    watched.master.kill()
    with pytest.raises(QueueUnavailable):
        await queue.put(Draft("inbox", b"refused"))
    async with asyncio.timeout(LONG):
        while True:
            try:
                await queue.put(Draft("inbox", b"2"))
            except QueueUnavailable:
                await asyncio.sleep(0.05)
            else:
                break
    items = await queue.take("inbox", 10, 60)
    assert items[0].id == first.id
    assert [item.payload for item in items] == [b"1", b"2"]
    assert await queue.check() == []


async def test_the_time_is_redis_own(redis_server: Any, open_queue: Any, monkeypatch: Any):
    queue = await open_queue(redis_server.url, real_clock=True)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: 1.0)
    receipt = await queue.put(Draft("inbox", b"x"))
    item = await queue.get(receipt.id)
    assert now - 5 < item.accepted < now + 3600


async def test_a_topic_is_indexed_before_it_holds_anything(redis_server: Any, open_queue: Any):
    queue = await open_queue(redis_server.url)
    redis_server.command("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(QueueUnavailable):
            await queue.put(Draft("inbox", b"x"))
    finally:
        redis_server.command("CONFIG", "SET", "maxmemory", "0")
    assert redis_server.command("EXISTS", tag_of_topic("inbox") + b":m") == 0
    await queue.put(Draft("inbox", b"x"))
    assert [tally.topic for tally in await queue.tally()] == ["inbox"]


async def test_any_text_is_a_topic(redis_server: Any, open_queue: Any):
    queue = await open_queue(redis_server.url)
    names = ["", "a b/{c}", "ü" * 500, "x\n\0y"]
    for name in names:
        await queue.put(Draft(name, name.encode()))
    assert [tally.topic for tally in await queue.tally()] == sorted(names)
    for name in names:
        assert [item.payload for item in await queue.take(name, 1, 60)] == [name.encode()]
