"""Requests that repeat each other on a connection are known by their bytes; they must mean what the parser finds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http import Request, Response
from gateway.server import receiving
from gateway.server.connection import ClientConnection
from gateway.server.edge import EdgeLimits

FIELDS = b"Host: a.example\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n"


def request(target: bytes, method: bytes = b"GET", fields: bytes = FIELDS) -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\n" + fields


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The targets of the requests that the parser was asked for."""
    found: list[str] = []

    class Noted(receiving.Head):
        def __init__(self, connection: Any, message: Any) -> None:
            super().__init__(connection, message)
            found.append(message.path)

    monkeypatch.setattr(receiving, "Head", Noted)
    return found


async def show(got: Request) -> Response:
    return Response(200, body=f"{got.method} {got.path} {got.query} {dict(got.headers)}".encode())


async def test_the_parser_is_asked_once_for_what_repeats(front, parsed):
    gateway = await front(show)
    async with await gateway.connect() as wire:
        bodies = []
        for target in (b"/a", b"/b?x=%20y", b"/b?x=%20y"):
            await wire.send(request(target))
            bodies.append((await wire.answer()).body)
    headers = "{'Host': 'a.example', 'User-Agent': 'test', 'Accept': '*/*'}"
    assert bodies == [f"GET /a  {headers}".encode(), *[f"GET /b x=%20y {headers}".encode()] * 2]
    assert parsed == ["/a"]
    assert len({each.request.id for each in await gateway.runtime.recorded(3)}) == 3


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(request(b"/b", b"HEAD"), id="another method"),
        pytest.param(request(b"/b", fields=FIELDS.replace(b"test", b"other")), id="another value"),
        pytest.param(request(b"/b", fields=b"X: 1\r\n" + FIELDS), id="another field in front"),
        pytest.param(request(b"/b X: 1"), id="a space in the target"),
        pytest.param(request(b"/b HTTP/1.1\r\nX: 1\r\nY:"), id="a target that hides a field"),
        pytest.param(request(b"//b"), id="two slashes"),
        pytest.param(request(b"http://b/"), id="absolute form"),
        pytest.param(request(b"/b#c"), id="a fragment"),
        pytest.param(request("/ä".encode()), id="a target that is not ASCII"),
        pytest.param(request(b"/[b]"), id="a character that no path should have"),
        pytest.param(request(b"/" + b"b" * 9000), id="a long target"),
        pytest.param(request(b"/b") + b"GET", id="bytes behind it"),
        pytest.param(request(b"/b") * 2, id="two at once"),
        pytest.param(b"\r\n" + request(b"/b"), id="an empty line in front"),
        pytest.param(b" " + request(b"/b"), id="a space in front"),
    ],
)
async def test_what_differs_goes_to_the_parser(front, parsed, monkeypatch, other: bytes):
    fed: list[bytes] = []
    through = ClientConnection._enqueue

    def noted(self: Any, messages: Any, data: bytes) -> None:
        fed.append(data)
        through(self, messages, data)

    gateway = await front(show)
    async with await gateway.connect() as wire:
        await wire.send(request(b"/a"))
        await wire.answer()
        (connection,) = gateway.edge.connections
        assert connection._known is not None
        assert connection._known.target(other) is None
        monkeypatch.setattr(ClientConnection, "_enqueue", noted)
        await wire.send(other)
        await wire.head()
        assert fed or connection._error is not None


CHARACTERS = st.sampled_from([chr(code) for code in range(0x20, 0x7F)] + ["%2F", "/", "?", "//", "#", "é", "\t"])


@settings(max_examples=100, deadline=None)
@given(target=st.lists(CHARACTERS, max_size=8).map(lambda parts: "/" + "".join(parts)))
def test_a_target_that_is_taken_is_the_parsers(target: str):
    known = receiving.Head.__new__(receiving.Head)
    known.start, known.fields, known.room = b"GET ", FIELDS, 100
    data = request(target.encode())
    taken = known.target(data)
    if taken is None:
        return
    loop = asyncio.new_event_loop()
    try:
        parser = receiving.HttpRequestParser(object(), loop, 1024, max_line_size=100)  # type: ignore[arg-type]
        ((message, payload),), upgraded, tail = parser.feed_data(data)
    finally:
        loop.close()
    assert (message.method, message.path, message.version) == ("GET", taken, (1, 1))
    assert (payload, upgraded, tail) == (receiving.EMPTY_PAYLOAD, False, b"")


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", id="HTTP/1.0"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", id="a method with a body"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", id="a body"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", id="an upgrade"),
        pytest.param(request(b"/") * 2, id="two at once"),
        pytest.param(b"\r\n" + request(b"/"), id="behind an empty line"),
    ],
)
async def test_what_is_not_remembered(front, first: bytes):
    gateway = await front(show)
    async with await gateway.connect() as wire:
        await wire.send(first)
        await wire.answer()
        (connection,) = gateway.edge.connections
        assert connection._known is None


async def test_in_pieces_it_is_not_remembered_and_what_follows_is_whole(front, parsed):
    gateway = await front(show)
    async with await gateway.connect() as wire:
        for cut in (3, 20, len(request(b"/a")) - 2):
            data = request(b"/a")
            await wire.send(data[:cut])
            (connection,) = gateway.edge.connections or [None]
            while connection is None or not connection._head_bytes:
                await asyncio.sleep(0)
                (connection,) = gateway.edge.connections or [None]
            await wire.send(data[cut:])
            assert b"GET /a" in (await wire.answer()).body
            assert connection._known is None
    assert parsed == ["/a"] * 3


@pytest.mark.parametrize(
    ("data", "begun"),
    [
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n|hello", False, id="a length, and no more"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n|1\r\nx\r\n0\r\n\r\n", False, id="chunks"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n|\r\n",
            False,
            id="a cut end",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n|helloGET", True, id="half a head follows"
        ),
        pytest.param(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET", True, id="all at once"),
        pytest.param(request(b"/a") + b"GET", True, id="half a head behind a request without a body"),
    ],
)
async def test_a_head_has_begun_only_when_a_byte_of_it_is_here(front, data: bytes, begun: bool):
    """Else the connection is idle, and closed in silence after its longer deadline."""
    gateway = await front(show_all)
    async with await gateway.connect() as wire:
        for piece in data.split(b"|"):
            await wire.send(piece)
            while not gateway.edge.connections:
                await asyncio.sleep(0)
            await asyncio.sleep(0.01)
        await wire.answer()
        (connection,) = gateway.edge.connections
        while connection._due is None:
            await asyncio.sleep(0)
        deadline = gateway.edge.head_deadline if begun else gateway.edge.keep_alive_deadline
        assert connection._due is deadline


async def show_all(got: Request) -> Response:
    await got.body.read(1 << 20)
    return Response(200)


@pytest.mark.parametrize("bodied", [True, False])
async def test_a_half_head_behind_a_request_goes_on_in_the_next_packet(front, bodied: bool):
    gateway = await front(show_all)
    one = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" if bodied else request(b"/a")
    data = one * 3
    async with await gateway.connect() as wire:
        for cut in range(len(one) + 1, 2 * len(one)):
            await wire.send(data[:cut])
            assert (await wire.answer()).status == 200
            await wire.send(data[cut:])
            assert (await wire.answer()).status == 200
            assert (await wire.answer()).status == 200


async def test_limits_hold_for_what_is_remembered(front):
    gateway = await front(show, limits=EdgeLimits(url=50, linger=0.05))
    async with await gateway.connect() as wire:
        for size in (10, 49):
            await wire.send(request(b"/" + b"a" * size))
            assert (await wire.answer()).status == 200
        await wire.send(request(b"/" + b"a" * 60))
        assert (await wire.answer()).status == 414


async def test_an_empty_host_is_refused_behind_a_request_without_one(front):
    gateway = await front(show)
    async with await gateway.connect() as wire:
        await wire.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (await wire.answer()).status == 200
        await wire.send(b"GET / HTTP/1.1\r\nHost:\r\n\r\n")
        assert (await wire.answer()).status == 400


async def test_once_the_parser_was_stopped_nothing_is_remembered(front):
    gateway = await front(show)
    burst = 200
    async with await gateway.connect() as wire:
        await wire.send(request(b"/a") * burst)
        for _ in range(burst):
            await wire.answer()
        (connection,) = gateway.edge.connections
        for _ in range(2):
            await wire.send(request(b"/a"))
            await wire.answer()
        assert not connection._sure
        assert connection._known is None
