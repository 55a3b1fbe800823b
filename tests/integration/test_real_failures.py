"""What targets and clients do wrong, over real sockets: who sees what, and what is held against whom."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

PROBLEM = "application/problem+json"

SERVICE = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
client, _ = server.accept()
client.recv(65536)
head = {"length": b"Content-Length: 1000000\\r\\n", "chunked": b"Transfer-Encoding: chunked\\r\\n"}
client.sendall(b"HTTP/1.1 200 OK\\r\\n" + head[sys.argv[1]] + b"\\r\\n")
client.sendall(b"186a0\\r\\n" * (sys.argv[1] == "chunked") + b"x" * 50_000)
time.sleep(60)
"""


async def raw(address: tuple[str, int], request: bytes) -> tuple[bytes, BaseException | None]:
    """Everything that comes back, and how it ended: None for an end in good order."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request)
    found, end = b"", None
    try:
        async with asyncio.timeout(20):
            while data := await reader.read(65536):
                found += data
    except ConnectionError as error:
        end = error
    writer.close()
    return found, end


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_target_killed_within_a_body_is_a_cut_connection_and_never_a_clean_end(
    gateway: Any, behind: Any, framing: str, version: str
) -> None:
    target = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVICE, framing, stdout=asyncio.subprocess.PIPE
    )
    assert target.stdout is not None
    port = int(await target.stdout.readline())
    process = gateway(behind(f"http://127.0.0.1:{port}"))
    reader, writer = await asyncio.open_connection(*process.address)
    writer.write(f"GET / HTTP/{version}\r\nHost: a\r\n\r\n".encode())
    found = b""
    while found.count(b"x") < 50_000:
        data = await reader.read(65536)
        assert data
        found += data
    target.kill()
    await target.wait()
    clean = True
    try:
        async with asyncio.timeout(60):
            while data := await reader.read(65536):
                found += data
    except ConnectionError:
        clean = False
    writer.close()
    assert not clean
    assert not found.endswith(b"0\r\n\r\n")


async def test_a_target_that_resets_a_close_delimited_body_is_told_to_the_client(
    gateway: Any, behind: Any, origin: Any, reset: Any
) -> None:
    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 1000)
        await writer.drain()
        await asyncio.sleep(0.2)
        reset(writer)

    process = gateway(behind((await origin(conduct)).url))
    for version in ("1.1", "1.0"):
        found, end = await raw(process.address, f"GET / HTTP/{version}\r\nHost: a\r\n\r\n".encode())
        assert found.startswith(b"HTTP/1.1 200")
        assert end is not None
        assert not found.endswith(b"0\r\n\r\n")


def saying(data: bytes, then: str = "close") -> Any:
    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        if then == "hang":
            await reader.read()

    return conduct


@pytest.mark.parametrize(
    ("data", "then", "status", "code"),
    [
        pytest.param(b"", "close", 502, "upstream_reset", id="closes without an answer"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-", "close", 502, "upstream_reset", id="closes within the head"),
        pytest.param(b"SSH-2.0-OpenSSH_9\r\n", "close", 502, "malformed_answer", id="speaks something else"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: b\x00\r\n\r\n", "close", 502, "malformed_answer", id="control bytes"),
        pytest.param(b"", "hang", 504, "upstream_timeout", id="half-open: takes the request and says nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", "hang", 504, "upstream_timeout", id="stops within the head"),
    ],
)
async def test_what_targets_do_wrong_is_a_problem_with_a_code(
    gateway: Any, behind: Any, origin: Any, session: Any, data: bytes, then: str, status: int, code: str
) -> None:
    target = await origin(saying(data, then))
    process = gateway(behind(target.url, timeout={"first_byte": "300ms"}, retry={"attempts": 1}))
    async with session.post(process.url, data=b"x") as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (status, PROBLEM)
        document = json.loads(await answer.read())
    assert (document["code"], document["status"]) == (code, status)
    assert "127.0.0.1" not in json.dumps(document)
    assert document["instance"]


async def test_nobody_listens(gateway: Any, behind: Any, refused_url: str, session: Any) -> None:
    process = gateway(behind(refused_url, retry={"attempts": 1}))
    async with session.get(process.url) as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (502, PROBLEM)
        assert json.loads(await answer.read())["code"] == "connect_failed"
    async with session.get(process.url, headers={"Accept": "text/html"}) as answer:
        assert answer.headers["Content-Type"].startswith("text/html")


async def test_all_connections_taken_and_the_queue_full_is_a_503(
    gateway: Any, behind: Any, origin: Any, session: Any, until: Any
) -> None:
    release = asyncio.Event()
    asked = asyncio.Event()

    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await release.wait()
        writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\nok")

    pool = {"max_connections": 1, "queue": 0}
    process = gateway(behind((await origin(conduct)).url, pool=pool, retry={"attempts": 1}))
    first = asyncio.create_task(_get(session, process.url))
    await asked.wait()
    status, body = await _get(session, process.url)
    assert (status, json.loads(body)["status"]) == (503, 503)
    release.set()
    assert await first == (200, b"ok")


async def _get(session: Any, url: str) -> tuple[int, bytes]:
    async with session.get(url) as answer:
        return answer.status, await answer.read()


async def test_a_second_target_is_tried_when_the_first_refuses_resets_or_answers_503(
    gateway: Any, behind: Any, origin: Any, answering: Any, session: Any, refused_url: str, reset: Any
) -> None:
    async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        reset(writer)

    well = await origin(answering())
    ill = [refused_url, (await origin(resetting)).url, (await origin(answering(b"no", 503))).url]
    for url in ill:
        process = gateway(behind(url, well.url, retry={"attempts": 2, "budget": "100%"}, health={"passive": "off"}))
        for _ in range(6):
            assert await _get(session, process.url) == (200, b"ok")
        assert await process.metric("upstream_retries_total") == 3
        process.kill()


async def test_a_post_that_was_perhaps_seen_is_sent_once(
    gateway: Any, behind: Any, origin: Any, session: Any, reset: Any
) -> None:
    seen = 0

    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(1)
        seen += 1
        reset(writer)

    urls = [(await origin(conduct)).url for _ in range(3)]
    process = gateway(behind(*urls, retry={"attempts": 3, "budget": "100%"}))
    async with session.post(process.url, data=b"x") as answer:
        assert answer.status == 502
    assert seen == 1


async def test_a_connection_that_the_target_closed_while_idle_costs_nobody_an_error(
    gateway: Any, behind: Any, origin: Any, session: Any
) -> None:
    """Closes every connection right after its answer, without saying so before."""

    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\nok")

    process = gateway(behind((await origin(conduct)).url, retry={"attempts": 2}))
    for number in range(200):
        assert await _get(session, f"{process.url}/{number}") == (200, b"ok")


async def test_a_client_that_leaves_is_a_499_and_no_failure_of_the_target(
    gateway: Any, behind: Any, origin: Any, until: Any, tmp_path: Path
) -> None:
    asked = asyncio.Event()
    left = asyncio.Event()

    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        try:
            assert await reader.read() == b""
        finally:
            left.set()

    target = await origin(conduct)
    process = gateway({**behind(target.url, health={"passive": {"failures": 1}}), "access_log": "stdout"})
    for number in range(3):
        asked.clear()
        left.clear()
        _, writer = await asyncio.open_connection(*process.address)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asked.wait()
        if number == 0:
            writer.close()
        else:
            raw_socket: socket.socket = writer.get_extra_info("socket")
            raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            writer.transport.abort()
        async with asyncio.timeout(60):
            await left.wait()  # the attempt is cancelled: the target is not kept busy for nobody

    async def counted() -> bool:
        return bool(await process.metric("requests_total", status="499") == 3)

    await until(counted)
    assert await process.metric("upstream_attempts_total", outcome="failed") == 0
    assert await process.metric("upstream_target_healthy") == 1
    (target_state,) = (await process.tell("/upstreams"))["workers"][0]["upstreams"]["service"]["targets"]
    assert (target_state["state"], target_state["failures_in_a_row"], target_state["active"]) == ("well", 0, 0)
    await until(lambda: process.out().count('"status":499') == 3)


async def test_a_client_that_leaves_within_a_body_frees_the_target(
    gateway: Any, behind: Any, origin: Any, until: Any
) -> None:
    left = asyncio.Event()

    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)
        finally:
            left.set()

    process = gateway(behind((await origin(conduct)).url))
    reader, writer = await asyncio.open_connection(*process.address)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readexactly(5000)
    writer.transport.abort()
    async with asyncio.timeout(60):
        await left.wait()

    async def ended() -> bool:
        return bool(await process.metric("requests_in_flight", route="all") == 0)

    await until(ended)
    assert await process.metric("upstream_attempts_total", outcome="failed") == 0


async def test_a_target_that_is_stopped_and_comes_back(gateway: Any, behind: Any, session: Any, until: Any) -> None:
    """Frozen (SIGSTOP), the system still takes connections for it; it must time out, and serve again after."""
    program = "import http.server as h; s = h.HTTPServer(('127.0.0.1', 0), h.SimpleHTTPRequestHandler)\n"
    program += "print(s.server_port, flush=True); s.serve_forever()"
    target = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        assert target.stdout is not None
        url = f"http://127.0.0.1:{int(await target.stdout.readline())}"
        process = gateway(behind(url, timeout={"first_byte": "500ms"}, retry={"attempts": 1}))
        assert (await _get(session, process.url))[0] == 200
        os.kill(target.pid, signal.SIGSTOP)
        assert (await _get(session, process.url))[0] == 504
        os.kill(target.pid, signal.SIGCONT)

        async def again() -> bool:
            return (await _get(session, process.url))[0] == 200

        await until(again)
    finally:
        target.kill()
        await target.wait()


async def test_uploads_meet_a_target_that_answers_early_or_leaves(
    gateway: Any, behind: Any, origin: Any, reset: Any
) -> None:
    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(1000)
        if b"/early" in head:
            writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
            await writer.drain()
            await asyncio.sleep(0.2)
        else:
            reset(writer)

    process = gateway(behind((await origin(conduct)).url, retry={"attempts": 1}))

    async def upload() -> Any:
        for _ in range(300):
            yield b"x" * 65_536

    async with aiohttp.ClientSession() as session:
        for path, wanted in (("early", 413), ("leave", 502)):
            try:
                async with session.post(f"{process.url}/{path}", data=upload()) as answer:
                    assert answer.status == wanted
            except aiohttp.ClientOSError:
                pass  # it was still sending when the connection went; it may not have read the answer yet
        assert await process.metric("requests_total", status="413") == 1
        assert await process.metric("requests_total", status="502") == 1
