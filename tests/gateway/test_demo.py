"""The demo service does what its page says, and `make run`'s way of running the gateway behind it ends cleanly."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import sys

import aiohttp
import pytest

from gateway import demo

LISTENER = """
import signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: (print("drained", flush=True), sys.exit({code})))
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("front is up", flush=True)
while True:
    listener.accept()[0].close()
"""


@pytest.fixture
async def service():
    async with (
        demo.listening("127.0.0.1", 0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        yield session


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        pytest.param("GET", "/", 200, id="hello"),
        pytest.param("GET", "/healthz", 200, id="health"),
        pytest.param("GET", "/orders", 200, id="list of orders"),
        pytest.param("GET", "/orders/1", 200, id="an order that is there"),
        pytest.param("GET", "/orders/999", 404, id="an order that is not"),
        pytest.param("DELETE", "/orders", 405, id="a method it does not know"),
        pytest.param("GET", "/status/204", 204, id="the status asked for"),
        pytest.param("POST", "/status/503", 503, id="the status asked for, by POST"),
        pytest.param("GET", "/status/101", 404, id="no status that changes the protocol"),
        pytest.param("GET", "/slow?seconds=0", 200, id="slow, but not very"),
        pytest.param("GET", "/slow?seconds=61", 400, id="slower than it allows"),
        pytest.param("GET", "/slow?seconds=nan", 400, id="not a number"),
        pytest.param("GET", "/events?count=x", 400, id="not a count"),
        pytest.param("GET", "/nowhere", 404, id="no such path"),
    ],
)
async def test_status(service, method, path, code):
    async with service.request(method, path) as response:
        assert response.status == code


async def test_echo_shows_the_request_as_it_arrived():
    async with demo.listening("127.0.0.1", 0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = b"PUT /echo/a%2Fb?c=%20 HTTP/1.1\r\nHost: a\r\nX-Twice: 1\r\nx-twice: 2\r\nContent-Length: 2\r\n"
        writer.write(head + b"Connection: close\r\n\r\n\xff\x00")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    seen = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (seen["method"], seen["path"]) == ("PUT", "/echo/a%2Fb?c=%20")
    assert seen["headers"][:3] == [["Host", "a"], ["X-Twice", "1"], ["x-twice", "2"]]
    assert base64.b64decode(seen["body_base64"]) == b"\xff\x00"


async def test_an_order_that_was_added_can_be_read(service):
    async with service.post("/orders", json={"item": "jam"}) as response:
        assert response.status == 201
        place = response.headers["Location"]
    async with service.get(place) as response:
        assert (await response.json())["order"] == {"item": "jam"}
    async with service.post("/orders", data="not json") as response:
        assert response.status == 400


async def test_orders_are_bounded(service):
    for number in range(demo.MAX_ORDERS + 5):
        async with service.post("/orders", json=number) as response:
            last = (await response.json())["id"]
    async with service.get("/orders") as response:
        orders = await response.json()
    assert len(orders) == demo.MAX_ORDERS
    assert orders[-1]["id"] == last


async def test_events_arrive_one_by_one(service):
    async with service.get("/events?count=3&every=0") as response:
        assert response.content_type == "text/event-stream"
        body = await response.text()
    assert [line for line in body.splitlines() if line.startswith("data:")] == [f"data: tick {n}" for n in range(3)]


async def test_websocket_sends_back(service):
    async with service.ws_connect("/ws") as ws:
        await ws.send_str("text")
        assert await ws.receive_str() == "text"
        await ws.send_bytes(b"\x00\x01")
        assert await ws.receive_bytes() == b"\x00\x01"


async def test_download_serves_ranges(service):
    async with service.get("/download", headers={"Range": "bytes=32-47"}) as response:
        assert response.status == 206
        assert response.headers["Content-Range"] == f"bytes 32-47/{demo.FILE_SIZE}"
        assert await response.read() == b"000000000000032\n"
    async with service.get("/download") as response:
        assert len(await response.read()) == demo.FILE_SIZE


async def test_fail_fails_each_nth_time(service):
    codes = []
    for _ in range(6):
        async with service.get("/fail?every=2") as response:
            codes.append(response.status)
    assert codes == [200, 503, 200, 503, 200, 503]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.demo", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def said(process: asyncio.subprocess.Process, words: str) -> str:
    """What the process printed up to and with the line that holds ``words``; fails if it ends without."""
    text = ""
    while words not in text:
        line = await process.stdout.readline()
        assert line, text
        text += line.decode()
    return text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize(
    ("child", "code"),
    [pytest.param(0, 0, id="a clean end"), pytest.param(3, 1, id="an end that is not clean")],
)
async def test_a_signal_ends_both_and_the_gateway_may_drain(number, child, code):
    port = free_port()
    process = await start(
        *("--port", "0", "--front", f"http://127.0.0.1:{port}"),
        *("--", sys.executable, "-c", LISTENER.format(code=child), str(port)),
    )
    text = await said(process, "Ctrl-C ends both")
    assert text.count("  curl ") == 3
    process.send_signal(number)
    rest, _ = await process.communicate()
    assert process.returncode == code
    assert rest.count(b"drained") == 1
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_when_the_gateway_ends_so_does_the_demo_with_its_code():
    process = await start(
        *("--port", "0", "--front", f"http://127.0.0.1:{free_port()}"),
        *("--", sys.executable, "-c", "import sys; print('gateway.yaml:3: no such key'); sys.exit(7)"),
    )
    text, _ = await process.communicate()
    assert b"no such key" in text
    assert b"curl" not in text
    assert process.returncode == 7


@pytest.mark.parametrize("taken", ["the demo's port", "the gateway's port"])
async def test_a_taken_port_is_said_and_nothing_is_started(taken):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        mine, front = (port, free_port()) if taken == "the demo's port" else (0, port)
        process = await start(
            *("--port", str(mine), "--front", f"http://127.0.0.1:{front}"),
            *("--", sys.executable, "-c", "print('started')"),
        )
        text, _ = await process.communicate()
    assert f"port {port} on 127.0.0.1 is taken" in text.decode()
    assert b"started" not in text
    assert process.returncode == 1


async def test_a_command_that_is_not_there_is_said():
    process = await start("--port", "0", "--front", f"http://127.0.0.1:{free_port()}", "--", os.devnull + "/gateway")
    text, _ = await process.communicate()
    assert b"cannot run" in text
    assert process.returncode == 1
