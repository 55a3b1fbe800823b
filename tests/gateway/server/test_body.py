"""The client's body as a source: whole chunks, the right errors, nothing after the end. More in test_connection.py."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.web_protocol import RequestPayloadError

from gateway.errors import ClientClosed, GatewayError, MalformedMessage, RequestTimeout
from gateway.server import body as module
from gateway.server.body import ClientBody
from gateway.server.edge import EdgeLimits
from gateway.services.clock import Wheel


class Edge:
    def __init__(self, seconds: float) -> None:
        self.wheel = Wheel()
        self.body_deadline = self.wheel.of(seconds)
        self.limits = EdgeLimits()


class Connection:
    """The part of a connection that a body needs."""

    def __init__(self, seconds: float = 30.0) -> None:
        self.edge = Edge(seconds)
        self.said: list[int] = []

    def interim(self, status: int, _fields: object) -> None:
        self.said.append(status)


@pytest.fixture
async def payload() -> StreamReader:
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.transport = object()
    return StreamReader(protocol, 65536, loop=loop)


async def test_reads_to_the_end(payload):
    connection = Connection()
    body = ClientBody(connection, payload, expects=False)
    payload.feed_data(b"one")
    payload.feed_data(b"two")
    assert await body.read() == b"onetwo"
    reading = asyncio.ensure_future(body.read())
    await asyncio.sleep(0)
    payload.feed_data(b"three")
    assert await reading == b"three"
    payload.feed_eof()
    assert await body.read() == b""
    assert await body.read() == b""
    assert body.received == 11
    assert connection.said == []


@pytest.mark.parametrize("early", [True, False], ids=["bytes are here already", "nothing is here"])
async def test_continue_is_said_once_and_only_to_who_waits(payload, early: bool):
    connection = Connection()
    body = ClientBody(connection, payload, expects=True)
    assert body.awaits_continue
    if early:
        payload.feed_data(b"one")
    reading = asyncio.ensure_future(body.read())
    await asyncio.sleep(0)
    if not early:
        payload.feed_data(b"one")
    assert await reading == b"one"
    payload.feed_eof()
    await body.read()
    assert connection.said == ([] if early else [100])
    assert not body.awaits_continue


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (MalformedMessage(reason="x"), MalformedMessage),
        (RequestPayloadError("400, message: bad"), MalformedMessage),
        (ConnectionResetError(), ClientClosed),
        (RuntimeError("Connection closed."), ClientClosed),
    ],
)
async def test_errors(payload, given: Exception, expected: type[GatewayError]):
    body = ClientBody(Connection(), payload, expects=False)
    reading = asyncio.ensure_future(body.read())
    await asyncio.sleep(0)
    payload.set_exception(given)
    with pytest.raises(expected):
        await reading


async def test_silence_is_a_timeout(payload):
    connection = Connection(0.02)
    body = ClientBody(connection, payload, expects=False)
    with pytest.raises(RequestTimeout):
        await body.read()
    assert len(connection.edge.body_deadline) == 0


@pytest.mark.parametrize(
    ("rate", "step", "pieces", "cut"),
    [
        pytest.param(240.0, 29.0, [b"x"], True, id="a byte within each deadline"),
        pytest.param(240.0, 1.0, [b"x" * 100] * 6, True, id="slowly all along"),
        pytest.param(240.0, 1.0, [b"x"] * 5, False, id="slowly at first"),
        pytest.param(240.0, 1.0, [b"x" * 240] * 60, False, id="just as fast as it must"),
        pytest.param(240.0, 10.0, [b"x" * 10_000, *[b"x"] * 3], False, id="silent now and then, but fast before"),
        pytest.param(0.0, 29.0, [b"x"] * 100, False, id="as slowly as it likes"),
    ],
)
async def test_a_least_rate(payload, monkeypatch, rate: float, step: float, pieces: list[bytes], cut: bool):
    now = 0.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    connection = Connection()
    connection.edge.limits = EdgeLimits(body_rate=rate)
    body = ClientBody(connection, payload, expects=False)

    async def receive() -> None:
        nonlocal now
        for piece in pieces:
            reading = asyncio.ensure_future(body.read())
            await asyncio.sleep(0)
            now += step
            payload.feed_data(piece)
            await reading
            now += 1000.0  # what the target takes of it is not the client's fault
        payload.feed_eof()
        assert await body.read() == b""

    if cut:
        with pytest.raises(RequestTimeout):
            await receive()
    else:
        await receive()


async def test_a_cancelled_read_waits_for_nothing(payload):
    connection = Connection()
    body = ClientBody(connection, payload, expects=False)
    reading = asyncio.ensure_future(body.read())
    await asyncio.sleep(0)
    assert len(connection.edge.body_deadline) == 1
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert len(connection.edge.body_deadline) == 0
    connection.edge.wheel.close()


async def test_there_are_no_trailers(payload):
    body = ClientBody(Connection(), payload, expects=False)
    body.close()
    assert body.trailers is None
