"""What takes long: run by `make crash` and `make soak` only. ``SIDEGATE_SOAK_SECONDS`` sets the soak's length."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

KILLS = 50
SOAK_SECONDS = float(os.environ.get("SIDEGATE_SOAK_SECONDS", "3600"))


def resident(pid: int) -> int:
    """Bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.crash
async def test_workers_killed_again_and_again_are_replaced(
    gateway: Any, behind: Any, origin: Any, answering: Any, until: Any
) -> None:
    """A killed worker takes its own exchanges along and nothing else; the gateway always serves again."""
    process = gateway({"workers": 2, **behind((await origin(answering())).url)})
    chance = random.Random(7)
    for _ in range(KILLS):
        workers = {each["worker"]: each["pid"] for each in (await process.tell("/workers"))["workers"]}
        victim = chance.choice(sorted(workers))
        os.kill(workers[victim], signal.SIGKILL)

        async def replaced(dead: int = workers[victim]) -> bool:
            now = [each["pid"] for each in (await process.tell("/workers"))["workers"]]
            return len(now) == 2 and dead not in now

        began = time.monotonic()
        while not await replaced():
            assert time.monotonic() - began < 60, "the worker was not replaced"
            await asyncio.sleep(0.1)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            for _ in range(10):
                async with session.get(process.url) as answer:
                    assert (answer.status, await answer.read()) == (200, b"ok")


async def _echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read() or b"ok")


@pytest.mark.soak
async def test_memory_and_descriptors_stay_level_under_load(gateway: Any, behind: Any, aiohttp_server: Any) -> None:
    """Kept and new connections, small and streamed bodies, clients that leave: nothing of it is kept."""
    application = web.Application(client_max_size=10_000_000)
    application.router.add_route("*", "/{number}", _echo)
    service = await aiohttp_server(application)
    process = gateway(behind(f"http://127.0.0.1:{service.port}"))
    end = time.monotonic() + SOAK_SECONDS
    async with (
        aiohttp.ClientSession() as kept,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as fresh,
    ):

        async def ask(number: int) -> None:
            session = kept if number % 4 else fresh
            async with session.post(f"{process.url}/{number}", data=b"x" * (number % 3) * 50_000) as answer:
                if number % 7:
                    assert answer.status == 200
                    await answer.read()

        async def round_of(count: int) -> None:
            await asyncio.gather(*(ask(number) for number in range(count)))

        for _ in range(20):
            await round_of(50)
        files = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
        memory = resident(process.pid)
        while time.monotonic() < end:
            await round_of(50)
        await asyncio.sleep(1)
        assert resident(process.pid) < memory * 1.2 + 8_000_000
        assert len(list(Path(f"/proc/{process.pid}/fd").iterdir())) <= files + 20
