"""SIGTERM to a real process: what is under way ends well, what does not end in time is cut, nobody is left hanging."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from typing import Any

import aiohttp
import pytest
import websockets

WORKERS = pytest.mark.parametrize("workers", [pytest.param(1, id="one worker"), pytest.param(2, id="two workers")])


def slow(answer_when: asyncio.Event, asked: asyncio.Event, tail: bytes = b"") -> Any:
    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\nfirst")
        asked.set()
        await answer_when.wait()
        writer.write(tail)
        await writer.drain()
        await reader.read()

    return conduct


async def refuses(process: Any) -> bool:
    try:
        _, writer = await asyncio.open_connection(*process.address)
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    writer.close()
    return False


@WORKERS
async def test_a_request_under_way_completes_and_no_new_connection_is_taken(
    gateway: Any, behind: Any, origin: Any, until: Any, workers: int
) -> None:
    go_on, asked = asyncio.Event(), asyncio.Event()
    target = await origin(slow(go_on, asked, b"-last"))
    process = gateway({"workers": workers, **behind(target.url)})
    async with aiohttp.ClientSession() as session, session.get(process.url) as answer:
        await asked.wait()
        process.signal(signal.SIGTERM)
        await until(lambda: refuses(process))
        go_on.set()
        assert await answer.read() == b"first-last"
    assert await process.ended() == 0
    assert "cut" not in process.log()


@WORKERS
async def test_idle_connections_are_closed_and_busy_ones_told_to_close(
    gateway: Any, behind: Any, origin: Any, until: Any, workers: int
) -> None:
    go_on, asked = asyncio.Event(), asyncio.Event()

    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if b"/slow" in head:
                asked.set()
                await go_on.wait()
            writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\nok")

    process = gateway({"workers": workers, **behind((await origin(conduct)).url)})
    idle_reader, idle = await asyncio.open_connection(*process.address)
    idle.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    head = await idle_reader.readuntil(b"\r\n\r\n")
    assert b"close" not in head.lower()
    assert await idle_reader.readexactly(2) == b"ok"
    busy_reader, busy = await asyncio.open_connection(*process.address)
    busy.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    await asked.wait()
    process.signal(signal.SIGTERM)
    async with asyncio.timeout(60):
        assert await idle_reader.read() == b""  # long before its keep-alive time
        go_on.set()
        answer = await busy_reader.read()
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert answer.endswith(b"\r\n\r\nok")
    idle.close()
    busy.close()
    assert await process.ended() == 0


@WORKERS
async def test_websockets_are_told_to_leave(gateway: Any, behind: Any, workers: int) -> None:
    closed_with: list[int | None] = []

    async def echo(socket: Any) -> None:
        async for message in socket:
            await socket.send(message)
        closed_with.append(socket.close_code)

    async with websockets.serve(echo, "127.0.0.1", 0) as server:
        target = "http://127.0.0.1:%d" % next(iter(server.sockets)).getsockname()[1]  # noqa: UP031
        process = gateway({"workers": workers, **behind(target)})
        async with websockets.connect(process.url.replace("http", "ws")) as socket:
            await socket.send("x" * 100_000)
            assert await socket.recv() == "x" * 100_000
            process.signal(signal.SIGTERM)
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
        assert await process.ended() == 0
    assert closed_with == [1001]


@WORKERS
async def test_what_does_not_end_in_time_is_cut_and_not_ended(
    gateway: Any, behind: Any, origin: Any, workers: int
) -> None:
    never, asked = asyncio.Event(), asyncio.Event()
    target = await origin(slow(never, asked))
    process = gateway({"workers": workers, **behind(target.url), "shutdown": {"drain": "300ms"}})
    began = time.monotonic()
    async with aiohttp.ClientSession() as session, session.get(process.url) as answer:
        await asked.wait()
        process.signal(signal.SIGTERM)
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    assert await process.ended() == 0
    assert "cut after 0.3s" in process.log()
    assert time.monotonic() - began < 30  # the drain of 30 seconds, which is the default, was not waited for


async def test_a_delay_lets_balancers_look_first(
    gateway: Any, behind: Any, origin: Any, answering: Any, session: Any, until: Any
) -> None:
    process = gateway({**behind((await origin(answering())).url), "shutdown": {"delay": "1500ms"}})
    process.signal(signal.SIGTERM)

    async def unready() -> Any:
        status, body, _ = await process.ask("/readyz")
        return status == 503 and json.loads(body)

    assert (await until(unready))["reasons"] == ["shutting down"]
    async with session.get(process.url) as answer:  # it serves on meanwhile
        assert await answer.read() == b"ok"
    assert (await process.ask("/healthz"))[0] == 200
    assert await process.ended() == 0


@WORKERS
async def test_a_signal_while_it_starts_is_not_lost(gateway: Any, behind: Any, refused_url: str, workers: int) -> None:
    process = gateway({"workers": workers, **behind(refused_url)}, begin=False)
    process.start(wait=False)
    while '"listening' not in process.log() and process.process.poll() is None:
        process.signal(signal.SIGHUP) if process.log() else None
        await asyncio.sleep(0.005)
        if "listening on" in process.log():
            break
    process.signal(signal.SIGTERM)
    assert await process.ended() == 0


async def test_ctrl_c_ends_it_as_well(gateway: Any, behind: Any, refused_url: str) -> None:
    process = gateway(behind(refused_url))
    process.signal(signal.SIGINT)
    assert await process.ended() == 0
    assert "Traceback" not in process.log()


async def test_the_last_lines_of_the_access_log_are_written(
    gateway: Any, behind: Any, origin: Any, answering: Any, session: Any
) -> None:
    process = gateway({**behind((await origin(answering())).url), "access_log": "stdout"})
    for number in range(50):
        async with session.get(f"{process.url}/{number}") as answer:
            await answer.read()
    process.signal(signal.SIGTERM)
    assert await process.ended() == 0
    lines = [json.loads(line) for line in process.out().splitlines()]
    assert [line["path"] for line in lines] == [f"/{number}" for number in range(50)]
