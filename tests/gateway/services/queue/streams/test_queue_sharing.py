"""Several processes share a topic's work; one is killed, and the others take over what it held."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.services.queue import Attempt, Done, Draft, Query

ROOT = Path(__file__).resolve().parents[5]
TOPIC = "inbox"
KEYS, EACH = 8, 40
OK = Attempt(1, 1.0, 0.1, 200)
LONG = 60.0

WORKER = """
import asyncio, sys
from gateway.services.clock import Clock
from gateway.services.queue import Attempt, Done
from gateway.services.queue.opening import QueueSettings
from gateway.services.queue.streams import open_streams

async def work(url, name, most):
    queue = await open_streams(url, QueueSettings(gateway=name), Clock())
    while True:
        items = await queue.take("inbox", 3, 1.0)
        for item in items:
            print("began", item.payload.decode(), flush=True)
            most = int(most) - 1
            if most == 0:
                print("hangs", flush=True)
                await asyncio.sleep(3600)
            settled = await queue.settle([Done(item, Attempt(item.attempts + 1, 1.0, 0.1, 200, gateway=name))])
            print("ended" if settled[0] else "late", item.payload.decode(), flush=True)
        if not items:
            await queue.wait("inbox", 0.2)

asyncio.run(work(*sys.argv[1:]))
"""


class Worker:
    """A process that delivers, and what it said."""

    def __init__(self, url: str, name: str, most: int = 0) -> None:
        self._arguments = (sys.executable, "-c", WORKER, url, name, str(most))
        self.lines: list[tuple[str, str]] = []

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self._arguments, stdout=asyncio.subprocess.PIPE, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
        )
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout
        async for line in self.process.stdout:
            what, _, payload = line.decode().strip().partition(" ")
            self.lines.append((what, payload))

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self.reading

    def said(self, what: str) -> list[str]:
        return [payload for word, payload in self.lines if word == what]


async def until(condition: Any, what: str) -> None:
    async with asyncio.timeout(LONG):
        while not condition():
            await asyncio.sleep(0.01)
    assert condition(), what


async def test_a_killed_process_is_replaced_and_order_is_kept(redis_server: Any, open_queue: Any):
    queue = await open_queue(redis_server.url, real_clock=True)
    # The first one hangs in the middle of a batch, so it is killed with leases in its hands.
    workers = [Worker(redis_server.url, "a", 50), Worker(redis_server.url, "b")]
    try:
        await workers[0].start()
        for number in range(EACH):
            drafts = [Draft(TOPIC, b"%d/%d" % (key, number), order=str(key)) for key in range(KEYS)]
            await asyncio.gather(*[queue.put(draft) for draft in drafts])
        await until(lambda: workers[0].said("hangs"), "it hangs")
        await workers[1].start()
        await workers[0].kill()
        async with asyncio.timeout(LONG):
            while sum(tally.ready + tally.leased for tally in await queue.tally()):
                await asyncio.sleep(0.05)
    finally:
        for worker in workers:
            await worker.kill()
    first, second = workers
    # All were done; once each, but for those under way when it was killed.
    everything = {f"{key}/{number}" for key in range(KEYS) for number in range(EACH)}
    began = first.said("began") + second.said("began")
    assert set(began) == everything
    twice = {payload for payload in began if began.count(payload) > 1}
    unfinished = set(first.said("began")) - set(first.said("ended"))
    assert twice <= unfinished | set(first.said("late")) | set(second.said("late"))
    # In each process and over both: one of a key never began before the one before it.
    for worker in workers:
        for key in range(KEYS):
            numbers = [int(p.partition("/")[2]) for p in worker.said("began") if p.startswith(f"{key}/")]
            assert numbers == sorted(numbers)
    for key in range(KEYS):
        last = [int(p.partition("/")[2]) for p in second.said("began") if p.startswith(f"{key}/")]
        assert last[-1] == EACH - 1
    assert await queue.check() == []
    assert await queue.count(Query()) == 0


async def test_replicas_share_what_there_is(redis_server: Any, open_queue: Any):
    queues = [await open_queue(redis_server.url, gateway=name) for name in "abc"]
    for number in range(60):
        await queues[number % 3].put(Draft(TOPIC, b"%d" % number))
    taken = await asyncio.gather(*[queue.take(TOPIC, 20, 60) for queue in queues])
    assert [len(items) for items in taken] == [20, 20, 20]
    assert sorted(int(item.payload) for items in taken for item in items) == list(range(60))
    assert pending(redis_server) == {"a": 20, "b": 20, "c": 20}
    # A lease is settled by whoever holds its token.
    assert await queues[1].settle([Done(item, OK) for item in taken[0]]) == [True] * 20


async def test_what_a_replica_leaves_behind_goes_to_the_next_one(redis_server: Any, open_queue: Any, clock: Any):
    gone, other = [await open_queue(redis_server.url, gateway=name) for name in ("gone", "other")]
    for number in range(10):
        await gone.put(Draft(TOPIC, b"%d" % number))
    await gone.take(TOPIC, 10, 30)
    await gone.close()
    assert await other.take(TOPIC, 10, 30) == []
    clock.advance(30)
    items = await other.take(TOPIC, 10, 30)
    assert [item.payload for item in items] == [b"%d" % number for number in range(10)]
    assert pending(redis_server) == {"gone": 0, "other": 10}


def pending(server: Any) -> dict[str, int]:
    """By consumer."""
    found = {}
    for each in server.command("XINFO", "CONSUMERS", stream_of(server), "workers"):
        about = {str(key, "ascii") if isinstance(key, bytes) else key: value for key, value in dict(each).items()}
        found[about["name"].decode()] = about["pending"]
    return found


def stream_of(server: Any) -> bytes:
    with server.client() as client:
        (stream,) = [key for key in client.scan_iter() if key.endswith(b":s")]
    return bytes(stream)


@pytest.mark.parametrize("count", [pytest.param(70, id="all at once")])
async def test_a_settled_item_leaves_nothing_in_the_stream(redis_server: Any, open_queue: Any, count: int):
    queue = await open_queue(redis_server.url)
    for _ in range(count):
        await queue.put(Draft(TOPIC, b"x", subject="s", order="o"))
    for _ in range(count):
        await queue.settle([Done(item, OK) for item in await queue.take(TOPIC, 10, 60)])
    assert redis_server.command("XLEN", stream_of(redis_server)) == 0
    assert redis_server.command("XPENDING", stream_of(redis_server), "workers")["pending"] == 0
    with redis_server.client() as client:
        assert len(list(client.scan_iter(b"sg:{q/*"))) == 2  # the topic and its stream
