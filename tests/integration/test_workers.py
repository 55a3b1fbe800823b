"""Several workers under a supervisor, as real processes that are killed for real."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest


def two(behind: Any, *urls: str, **upstream: Any) -> dict[str, Any]:
    return {"workers": 2, **behind(*urls, **upstream)}


async def pids(process: Any) -> dict[int, int]:
    """Worker's number → its process."""
    return {each["worker"]: each["pid"] for each in (await process.tell("/workers"))["workers"]}


def alive(pid: int) -> bool:
    """The process runs: one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


async def fetch(url: str, count: int = 1) -> list[tuple[int, bytes]]:
    """Each over a connection of its own."""
    found = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        for _ in range(count):
            async with session.get(url) as answer:
                found.append((answer.status, await answer.read()))
    return found


async def test_both_serve_and_their_numbers_add_up(
    gateway: Any, behind: Any, origin: Any, answering: Any, until: Any
) -> None:
    process = gateway(two(behind, (await origin(answering())).url))
    asked = 0
    served: list[int] = []
    while len(served) < 2:
        assert await fetch(process.url, 20) == [(200, b"ok")] * 20
        asked += 20
        workers = (await process.tell("/workers"))["workers"]
        served = [
            sum(target["answers"]["ok"] > 0 for target in each["upstreams"]["service"]["targets"]) for each in workers
        ]
        served = [each for each in served if each]
        assert asked < 400
    assert len(set((await pids(process)).values()) | {process.pid}) == 3

    async def counted() -> bool:
        return bool(await process.metric("requests_total", route="all", status="200") == asked)

    await until(counted)
    assert await process.metric("connections_total") == asked
    assert await process.metric("request_duration_seconds_count", route="all") == asked
    assert await process.metric("upstream_attempts_total", outcome="ok") == asked
    assert (await process.metric("workers"), await process.metric("workers_ready")) == (2, 2)
    assert await process.metric("upstream_target_healthy") == 1


async def test_a_worker_that_is_killed_is_started_again_and_new_connections_wait_for_nobody(
    gateway: Any, behind: Any, origin: Any, answering: Any, until: Any
) -> None:
    process = gateway(two(behind, (await origin(answering())).url))
    before = await pids(process)
    assert await fetch(process.url, 40) == [(200, b"ok")] * 40
    counted = await process.metric("requests_total", route="all")
    os.kill(before[1], signal.SIGKILL)
    # Some of these wait in the queue of the dead one's socket until it is back; none is refused or reset.
    answers = await asyncio.gather(*(fetch(process.url) for _ in range(40)))
    assert answers == [[(200, b"ok")]] * 40

    async def back() -> bool:
        return len(await pids(process)) == 2

    await until(back)
    after = await pids(process)
    assert (after[0], after[1] != before[1]) == (before[0], True)
    assert await process.metric("worker_restarts_total") == 1
    # What the dead one had counted by the last look is not lost.
    assert await process.metric("requests_total", route="all") >= counted
    assert await process.metric("workers_ready") == 2


async def test_a_worker_comes_back_while_the_file_is_broken_and_with_what_is_in_force(
    gateway: Any, behind: Any, origin: Any, answering: Any, until: Any
) -> None:
    first, second = await origin(answering(b"first")), await origin(answering(b"second"))
    process = gateway({**two(behind, first.url), "reload": {"watch": False}})
    process.write(two(behind, second.url))
    assert (await process.ask("/reload", "POST"))[0] == 200
    process.write("routes: [")
    for pid in (await pids(process)).values():
        os.kill(pid, signal.SIGKILL)

    async def back() -> bool:
        return len(await pids(process)) == 2

    await until(back)
    assert await fetch(process.url, 20) == [(200, b"second")] * 20


async def test_a_reload_that_one_worker_cannot_take_up_is_taken_up_by_none(
    gateway: Any, behind: Any, origin: Any, answering: Any
) -> None:
    """The worker is stopped, not dead: it does not answer. A certificate that breaks after the check would do, too."""
    url = (await origin(answering())).url
    process = gateway({**two(behind, url), "reload": {"watch": False}})
    other = behind(url)
    other["routes"][0]["plugins"] = [{"plugin": "respond", "with": {"body": "new"}}]
    process.write({"workers": 2, **other})
    victim = (await pids(process))[1]
    os.kill(victim, signal.SIGSTOP)
    asking = asyncio.create_task(process.ask("/reload", "POST"))
    await asyncio.sleep(0.3)  # the other one has built it by now, and waits
    os.kill(victim, signal.SIGKILL)
    status, _, _ = await asking
    assert status == 409
    assert await fetch(process.url, 20) == [(200, b"ok")] * 20
    assert (await process.ask("/reload", "POST"))[0] == 200
    assert await fetch(process.url, 20) == [(200, b"new")] * 20


async def test_one_worker_asks_the_targets_and_tells_the_other(
    gateway: Any, behind: Any, origin: Any, until: Any
) -> None:
    probes = 0
    well = True

    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal probes
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            probes += head.startswith(b"GET /up")
            status = b"200" if well else b"500"
            writer.write(b"HTTP/1.1 " + status + b" X\r\nContent-Length: 0\r\n\r\n")

    target = await origin(conduct)
    active = {"path": "/up", "interval": "100ms", "unhealthy": 1, "healthy": 1}
    process = gateway(two(behind, target.url, health={"active": active}))

    async def states() -> set[str]:
        workers = (await process.tell("/upstreams"))["workers"]
        return {t["state"] for each in workers for t in each["upstreams"]["service"]["targets"]}

    await until(lambda: probes > 3)
    well = False

    async def ill() -> bool:
        return await states() == {"ill"}

    await until(ill)
    well = True

    async def again() -> bool:
        return await states() == {"well"}

    await until(again)
    said = [line for line in process.log().splitlines() if "is ill" in line]
    assert sorted("as the worker that checks says" in line for line in said) == [False, True]


async def test_workers_die_with_their_supervisor(gateway: Any, behind: Any, refused_url: str, until: Any) -> None:
    process = gateway(two(behind, refused_url))
    workers = (await pids(process)).values()
    assert all(alive(pid) for pid in workers)
    os.kill(process.pid, signal.SIGKILL)
    await process.ended()
    await until(lambda: not any(alive(pid) for pid in workers))
    with pytest.raises(ConnectionRefusedError), contextlib.closing(socket.create_connection(process.address, 5)):
        pass


async def test_all_drain_and_the_exit_is_clean(gateway: Any, behind: Any, origin: Any, until: Any) -> None:
    asked = asyncio.Event()
    go_on = asyncio.Event()
    count = 0

    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        await reader.readuntil(b"\r\n\r\n")
        count += 1
        if count == 8:
            asked.set()
        await go_on.wait()
        writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\nok")

    process = gateway(two(behind, (await origin(conduct)).url))
    workers = (await pids(process)).values()
    requests = [asyncio.create_task(fetch(process.url)) for _ in range(8)]
    await asked.wait()
    process.signal(signal.SIGTERM)

    async def closed() -> bool:
        try:
            _, writer = await asyncio.open_connection(*process.address)
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:  # it had just begun, and its socket is closed
            return False
        writer.close()
        return False

    await until(closed)
    go_on.set()
    assert await asyncio.gather(*requests) == [[(200, b"ok")]] * 8
    assert await process.ended() == 0
    assert not any(alive(pid) for pid in workers)


async def test_a_refused_start_of_the_workers_is_told_and_leaves_nobody(
    gateway: Any, behind: Any, refused_url: str, until: Any
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        process = gateway({**two(behind, refused_url), "listeners": [{"bind": bind}]}, begin=False)
        process.start(wait=False)
        assert await process.ended() == 1
        assert f"cannot listen on {bind}" in process.log()


async def test_workers_share_a_unix_socket(
    gateway: Any, behind: Any, origin: Any, answering: Any, tmp_path: Path
) -> None:
    path = tmp_path / "g.sock"
    process = gateway(
        {**two(behind, (await origin(answering())).url), "listeners": [{"bind": f"unix:{path}"}]}, begin=False
    )
    process.start()
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path), force_close=True)) as session:
        for _ in range(20):
            async with session.get("http://gateway/") as answer:
                assert await answer.read() == b"ok"
    process.signal(signal.SIGTERM)
    assert await process.ended() == 0
    assert not path.exists()
