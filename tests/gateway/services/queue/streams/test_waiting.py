"""Waiting: woken by a put, by time, by another replica; not while Redis is away; with connections that are not lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.services.queue import Draft
from gateway.services.queue.streams import waiting

LONG = 60.0


async def test_all_who_wait_are_woken_by_a_put_of_another_replica(redis_server: Any, open_queue: Any):
    queues = [await open_queue(redis_server.url, gateway=name, real_clock=True) for name in "ab"]
    waiters = [asyncio.create_task(queues[0].wait("a", LONG)) for _ in range(5)]
    await asyncio.sleep(0.05)
    await queues[1].put(Draft("a", b"x"))
    async with asyncio.timeout(LONG):
        await asyncio.gather(*waiters)


async def test_a_connection_is_used_again_and_one_is_kept(redis_server: Any, open_queue: Any):
    queue = await open_queue(redis_server.url, real_clock=True)
    await queue.put(Draft("b", b"x"))
    await asyncio.gather(*[queue.wait("a", 0.05) for _ in range(3)])
    clients = connected(redis_server)
    for _ in range(5):
        await queue.wait("a", 0.01)
    assert connected(redis_server) <= clients
    await queue.close()
    async with asyncio.timeout(LONG):
        while connected(redis_server) > 1:
            await asyncio.sleep(0.01)


def connected(server: Any) -> int:
    with server.client() as client:
        return int(client.info("clients")["connected_clients"])


async def test_who_gives_up_waiting_leaves_no_answer_to_the_next_one(redis_server: Any, open_queue: Any):
    queue = await open_queue(redis_server.url, real_clock=True)
    waiter = asyncio.create_task(queue.wait("a", LONG))
    await asyncio.sleep(0.05)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    await queue.put(Draft("a", b"x"))
    await queue.take("a", 1, 60)
    async with asyncio.timeout(LONG):
        await queue.wait("a", 0.01)


async def test_more_waiters_than_connections_look_now_and_then(redis_server: Any, open_queue: Any, monkeypatch: Any):
    monkeypatch.setattr(waiting, "CONNECTIONS", 2)
    queue = await open_queue(redis_server.url, real_clock=True)
    waiters = [asyncio.create_task(queue.wait(f"{number}", LONG)) for number in range(6)]
    await asyncio.sleep(0.05)
    for number in range(6):
        await queue.put(Draft(f"{number}", b"x"))
    async with asyncio.timeout(LONG):
        await asyncio.gather(*waiters)


async def test_redis_away_is_waited_out(start_redis: Any, open_queue: Any):
    server = start_redis()
    queue = await open_queue(server.url, real_clock=True, patience=0.5)
    server.kill()
    await queue.wait("a", 0.3)
    waiter = asyncio.create_task(queue.wait("a", LONG))
    await asyncio.sleep(0.05)
    server.start()
    server.command("SET", "anything", "1")
    other = await open_queue(server.url, real_clock=True)
    await other.put(Draft("a", b"x"))
    async with asyncio.timeout(LONG):
        await waiter


async def test_closing_ends_the_wait(redis_server: Any, open_queue: Any):
    queue = await open_queue(redis_server.url, real_clock=True)
    waiter = asyncio.create_task(queue.wait("a", LONG))
    await asyncio.sleep(0.05)
    await queue.close()
    async with asyncio.timeout(LONG):
        await waiter
