"""Nothing that was answered 202 is lost, whatever dies: the gateway (SIGKILL), Redis, the disk's room, and the target.

The short forms run with the suite. `make crash` kills 200 times while 100,000 events come in;
SIDEGATE_CRASH_KILLS and SIDEGATE_CRASH_EVENTS choose other numbers.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import json
import os
import random
import resource
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

SENDERS = 24
CONCURRENCY = 20
KILLS = int(os.environ.get("SIDEGATE_CRASH_KILLS", "200"))
EVENTS = int(os.environ.get("SIDEGATE_CRASH_EVENTS", "100000"))


class Target:
    """Fails at random: answers 500, closes without a word, takes its time; and counts what it took."""

    def __init__(self, seed: int) -> None:
        self.took: dict[str, list[float]] = collections.defaultdict(list)
        """Body → when it was taken."""
        self.names: dict[str, set[str]] = collections.defaultdict(set)
        """Body → the event ids under which it came."""
        self.url = ""
        self.well = False
        """It does not fail any more."""
        self._random = random.Random(seed)
        self._runner: web.AppRunner | None = None

    async def _handle(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        self.names[body].add(request.headers["Sidegate-Event-Id"])
        chance = 1.0 if self.well else self._random.random()
        if chance < 0.05:
            await asyncio.sleep(0.2)
        if 0.05 <= chance < 0.15:
            return web.Response(status=500)
        if 0.15 <= chance < 0.18:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        self.took[body].append(time.monotonic())
        return web.Response()

    async def start(self) -> None:
        application = web.Application()
        application.router.add_route("*", "/{rest:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    made = Target(seed=1)
    await made.start()
    yield made
    await made.stop()


class Senders:
    """Send events, each again and again until it is answered 202, as providers do."""

    def __init__(self, where: Callable[[], str], count: int) -> None:
        self.accepted: set[str] = set()
        self.statuses: collections.Counter[int] = collections.Counter()
        self._where = where
        self._left = iter(range(count))
        self.stopping = False

    async def run(self) -> None:
        """Until all are accepted."""
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*[self._send(session) for _ in range(SENDERS)])

    async def _send(self, session: aiohttp.ClientSession) -> None:
        for number in self._left:
            name = f"event-{number}"
            while not self.stopping:
                try:
                    async with session.post(
                        f"{self._where()}/hooks", data=name, headers={"Webhook-Id": f"id-{name}"}
                    ) as answer:
                        await answer.read()
                        self.statuses[answer.status] += 1
                        if answer.status == 202:
                            self.accepted.add(name)
                            break
                        assert answer.status == 503, "refused, so that the sender keeps it"
                        assert "Retry-After" in answer.headers
                except (aiohttp.ClientError, OSError, TimeoutError):
                    pass
                await asyncio.sleep(0.05)


def configuration(durable: str, target: str, **more: Any) -> dict[str, Any]:
    settings = {
        "retry": {"base": "50ms", "max": "500ms"},
        "lease": "1s",
        "recovery": "1s",
        "concurrency": CONCURRENCY,
        "retry_after": "1s",
    }
    return {
        "stores": {"durable": durable},
        "upstreams": {"service": {"targets": [target]}},
        "routes": [
            {
                "name": "hooks",
                "match": {"path": "/hooks"},
                "plugins": [{"plugin": "inbox", "with": settings}],
                "upstream": "service",
            }
        ],
        "shutdown": {"drain": "5s"},
        **more,
    }


async def restarted(process: Any) -> None:
    """Killed without a word, and started again on the same file."""
    process.signal(signal.SIGKILL)
    await process.ended()
    process.log_path.unlink()
    await asyncio.to_thread(process.start)


async def judged(senders: Senders, target: Target, kills: Sequence[tuple[float, float]], until: Any) -> int:
    """Everything accepted arrives; what comes twice was under way when something died. How many came twice.

    ``kills`` are spans of time in which something was not there.
    """
    target.well = True
    await until(lambda: senders.accepted <= set(target.took), 600.0)
    await asyncio.sleep(2)  # what comes twice may come later
    lost = senders.accepted - set(target.took)
    assert not lost
    twice = [each for times in target.took.values() for each in itertools.pairwise(times)]
    strange = [(first, second) for first, second in twice if not any(a <= second and first <= b for a, b in kills)]
    assert not strange, "it came twice though nothing died between"
    assert all(names == {f"id-{body}"} for body, names in target.names.items()), "by one id whenever it comes"
    return len(twice)


async def flood_and_kill(
    process: Any, target: Target, until: Any, events: int, kills: int, hurt: Callable[[], Awaitable[None]], pause: float
) -> Senders:
    chance = random.Random(7)
    senders = Senders(lambda: process.url, events)
    sending = asyncio.ensure_future(senders.run())
    spans: list[tuple[float, float]] = []
    while len(spans) < kills:
        await asyncio.sleep(chance.uniform(0.05, pause))
        began = time.monotonic()
        await hurt()
        spans.append((began, time.monotonic()))
    await sending
    twice = await judged(senders, target, spans, until)
    print(f"\n{events} events, {kills} kills: {dict(senders.statuses)}, {twice} came twice")
    return senders


async def test_the_gateway_is_killed_and_nothing_is_lost(
    tmp_path: Path, gateway: Any, target: Target, until: Any
) -> None:
    process = gateway(configuration(f"sqlite://{tmp_path}/queue.db", target.url))
    senders = await flood_and_kill(process, target, until, 600, 2, lambda: restarted(process), 1.0)
    assert len(senders.accepted) == 600


@pytest.mark.crash
async def test_the_gateway_is_killed_many_times(tmp_path: Path, gateway: Any, target: Target, until: Any) -> None:
    process = gateway(configuration(f"sqlite://{tmp_path}/queue.db", target.url, workers=2))
    senders = await flood_and_kill(process, target, until, EVENTS, KILLS, lambda: restarted(process), 3.0)
    assert len(senders.accepted) == EVENTS


@pytest.mark.parametrize(
    ("events", "kills"),
    [
        pytest.param(400, 1, id="once"),
        pytest.param(EVENTS // 5, KILLS // 10, id="many times", marks=pytest.mark.crash),
    ],
)
async def test_redis_is_killed_and_nothing_is_lost(
    gateway: Any, target: Target, until: Any, start_redis: Any, events: int, kills: int
) -> None:
    server = start_redis("--appendonly", "yes", "--appendfsync", "always", "--save", "")
    process = gateway(configuration(server.url, target.url))

    async def hurt() -> None:
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(server.restart)

    senders = await flood_and_kill(process, target, until, events, kills, hurt, 2.0)
    assert len(senders.accepted) == events


async def test_what_finds_no_room_is_refused_and_nothing_accepted_is_lost(
    tmp_path: Path, gateway: Any, target: Target, until: Any
) -> None:
    """The disk is as good as full beyond a size (RLIMIT_FSIZE); then there is room again."""
    process = gateway(configuration(f"sqlite://{tmp_path}/queue.db", target.url))
    senders = Senders(lambda: process.url, 700)
    sending = asyncio.ensure_future(senders.run())
    await until(lambda: len(senders.accepted) > 100)
    began = time.monotonic()
    size = max(path.stat().st_size for path in tmp_path.glob("queue.db*"))
    soft, _ = resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size + 50_000, resource.RLIM_INFINITY))
    await until(lambda: senders.statuses[503] > 20)
    accepted = len(senders.accepted)
    ready, _, _ = await process.ask("/readyz")
    assert ready == 503, "who takes nothing is not ready"
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))
    await sending
    assert len(senders.accepted) == 700 > accepted
    await judged(senders, target, [(began, time.monotonic())], until)


async def test_what_waits_is_seen_from_outside(tmp_path: Path, gateway: Any, target: Target, until: Any) -> None:
    process = gateway(configuration(f"sqlite://{tmp_path}/queue.db", "http://127.0.0.1:9"))
    senders = Senders(lambda: process.url, 50)
    await senders.run()

    async def stands() -> bool:
        answer = json.loads((await process.ask("/queue"))[1])
        return [(each["ready"] + each["leased"], each["dead"]) for each in answer["topics"]] == [(50, 0)]

    await until(stands)
