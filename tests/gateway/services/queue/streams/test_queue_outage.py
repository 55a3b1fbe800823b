"""Redis killed, paused, full, not ours to write: what was accepted stays, and what was refused was refused in time."""

from __future__ import annotations

import asyncio
import random
import shutil
from typing import Any

import pytest

from gateway.services.queue import Attempt, Done, Draft, QueueUnavailable

TOPIC = "inbox"
ALWAYS = ("--appendonly", "yes", "--appendfsync", "always")
OK = Attempt(1, 1.0, 0.1, 200)
LONG = 60.0


async def accepted_again(queue: Any, payload: bytes = b"again") -> None:
    """Put until it is taken again: a bound for failing, not a measurement."""
    async with asyncio.timeout(LONG):
        while True:
            try:
                await queue.put(Draft(TOPIC, payload))
            except QueueUnavailable:
                await asyncio.sleep(0.05)
            else:
                return


async def drained(queue: Any) -> list[bytes]:
    found: list[bytes] = []
    while items := await queue.take(TOPIC, 200, 600):
        found += [item.payload for item in items]
        assert all(await queue.settle([Done(item, OK) for item in items]))
    return found


async def put_through_restarts(queue: Any, server: Any, restarts: int, putters: int = 8) -> tuple[set[bytes], int]:
    """Put without a pause while Redis is killed and started again. What was acknowledged, and how many were refused."""
    kept: set[bytes] = set()
    refused = 0
    stop = asyncio.Event()

    async def put(putter: int) -> None:
        nonlocal refused
        number = 0
        while not stop.is_set():
            payload = b"%d/%d" % (putter, number)
            number += 1
            try:
                await queue.put(Draft(TOPIC, payload, order=str(putter) if putter % 2 else None))
            except QueueUnavailable:
                refused += 1
                await asyncio.sleep(0.01)
            else:
                kept.add(payload)

    tasks = [asyncio.create_task(put(putter)) for putter in range(putters)]
    for _ in range(restarts):
        before = len(kept)
        async with asyncio.timeout(LONG):
            while len(kept) < before + 20:
                await asyncio.sleep(0.005)
        await asyncio.sleep(random.uniform(0, 0.1))
        await asyncio.to_thread(server.restart)
    await accepted_again(queue)
    stop.set()
    await asyncio.gather(*tasks)
    return kept, refused


async def everything_is_there(queue: Any, kept: set[bytes]) -> None:
    assert await queue.check() == []
    found: list[bytes] = []
    while more := await drained(queue):
        found += more
    assert kept <= set(found)
    assert len(found) == len(set(found)) + found.count(b"again") - 1
    # Who puts one after the other is handed out one after the other.
    for putter in (b"1/", b"3/"):
        numbers = [int(payload[2:]) for payload in found if payload.startswith(putter)]
        assert numbers == sorted(numbers)
    assert sum(tally.ready + tally.leased for tally in await queue.tally()) == 0


async def test_redis_killed_while_putting_loses_nothing_that_was_acknowledged(start_redis: Any, open_queue: Any):
    server = start_redis(*ALWAYS)
    queue = await open_queue(server.url, real_clock=True, patience=5)
    assert queue.warnings == []
    kept, refused = await put_through_restarts(queue, server, 3)
    assert refused
    await everything_is_there(queue, kept)


@pytest.mark.crash
@pytest.mark.timeout(1800)
async def test_redis_killed_a_hundred_times_loses_nothing_that_was_acknowledged(start_redis: Any, open_queue: Any):
    server = start_redis(*ALWAYS)
    queue = await open_queue(server.url, real_clock=True, patience=5)
    kept, refused = await put_through_restarts(queue, server, 100, 32)
    print(f"{len(kept)} kept, {refused} refused")
    await everything_is_there(queue, kept)


async def test_leases_and_their_order_survive_a_restart_and_a_rewrite(start_redis: Any, open_queue: Any, clock: Any):
    server = start_redis(*ALWAYS)
    queue = await open_queue(server.url)
    for number in range(10):
        await queue.put(Draft(TOPIC, b"%d" % number, order="k" if number % 2 else None))
    held = await queue.take(TOPIC, 3, 60)
    assert [item.payload for item in held] == [b"0", b"1", b"2"]
    server.command("BGREWRITEAOF")
    async with asyncio.timeout(LONG):
        while server.command("INFO", "persistence")["aof_rewrite_in_progress"]:
            await asyncio.sleep(0.01)
    await queue.put(Draft(TOPIC, b"10"))
    server.restart()
    await accepted_again(queue)
    assert await queue.check() == []
    assert await queue.settle([Done(held[0], OK)]) == [True]
    assert [item.payload for item in await queue.take(TOPIC, 10, 600)] == [b"4", b"6", b"8", b"10", b"again"]
    clock.advance(60)
    again = await queue.take(TOPIC, 10, 600)
    assert [item.payload for item in again] == [b"1", b"2"]
    assert await queue.settle([Done(item, OK) for item in held[1:]]) == [False, False]
    assert await queue.settle([Done(item, OK) for item in again]) == [True, True]
    assert [item.payload for item in await queue.take(TOPIC, 10, 600)] == [b"3"]


async def test_a_redis_that_hangs_costs_one_deadline_and_then_nothing(start_redis: Any, open_queue: Any):
    server = start_redis()
    queue = await open_queue(server.url, real_clock=True, patience=0.5)
    await queue.put(Draft(TOPIC, b"before"))
    server.pause()
    async with asyncio.timeout(LONG):
        for call in (
            queue.put(Draft(TOPIC, b"hangs")),
            queue.put(Draft(TOPIC, b"is refused")),
            queue.take(TOPIC, 1, 60),
            queue.tally(),
            queue.find(queue_all()),
            queue.keep("name", b"value", 60),
            queue.ping(),
        ):
            with pytest.raises(QueueUnavailable):
                await call
    calls = queue.store.counters
    assert calls.timeouts == 1
    assert calls.refused >= 5
    server.resume()
    await accepted_again(queue)
    assert b"before" in await drained(queue)


def queue_all() -> Any:
    from gateway.services.queue import Query

    return Query()


async def test_a_full_redis_refuses_what_is_put_and_lets_out_what_it_has(start_redis: Any, open_queue: Any):
    server = start_redis("--maxmemory", "4mb", "--maxmemory-policy", "noeviction")
    queue = await open_queue(server.url, real_clock=True)
    kept = 0
    with pytest.raises(QueueUnavailable, match="memory"):
        while True:
            await queue.put(Draft(TOPIC, b"x" * 10_000, order=str(kept % 7)))
            kept += 1
    assert await queue.check() == []
    assert len(await drained(queue)) == kept > 10
    await accepted_again(queue)
    await queue.ping()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param(("--requirepass", "secret"), "uthentication", id="no password"),
        pytest.param(("--min-replicas-to-write", "1"), "NOREPLICAS", id="too few replicas"),
        pytest.param(("--replicaof", "127.0.0.1", "1", "--replica-read-only", "yes"), "read only", id="a replica"),
    ],
)
async def test_a_redis_that_takes_no_writes(start_redis: Any, open_queue: Any, options: tuple[str, ...], says: str):
    queue = await open_queue(start_redis(*options).url if "secret" not in options else start_locked(start_redis))
    with pytest.raises(QueueUnavailable, match=says) as refusal:
        await queue.put(Draft(TOPIC, b"payload that nobody may see"))
    assert "payload" not in str(refusal.value)
    with pytest.raises(QueueUnavailable):
        await queue.ping()


def start_locked(start_redis: Any) -> str:
    server = start_redis()
    server.command("CONFIG", "SET", "requirepass", "secret")
    return server.url


async def test_a_redis_whose_disk_fails_refuses_and_recovers(start_redis: Any, open_queue: Any):
    server = start_redis("--stop-writes-on-bgsave-error", "yes")
    server.command("CONFIG", "SET", "save", "3600 100000")
    queue = await open_queue(server.url, real_clock=True)
    await queue.put(Draft(TOPIC, b"before"))
    aside = server.directory.with_name("aside")
    shutil.move(server.directory, aside)  # it stands in a directory that is not there any more: still it can write
    shutil.rmtree(aside)
    server.command("BGSAVE")
    with pytest.raises(QueueUnavailable, match="MISCONF"):
        async with asyncio.timeout(LONG):
            while True:
                await queue.put(Draft(TOPIC, b"x"))
    server.command("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
    await accepted_again(queue)


async def test_a_redis_that_is_away_at_first_is_no_error(start_redis: Any, open_queue: Any):
    server = start_redis()
    server.kill()
    queue = await open_queue(server.url, real_clock=True)
    assert len(queue.warnings) == 1
    with pytest.raises(QueueUnavailable):
        await queue.put(Draft(TOPIC, b"x"))
    server.start()
    await accepted_again(queue)


async def test_a_redis_that_forgot_everything_takes_topics_anew(start_redis: Any, open_queue: Any):
    server = start_redis()
    queue = await open_queue(server.url, real_clock=True)
    await queue.put(Draft(TOPIC, b"lost"))
    server.flush()
    assert await queue.take(TOPIC, 10, 60) == []
    await queue.put(Draft(TOPIC, b"new"))
    assert [tally.topic for tally in await queue.tally()] == [TOPIC]
    assert await drained(queue) == [b"new"]
    assert await queue.check() == []


async def test_what_is_accepted_is_on_a_replica_if_the_url_asks_for_it(watched: Any, open_queue: Any, eventually: Any):
    queue = await open_queue(watched.url + "?wait=1", real_clock=True)
    kept = [(await queue.put(Draft(TOPIC, b"%d" % number))).id for number in range(200)]
    watched.replica.pause()
    with pytest.raises(QueueUnavailable, match="0 of 1 replicas"):
        await (await open_queue(watched.url + "?wait=1", real_clock=True, patience=1)).put(Draft(TOPIC, b"in doubt"))
    assert (await queue.find(queue_all(), limit=300)).items  # who only reads need not wait
    watched.replica.resume()
    await accepted_again(queue)
    watched.master.kill()
    alone = await open_queue(watched.url, real_clock=True)  # the new master has no replica yet
    await accepted_again(alone)
    found = {item.id for item in (await alone.find(queue_all(), limit=300)).items}
    assert set(kept) <= found
