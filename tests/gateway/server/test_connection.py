"""A client's connection from accept to close: order, keep-alive, bodies, deadlines, and what it uses of aiohttp."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque

import aiohttp
import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler

from gateway.errors import ClientClosed, MalformedMessage, RequestTimeout
from gateway.http import Body, Request, Response
from gateway.server.connection import ClientConnection
from gateway.server.edge import EdgeLimits

GET = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSING = b"GET /%b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


async def path(request: Request) -> Response:
    return Response(200, body=request.path.encode())


async def echo(request: Request) -> Response:
    return Response(200, body=await request.body.read(1 << 24))


async def ignore(request: Request) -> Response:
    return Response(200, body=b"ignored")


# -- what is used of aiohttp that is not public ------------------------------------------------------------------


ATTRIBUTES = {
    "_buffer_paused": bool,
    "_close": bool,
    "_drain_waiter": type(None),
    "_force_close": bool,
    "_loop": asyncio.AbstractEventLoop,
    "_max_msg_queue_size": int,
    "_message_tail": bytes,
    "_messages": deque,
    "_msg_queue_resume_size": int,
    "_parser": HttpRequestParser,
    "_payload_parser": type(None),
    "_paused": bool,
    "_task_handler": asyncio.Task,
    "_upgraded": bool,
    "_waiter": asyncio.Future,
    "max_field_size": int,
    "max_headers": int,
    "max_line_size": int,
    "writing_paused": bool,
}
METHODS = {
    "_drain_helper": [],
    "_pause_reading_for_buffer": [],
    "_resume_reading_if_drained": [],
    "_resume_transport_reading": [],
    "close": [],
    "connection_lost": ["exc"],
    "connection_made": ["transport"],
    "data_received": ["data"],
    "set_parser": ["parser", "data_received_cb"],
    "start": [],
}


async def test_the_parts_of_aiohttp_that_are_used_are_there(front):
    """Fails when aiohttp moves one of them: then read server/receiving.py and connection.py against its source."""
    gateway = await front()
    async with await gateway.connect() as wire:
        while not gateway.edge.connections or next(iter(gateway.edge.connections))._waiter is None:
            await asyncio.sleep(0)
        (connection,) = gateway.edge.connections
        moved = [name for name, kind in ATTRIBUTES.items() if not isinstance(getattr(connection, name, None), kind)]
        assert moved == [], aiohttp.__version__
        wire.reset()


@pytest.mark.parametrize("name", METHODS)
def test_the_methods_of_aiohttp_that_are_used_are_there(name: str):
    assert list(inspect.signature(getattr(RequestHandler, name)).parameters)[1:] == METHODS[name]


def test_our_slots_hide_none_of_aiohttp_s():
    theirs = {slot for kind in (RequestHandler, BaseProtocol) for slot in kind.__slots__}
    assert theirs.isdisjoint(ClientConnection.__slots__)


async def test_the_parser_behaves_as_relied_upon(front):
    gateway = await front()
    async with await gateway.connect():
        while not gateway.edge.connections:
            await asyncio.sleep(0)
        (connection,) = gateway.edge.connections
        parser = connection.fresh_parser()
        messages, upgraded, tail = parser.feed_data(
            GET % b"x" + b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe"
        )
        assert (upgraded, tail) == (False, b"")
        (first, none), (second, some) = messages
        assert isinstance(first, RawRequestMessage)
        assert (first.method, first.path, first.raw_headers) == ("GET", "/x", ((b"Host", b"a"),))
        assert none is EMPTY_PAYLOAD
        assert (second.chunked, second.should_close, second.upgrade) == (0, False, False)
        assert isinstance(some, StreamReader)
        assert not some.is_eof()
        assert parser.feed_data(b"llo") == ((), False, b"")
        assert some.is_eof()
        assert some.read_nowait() == b"hello"
        parser.message_consumed()
        parser.set_upgraded(False)
        with pytest.raises(HttpProcessingError):
            parser.feed_data(b"\0")


async def test_trailers_of_requests_are_not_to_be_had(front):
    """If this fails, aiohttp's parser yields them now: pass them on and strike the sentence from the README."""
    gateway = await front()
    async with await gateway.connect():
        while not gateway.edge.connections:
            await asyncio.sleep(0)
        (connection,) = gateway.edge.connections
        parser = connection.fresh_parser()
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n"
        ((message, payload),), _, _ = parser.feed_data(head + b"1\r\na\r\n0\r\nX: seen\r\n\r\n")
        assert payload.read_nowait() == b"a"
        assert "seen" not in str(message)
        assert not any("trailer" in name for name in dir(payload) + dir(message) + dir(parser))


# -- keep-alive and pipelining -----------------------------------------------------------------------------------


async def test_connections_are_kept(front):
    gateway = await front(path)
    async with await gateway.connect() as wire:
        for name in (b"a", b"b", b"c"):
            await wire.send(GET % name)
            answer = await wire.answer()
            assert answer.body == b"/" + name
            assert answer.all(b"Connection") == []
    assert gateway.edge.accepted == 1


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n", True, id="1.1"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", False, id="1.1, close"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n", False, id="1.1, close in a list"),
        pytest.param(b"GET / HTTP/1.0\r\n", False, id="1.0"),
        pytest.param(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n", True, id="1.0, keep-alive"),
        pytest.param(b"GET / HTTP/1.0\r\nConnection: Keep-Alive, foo\r\n", True, id="1.0, keep-alive in a list"),
    ],
)
async def test_who_is_kept(front, head: bytes, kept: bool):
    gateway = await front(path)
    async with await gateway.connect() as wire:
        await wire.send(head + b"\r\n")
        answer = await wire.answer()
        assert answer.line == b"HTTP/1.1 200 OK"
        if kept:
            await wire.send(CLOSING % b"")
            assert (await wire.answer()).status == 200
        else:
            assert answer.one(b"Connection") == b"close"
        assert await wire.rest() == b""


async def test_http_1_0_is_told_that_it_is_kept(front):
    gateway = await front(path)
    async with await gateway.connect() as wire:
        await wire.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (await wire.answer()).one(b"Connection") == b"keep-alive"


async def test_http_1_0_gets_no_chunks(front):
    class Two:
        trailers = None

        def __init__(self) -> None:
            self.chunks = [b"one", b"two"]

        async def read(self) -> bytes:
            return self.chunks.pop(0) if self.chunks else b""

        def close(self) -> None:
            pass

    async def stream(_request: Request) -> Response:
        return Response(200, body=Body(None, Two()))

    gateway = await front(stream)
    async with await gateway.connect() as wire:
        await wire.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        answer = await asyncio.wait_for(wire.answer(), 60)
    assert answer.body == b"onetwo"
    assert answer.all(b"Transfer-Encoding") == []
    assert answer.one(b"Connection") == b"close"


async def test_pipelined_requests_are_answered_in_order(front):
    gate = asyncio.Event()

    async def slow_first(request: Request) -> Response:
        if request.path == "/0":
            await gate.wait()
        return Response(200, body=request.path.encode())

    gateway = await front(slow_first)
    async with await gateway.connect() as wire:
        await wire.send(b"".join(GET % b"%d" % number for number in range(100)))
        await wire.send(GET % b"last")
        gate.set()
        bodies = [(await wire.answer()).body for _ in range(101)]
    assert bodies == [b"/%d" % number for number in range(100)] + [b"/last"]


async def test_pipelined_bodies(front):
    gateway = await front(echo)
    one = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    two = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    data = (one + two) * 20 + CLOSING % b""
    for step in (1, 7, len(data)):
        async with await gateway.connect() as wire:
            for at in range(0, len(data), step):
                wire.writer.write(data[at : at + step])
                if step == 7:
                    await asyncio.sleep(0)
            bodies = [(await wire.answer()).body for _ in range(41)]
            assert bodies == [b"hello", b"abcde"] * 20 + [b""]


@pytest.mark.parametrize("together", [True, False])
async def test_a_bad_request_behind_good_ones(front, together: bool):
    gateway = await front(path)
    async with await gateway.connect() as wire:
        good, bad = (GET % b"a") + (GET % b"b"), b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n"
        if together:
            await wire.send(good + bad)
        else:
            await wire.send(good)
            await gateway.runtime.recorded(2)
            await wire.send(bad)
        assert [(await wire.answer()).body for _ in range(2)] == [b"/a", b"/b"]
        assert (await wire.answer()).status == 400
        assert await wire.rest() == b""
    assert [each.status for each in gateway.runtime.exchanges] == [200, 200, 400]


async def test_a_good_post_before_a_bad_request(front):
    gateway = await front(echo)
    async with await gateway.connect() as wire:
        await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + b"GET / HTTP/9\r\n\r\n")
        assert (await wire.answer()).body == b"hello"
        assert (await wire.answer()).status in (400, 505)
        assert await wire.rest() == b""


async def test_what_follows_a_closing_request_is_not_served(front):
    gateway = await front(path)
    async with await gateway.connect() as wire:
        await wire.send(CLOSING % b"a" + GET % b"b")
        assert (await wire.answer()).body == b"/a"
        assert await wire.rest() == b""
    assert len(gateway.runtime.exchanges) == 1


async def test_empty_lines_between_requests_are_skipped(front):
    """RFC 9112 §2.2."""
    gateway = await front(path)
    async with await gateway.connect() as wire:
        await wire.send(b"\r\n" + GET % b"a" + b"\r\n\r\n" + CLOSING % b"b")
        assert [(await wire.answer()).body for _ in range(2)] == [b"/a", b"/b"]


# -- request targets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "host", "seen"),
    [
        pytest.param(b"GET /a?b=c HTTP/1.1", b"h:80", ("/a", "b=c", "h:80"), id="origin form"),
        pytest.param(b"GET http://other:81/a?b HTTP/1.1", b"h", ("/a", "b", "other:81"), id="absolute form wins"),
        pytest.param(b"GET HTTPS://other HTTP/1.1", b"h", ("/", "", "other"), id="absolute form without a path"),
        pytest.param(b"GET http://other?b=/c HTTP/1.1", b"h", ("/", "b=/c", "other"), id="absolute form, only a query"),
        pytest.param(b"OPTIONS * HTTP/1.1", b"h", ("/*", "", "h"), id="the server as a whole"),
        pytest.param(b"GET //a//b HTTP/1.1", b"h", ("//a//b", "", "h"), id="two slashes are no authority"),
        pytest.param(
            b"GET /%2e%2E/%C3%a4 HTTP/1.1", b"h", ("/%2e%2E/%C3%a4", "", "h"), id="bytes are as they were sent"
        ),
        pytest.param(b"GET / HTTP/1.1", b"[::1]:80", ("/", "", "[::1]:80"), id="IPv6"),
        pytest.param(b"GET / HTTP/1.1", b"a_b.example.", ("/", "", "a_b.example."), id="an underscore, a final dot"),
        pytest.param(b"GET / HTTP/1.1", b"%41.example", ("/", "", "%41.example"), id="an escape"),
        pytest.param(b"GET / HTTP/1.0", b"h", ("/", "", "h"), id="1.0 with Host"),
    ],
)
async def test_targets(front, line: bytes, host: bytes, seen: tuple[str, str, str]):
    got: list[Request] = []

    async def keep(request: Request) -> Response:
        got.append(request)
        return Response(204)

    gateway = await front(keep)
    async with await gateway.connect() as wire:
        await wire.send(line + b"\r\nHost: " + host + b"\r\n\r\n")
        assert (await wire.answer()).status == 204
    (request,) = got
    assert (request.path, request.query, request.host) == seen


async def test_trace_where_it_is_allowed(front):
    gateway = await front(path, limits=EdgeLimits(trace=True, linger=0.05))
    async with await gateway.connect() as wire:
        await wire.send(b"TRACE /a HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await wire.answer()).status == 200


# -- limits ------------------------------------------------------------------------------------------------------


SMALL = EdgeLimits(url=100, header=200, headers=5, head=300, linger=0.05)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"GET /" + b"a" * 99 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 200, id="a target at the limit"),
        pytest.param(b"GET /" + b"a" * 100 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, id="a target beyond it"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200 + b"\r\n\r\n", 200, id="a field at the limit"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 201 + b"\r\n\r\n", 431, id="a field beyond it"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 4 + b"\r\n", 200, id="fields at the limit"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 5 + b"\r\n", 431, id="a field too many"),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: a\r\n" + (b"X: " + b"a" * 90 + b"\r\n") * 4 + b"\r\n", 431, id="all together"
        ),
    ],
)
@pytest.mark.parametrize("step", [11, 10_000])
async def test_limits(front, data: bytes, status: int, step: int):
    gateway = await front(path, limits=SMALL)
    async with await gateway.connect() as wire:
        for at in range(0, len(data), step):
            await wire.send(data[at : at + step])
            await asyncio.sleep(0)
        assert (await wire.answer()).status == status


async def test_a_pipelined_head_is_bounded_while_a_request_is_served(front):
    gate = asyncio.Event()

    async def wait(_request: Request) -> Response:
        await gate.wait()
        return Response(200)

    gateway = await front(wait, limits=SMALL)
    async with await gateway.connect() as wire:
        await wire.send(GET % b"" + b"GET / HTTP/1.1\r\n")
        for _ in range(10):
            await wire.send(b"X: " + b"a" * 90 + b"\r\n")
            await asyncio.sleep(0.001)
        gate.set()
        assert [(await wire.answer()).status for _ in range(2)] == [200, 431]
        assert await wire.rest() == b""


# -- deadlines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n"], ids=["a byte", "a line", "fields"]
)
@pytest.mark.parametrize("served", [False, True], ids=["on a new connection", "on a kept one"])
async def test_a_slow_head_is_answered_with_408(front, data: bytes, served: bool):
    gateway = await front(path, limits=EdgeLimits(head_time=0.1, linger=0.05))
    async with await gateway.connect() as wire:
        if served:
            await wire.send(GET % b"")
            await wire.answer()
        await wire.send(data)
        answer = await wire.answer()
        assert answer.status == 408
        assert answer.one(b"Connection") == b"close"
        assert await wire.rest() == b""


async def test_a_head_that_trickles_is_answered_with_408(front):
    """The deadline is for all of the head: a byte now and then does not put it off."""
    gateway = await front(path, limits=EdgeLimits(head_time=0.15, linger=0.05))
    async with await gateway.connect() as wire:
        await wire.send(b"GET / HTTP/1.1\r\nX: ")
        reading = asyncio.ensure_future(wire.answer())
        while not reading.done():
            wire.writer.write(b"a")
            await asyncio.sleep(0.02)
        assert (await reading).status == 408


async def test_a_silent_connection_is_closed_without_a_word(front):
    gateway = await front(path, limits=EdgeLimits(head_time=0.1))
    async with await gateway.connect() as wire:
        assert await asyncio.wait_for(wire.rest(), 60) == b""
    assert gateway.runtime.exchanges == []


async def test_an_idle_connection_is_closed_without_a_word(front):
    gateway = await front(path, limits=EdgeLimits(keep_alive=0.1))
    async with await gateway.connect() as wire:
        await wire.send(GET % b"")
        await wire.answer()
        assert await asyncio.wait_for(wire.rest(), 60) == b""


async def test_a_slow_body_is_answered_with_408(front):
    gateway = await front(echo, limits=EdgeLimits(body_idle=0.1, linger=0.05))
    async with await gateway.connect() as wire:
        await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
        answer = await wire.answer()
        assert answer.status == 408
        assert await wire.rest() == b""
    assert isinstance(gateway.runtime.exchanges[0].error, RequestTimeout)


async def test_a_body_that_goes_on_is_waited_for(front):
    gateway = await front(echo, limits=EdgeLimits(body_idle=0.3))
    async with await gateway.connect() as wire:
        await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
        for _ in range(10):
            await asyncio.sleep(0.05)
            await wire.send(b"x")
        assert (await wire.answer()).body == b"x" * 10


async def test_a_client_that_does_not_read_is_cut(front):
    async def much(_request: Request) -> Response:
        return Response(200, body=b"x" * (64 << 20))

    gateway = await front(much, limits=EdgeLimits(send_idle=0.2))
    async with await gateway.connect(limit=1024) as wire:
        wire.writer.transport.pause_reading()
        await wire.send(GET % b"")
        exchange = (await gateway.runtime.recorded())[0]
        assert exchange.aborted
        while gateway.edge.connections:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(("rate", "cut"), [(1e12, True), (1e5, False), (0, False)])
async def test_a_client_that_takes_too_little_is_cut(front, monkeypatch, streamed: bool, rate: float, cut: bool):
    """One that takes some, and enough, is not, however long the whole takes."""
    looks = 0
    look = ClientConnection._look_at_sending

    def counted(self: ClientConnection) -> None:
        nonlocal looks
        looks += 1
        look(self)

    class Endless:
        trailers = None

        async def read(self) -> bytes:
            return b"x" * (1 << 20)

        def close(self) -> None:
            pass

    async def much(_request: Request) -> Response:
        return Response(200, body=Body(None, Endless()) if streamed else b"x" * (64 << 20))

    monkeypatch.setattr(ClientConnection, "_look_at_sending", counted)
    gateway = await front(much, limits=EdgeLimits(send_idle=0.2, send_rate=rate))
    async with await gateway.connect(limit=65536) as wire:
        await wire.send(GET % b"")
        while looks < 4 and not gateway.runtime.exchanges:
            if not await wire.reader.read(65536):
                break
            await asyncio.sleep(0.01)
        if cut:
            assert (await gateway.runtime.recorded())[0].aborted
        else:
            assert not gateway.runtime.exchanges or not gateway.runtime.exchanges[0].aborted
            assert gateway.edge.connections
        wire.reset()


async def test_a_small_answer_that_is_not_taken_is_cut_too(front):
    """What fits into our own buffer must not keep a closed connection for ever."""

    async def some(_request: Request) -> Response:
        return Response(200, body=b"x" * 60_000)

    gateway = await front(some, limits=EdgeLimits(send_idle=0.2, keep_alive=0.2))
    async with await gateway.connect(limit=1024) as wire:
        wire.writer.transport.pause_reading()
        for _ in range(200):
            wire.writer.write(GET % b"")
        while gateway.edge.connections:
            await asyncio.sleep(0.01)


# -- Expect ------------------------------------------------------------------------------------------------------

EXPECT = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"


async def test_100_continue_is_sent_when_the_body_is_wanted(front):
    wanted = asyncio.Event()

    async def when_told(request: Request) -> Response:
        await wanted.wait()
        return await echo(request)

    gateway = await front(when_told)
    async with await gateway.connect() as wire:
        await wire.send(EXPECT)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wire.head(), 0.05)
        wanted.set()
        assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await wire.send(b"hello")
        assert (await wire.answer()).body == b"hello"
        await wire.send(CLOSING % b"")
        assert (await wire.answer()).status == 200


@pytest.mark.parametrize("expect", [b"100-continue", b"100-Continue"])
async def test_100_continue_is_not_sent_when_the_body_is_not_wanted(front, expect: bytes):
    gateway = await front(ignore)
    async with await gateway.connect() as wire:
        await wire.send(EXPECT.replace(b"100-continue", expect))
        answer = await wire.answer()
        assert (answer.status, answer.one(b"Connection")) == (200, b"close")
        assert await wire.rest() == b""


async def test_100_continue_is_not_sent_to_who_did_not_wait(front):
    gateway = await front(echo)
    async with await gateway.connect() as wire:
        await wire.send(EXPECT + b"hello")
        assert (await wire.answer()).body == b"hello"


async def test_100_continue_is_not_sent_to_http_1_0(front):
    gateway = await front(echo)
    async with await gateway.connect() as wire:
        await wire.send(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhe")
        while not (gateway.edge.connections and next(iter(gateway.edge.connections))._asked):
            await asyncio.sleep(0)
        await wire.send(b"llo")
        assert (await wire.answer()).body == b"hello"


# -- bodies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1000, 300_000, 3_000_000])
@pytest.mark.parametrize("chunked", [True, False])
async def test_bodies(front, size: int, chunked: bool):
    gateway = await front(echo)
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    async with await gateway.connect() as wire:
        for _ in range(2):
            if chunked:
                wire.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                for at in range(0, size, 70_000):
                    piece = data[at : at + 70_000]
                    wire.writer.write(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece))
                wire.writer.write(b"0\r\nX-Trailer: 1\r\n\r\n")
            else:
                wire.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (size, data))
            assert (await wire.answer()).body == data


async def test_a_small_body_nobody_reads_is_read_away(front):
    gateway = await front(ignore)
    async with await gateway.connect() as wire:
        await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
        assert (await wire.answer()).all(b"Connection") == []
        await wire.send(b"world" + CLOSING % b"")
        assert (await wire.answer()).body == b"ignored"
        assert await wire.rest() == b""
    assert [each.status for each in gateway.runtime.exchanges] == [200, 200]


@pytest.mark.parametrize("kind", [b"Content-Length: 10000000", b"Transfer-Encoding: chunked"])
async def test_a_large_body_nobody_reads_closes_the_connection_after_the_answer(front, kind: bytes):
    """The answer arrives although the client goes on sending: the connection is not reset under it."""
    gateway = await front(ignore, limits=EdgeLimits(linger=1.0))
    async with await gateway.connect() as wire:
        await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + kind + b"\r\n\r\n")
        wire.writer.write(b"2000\r\n" + b"x" * 8192 + b"\r\n" if b"chunked" in kind else b"x" * 3_000_000)
        answer = await wire.answer()
        assert (answer.body, answer.one(b"Connection")) == (b"ignored", b"close")
        assert await wire.rest() == b""


async def test_a_body_that_is_cut_is_the_client_s_leaving(front):
    gateway = await front(echo)
    async with await gateway.connect() as wire:
        await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe")
        while not (gateway.edge.connections and next(iter(gateway.edge.connections))._asked):
            await asyncio.sleep(0)
        wire.reset()
        (exchange,) = await gateway.runtime.recorded()
    assert exchange.status == 499
    assert exchange.aborted
    assert isinstance(exchange.error, ClientClosed)


async def test_an_error_in_a_body_reaches_its_reader(front):
    seen: list[Exception] = []

    async def watch(request: Request) -> Response:
        try:
            return await echo(request)
        except MalformedMessage as error:
            seen.append(error)
            raise

    gateway = await front(watch)
    async with await gateway.connect() as wire:
        await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        while not (gateway.edge.connections and next(iter(gateway.edge.connections))._asked):
            await asyncio.sleep(0)
        await wire.send(b"zz\r\n")
        answer = await wire.answer()
        assert (answer.status, answer.one(b"Connection")) == (400, b"close")
        assert await wire.rest() == b""
    assert len(seen) == 1


async def test_a_broken_body_that_nobody_reads_closes_the_connection(front):
    gate = asyncio.Event()

    async def wait(_request: Request) -> Response:
        await gate.wait()
        return Response(200)

    gateway = await front(wait)
    async with await gateway.connect() as wire:
        await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        while not (gateway.edge.connections and next(iter(gateway.edge.connections))._asked):
            await asyncio.sleep(0)
        await wire.send(b"zz\r\n" + GET % b"smuggled")
        gate.set()
        assert (await wire.answer()).one(b"Connection") == b"close"
        assert await wire.rest() == b""
    assert len(gateway.runtime.exchanges) == 1


async def test_a_stalled_reader_of_a_body_stops_the_client(front):
    """Back-pressure: what a client can send while nobody reads is bounded by the buffers, not by the body."""
    gate = asyncio.Event()

    async def wait(request: Request) -> Response:
        await gate.wait()
        return await echo(request)

    gateway = await front(wait)
    async with await gateway.connect() as wire:
        wire.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (16 << 20))
        wire.writer.write(b"x" * (16 << 20))
        before = -1
        while (left := wire.writer.transport.get_write_buffer_size()) != before:
            before = left
            await asyncio.sleep(0.2)
        assert left > 4 << 20
        gate.set()
        assert len((await wire.answer()).body) == 16 << 20


# -- a client that leaves, and a gateway that leaves -------------------------------------------------------------


async def test_a_client_that_leaves_cancels_its_request(front):
    cancelled = asyncio.Event()

    async def never(_request: Request) -> Response:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    gateway = await front(never)
    async with await gateway.connect() as wire:
        await wire.send(GET % b"")
        while not (gateway.edge.connections and next(iter(gateway.edge.connections))._asked):
            await asyncio.sleep(0)
        wire.reset()
        await asyncio.wait_for(cancelled.wait(), 60)
        (exchange,) = await gateway.runtime.recorded()
    assert (exchange.status, exchange.aborted, exchange.response) == (499, True, None)


async def test_draining_ends_idle_connections_and_lets_busy_ones_finish(front):
    gate = asyncio.Event()

    async def wait(request: Request) -> Response:
        if request.path == "/busy":
            await gate.wait()
        return Response(200)

    gateway = await front(wait)
    async with await gateway.connect() as idle, await gateway.connect() as busy:
        await idle.send(GET % b"")
        assert (await idle.answer()).all(b"Connection") == []
        await busy.send(GET % b"busy")
        while sum(connection._asked for connection in gateway.edge.connections) < 2:
            await asyncio.sleep(0)
        gateway.edge.drain()
        assert await idle.rest() == b""
        gate.set()
        assert (await busy.answer()).one(b"Connection") == b"close"
        assert await busy.rest() == b""


async def test_draining_lets_a_new_connection_ask(front):
    gateway = await front(path)
    async with await gateway.connect() as fresh, await gateway.connect() as silent:
        while len(gateway.edge.connections) < 2:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        gateway.edge.drain()
        await fresh.send(GET % b"a")
        answer = await fresh.answer()
        assert (answer.body, answer.one(b"Connection")) == (b"/a", b"close")
        assert await asyncio.wait_for(silent.rest(), 60) == b""


async def test_a_bug_in_a_handler_cuts_the_connection_and_is_logged(front, caplog):
    async def bug(_request: Request) -> Response:
        raise ZeroDivisionError

    gateway = await front(bug)
    async with await gateway.connect() as wire:
        await wire.send(GET % b"")
        with pytest.raises(ConnectionError):
            if await wire.rest() == b"":
                raise ConnectionError
    assert "unhandled error" in caplog.text
