"""concurrency_limit in front of a service that can do so much at once, over real connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from statistics import median
from time import monotonic

from aiohttp import web

from gateway.testing import running

ROUTE = """
upstreams:
  work:
    targets: [{targets}]
    retry: {retry}
    health: {{passive: off}}
    attempt: {attempt}
routes:
  - name: work
    match: {{path: /}}
    upstream: work
    plugins: {plugins}
"""


class Service:
    """So many workers, each so many seconds at an answer; whoever comes meanwhile waits, and nobody is turned away."""

    def __init__(self, workers: int, seconds: float) -> None:
        self.url = ""
        self.most = 0
        self._inside = 0
        self._workers = asyncio.Semaphore(workers)
        self._seconds = seconds

    async def handle(self, _request: web.BaseRequest) -> web.Response:
        self._inside += 1
        self.most = max(self.most, self._inside)
        try:
            async with self._workers:
                await asyncio.sleep(self._seconds)
        finally:
            self._inside -= 1
        return web.Response(text="done")


@contextlib.asynccontextmanager
async def service(workers: int, seconds: float) -> AsyncIterator[Service]:
    made = Service(workers, seconds)
    runner = web.ServerRunner(web.Server(made.handle))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.url = "http://{}:{}".format(*runner.addresses[0][:2])
        yield made
    finally:
        await runner.cleanup()


def config(*targets: str, plugins: str = "[]", attempt: str = "[]", retry: str = "off") -> str:
    return ROUTE.format(targets=", ".join(targets), plugins=plugins, attempt=attempt, retry=retry)


async def under_load(plugins: str, clients: int = 60, answers: int = 300) -> tuple[float, int, int]:
    """So many clients, each asking again as soon as it has an answer: the median time of answers in the second half,
    how many were shed, and the most that the service had inside then."""
    async with service(workers=4, seconds=0.02) as work, running(config(work.url, plugins=plugins)) as gateway:
        took: list[float] = []
        shed = 0

        async def client() -> None:
            nonlocal shed
            while len(took) < answers:
                began = monotonic()
                answer = await gateway.fetch("GET", "/")
                if answer.status == 200:
                    took.append(monotonic() - began)
                    if len(took) == answers // 2:
                        work.most = 0
                else:
                    shed += 1
                    await asyncio.sleep(0.02)

        await asyncio.gather(*(client() for _ in range(clients)))
        return median(took[answers // 2 : answers]), shed, work.most


async def test_adaptive_holds_latency_where_no_limit_lets_it_collapse():
    adaptive = "[{plugin: concurrency_limit, with: {adaptive: {window: 100ms}}}]"
    collapsed, none, all_inside = await under_load("[]")
    held, shed, inside = await under_load(adaptive)
    assert (none, all_inside) == (0, 60), "without a limit all of them wait inside the service"
    assert shed > 0
    assert inside < all_inside / 2
    assert held < collapsed / 2


async def test_a_line_in_front_of_a_fixed_limit():
    plugins = "[{plugin: concurrency_limit, with: {limit: 3, queue: {size: 100, timeout: 30s}}}]"
    async with service(workers=50, seconds=0.01) as work, running(config(work.url, plugins=plugins)) as gateway:
        answers = await asyncio.gather(*(gateway.fetch("GET", "/") for _ in range(20)))
        assert [each.status for each in answers] == [200] * 20
        assert work.most == 3


async def test_a_client_that_closes_its_connection_leaves_the_line():
    plugins = "[{plugin: concurrency_limit, with: {limit: 1, queue: {size: 1, timeout: 30s}}}]"
    async with service(workers=1, seconds=0.3) as work, running(config(work.url, plugins=plugins)) as gateway:

        def queued() -> float:
            families = {each["name"]: each["samples"] for each in gateway.services.metrics.snapshot()}
            return sum(value for _, value in families["concurrency_limit_queued"])

        first = asyncio.create_task(gateway.fetch("GET", "/"))
        while not work.most:
            await asyncio.sleep(0.005)
        _, writer = await asyncio.open_connection(*gateway.url.removeprefix("http://").split(":"))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(20):
            while not queued():
                await asyncio.sleep(0.005)
            writer.close()
            while queued():
                await asyncio.sleep(0.005)
        third = asyncio.create_task(gateway.fetch("GET", "/"))
        assert [(await each).status for each in (first, third)] == [200, 200]
        assert work.most == 1


async def test_around_attempts_each_target_has_its_places_and_the_balancer_goes_round_a_full_one():
    attempt = "[{plugin: concurrency_limit, with: {limit: 2}}]"
    async with service(workers=9, seconds=0.5) as one, service(workers=9, seconds=0.5) as other:
        text = config(one.url, other.url, attempt=attempt, retry="{attempts: 3, backoff: {base: 1ms, max: 2ms}}")
        async with running(text) as gateway:
            answers = await asyncio.gather(*(gateway.fetch("GET", "/") for _ in range(7)))
            statuses = sorted(each.status for each in answers)
            assert statuses == [200] * 4 + [503] * 3
            assert (one.most, other.most) == (2, 2)
            assert b"overloaded" in next(each for each in answers if each.status == 503).body
