"""Answers from real targets on their way to real clients: framing, trailers, interim answers, cuts, back-pressure."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.errors import (
    ClientClosed,
    FirstByteTimeout,
    MalformedAnswer,
    StreamIdle,
    TruncatedAnswer,
    UpstreamReset,
)
from gateway.http import Body, Request, Response
from gateway.server.edge import EdgeLimits

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
MEGABYTE = 1 << 20


def says(*answers: bytes, close: bool = False) -> Any:
    """An origin that gives these answers, one to each request (without a body)."""

    async def play(side):
        for answer in answers:
            await side.request()
            await side.send(answer)
        if close:
            side.close()
        else:
            await side.gone()

    return play


async def exchange(front, origin, answer: bytes, *, request: bytes = GET, close: bool = False, head: bool = False):
    behind = await origin(says(answer, close=close))
    gateway = await front(origin=behind.port)
    async with await gateway.connect() as wire:
        await wire.send(request)
        return await asyncio.wait_for(wire.answer(head=head), 60), gateway


# -- what passes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        pytest.param(OK + b"Content-Length: 5\r\n\r\nhello", b"hello", id="with a length"),
        pytest.param(OK + b"Content-Length: 0\r\n\r\n", b"", id="with a length of 0"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello", id="in chunks"),
        pytest.param(
            OK + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n", b"hello", id="with extensions"
        ),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", id="from HTTP/1.0"),
        pytest.param(b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello", b"hello", id="an error of its own"),
        pytest.param(b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", b"hello", id="without a reason"),
    ],
)
async def test_bodies(front, origin, answer: bytes, body: bytes):
    got, gateway = await exchange(front, origin, answer)
    assert got.body == body
    assert len(got.all(b"Content-Length") + got.all(b"Transfer-Encoding")) == 1
    (record,) = await gateway.runtime.recorded()
    assert (record.status, record.sent_bytes, record.aborted) == (got.status, len(body), False)


@pytest.mark.parametrize("answer", [OK + b"\r\nhello", b"HTTP/1.0 200 OK\r\n\r\nhello"], ids=["1.1", "1.0"])
async def test_a_body_that_ends_with_the_connection(front, origin, answer: bytes):
    got, _ = await exchange(front, origin, answer, close=True)
    assert got.body == b"hello"
    assert got.all(b"Transfer-Encoding") == [b"chunked"]


@pytest.mark.parametrize(
    ("method", "answer", "fields"),
    [
        pytest.param(b"HEAD", OK + b"Content-Length: 5\r\n\r\n", [b"5"], id="HEAD with a length"),
        pytest.param(b"HEAD", OK + b"Transfer-Encoding: chunked\r\n\r\n", [], id="HEAD with chunks"),
        pytest.param(b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", [], id="204"),
        pytest.param(b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", [b"5"], id="304 with a length"),
        pytest.param(b"GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", [], id="304 without one"),
    ],
)
async def test_answers_without_a_body_leave_both_connections_usable(front, origin, method, answer, fields):
    behind = await origin(says(answer, OK + b"Content-Length: 2\r\n\r\nok"))
    gateway = await front(origin=behind.port)
    async with await gateway.connect() as wire:
        await wire.send(GET.replace(b"GET", method))
        first = await wire.answer(head=True)
        assert first.all(b"Content-Length") == fields
        assert first.all(b"Transfer-Encoding") == []
        await wire.send(GET)
        assert (await wire.answer()).body == b"ok"
    assert behind.connections == 1


async def test_repeated_fields_and_their_order(front, origin):
    fields = b"Set-Cookie: a=1\r\nX-b: 1\r\nSet-Cookie: b=2\r\nx-B: 2\r\nsEt-cOOkie: c=3\r\nServer: o\r\nDate: then\r\n"
    got, _ = await exchange(front, origin, OK + fields + b"Content-Length: 0\r\n\r\n")
    raw = b"".join(
        b"%b: %b\r\n" % pair for pair in got.fields if pair[0].lower() not in (b"x-request-id", b"content-length")
    )
    assert raw == fields or sorted(raw.split(b"\r\n")) == sorted(fields.split(b"\r\n"))
    cookies = [value for name, value in got.fields if name.lower() == b"set-cookie"]
    assert cookies == [b"a=1", b"b=2", b"c=3"]
    assert [value for name, value in got.fields if name.lower() == b"x-b"] == [b"1", b"2"]


async def test_values_of_any_bytes_pass(front, origin):
    got, _ = await exchange(front, origin, OK + b"X: \xff\xfe\xc3\xa4\tz\r\nContent-Length: 0\r\n\r\n")
    assert got.one(b"X") == b"\xff\xfe\xc3\xa4\tz"


async def test_what_is_about_one_connection_stays_there(front, origin):
    heard: list[Any] = []

    async def play(side):
        heard.append(await side.request())
        await side.send(
            OK + b"Connection: X-Mine, keep-alive\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nX-Yours: 2\r\n"
            b"Proxy-Connection: close\r\nContent-Length: 0\r\n\r\n"
        )
        await side.gone()

    gateway = await front(origin=(await origin(play)).port)
    async with await gateway.connect() as wire:
        await wire.send(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Secret\r\nX-Secret: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\n"
            b"Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nX-Kept: 2\r\n\r\n"
        )
        got = await wire.answer()
    names = {name.lower() for name, _ in got.fields}
    assert names == {b"x-yours", b"content-length", b"x-request-id", b"date"}
    names = {name.lower() for name, _ in heard[0].fields}
    assert names == {
        b"host", b"x-kept", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"via", b"x-request-id",
        b"traceparent",
    }  # fmt: skip


async def test_one_request_id(front, origin):
    got, _ = await exchange(front, origin, OK + b"X-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n")
    assert got.one(b"X-Request-Id") != b"theirs"


@pytest.mark.parametrize("together", [True, False])
async def test_trailers_of_answers_pass(front, origin, together: bool):
    head = OK + b"Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def play(side):
        await side.request()
        body = b"5\r\nhello\r\n0\r\nX-Sum: 42\r\nX-Sum: 43\r\nHost: evil\r\n\r\n"
        for piece in [head + body] if together else [head, body]:
            await side.send(piece)
            await asyncio.sleep(0.01)
        await side.gone()

    gateway = await front(origin=(await origin(play)).port)
    async with await gateway.connect() as wire:
        await wire.send(GET)
        got = await wire.answer()
    assert got.body == b"hello"
    assert got.all(b"X-Sum") == [b"42", b"43"]
    assert got.all(b"Host") == []
    assert got.one(b"Trailer") == b"X-Sum"


async def test_interim_answers(front, origin):
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\n\r\n"
    behind = await origin(says(hints * 2 + OK + b"Content-Length: 2\r\n\r\nok"))
    gateway = await front(origin=behind.port)
    async with await gateway.connect() as wire:
        await wire.send(GET)
        for _ in range(2):
            early = await wire.head()
            assert (early.status, early.fields) == (103, [(b"Link", b"</a>")])
        assert (await wire.answer()).body == b"ok"


async def test_interim_answers_are_not_for_http_1_0(front, origin):
    got, _ = await exchange(
        front,
        origin,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok",
        request=b"GET / HTTP/1.0\r\n\r\n",
    )
    assert got.status == 200


# -- what a target does wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"hello\r\n\r\n", id="not HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00", id="TLS"),
        pytest.param(b"HTTP/1.1 20 OK\r\n\r\n", id="a status of two digits"),
        pytest.param(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", id="two lengths"),
        pytest.param(
            OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="a length and chunks"
        ),
        pytest.param(OK + b"Content-Length: -5\r\n\r\n", id="a negative length"),
        pytest.param(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="another coding"),
        pytest.param(OK + b"X: 1\r\n folded\r\nContent-Length: 0\r\n\r\n", id="a folded field"),
        pytest.param(OK + b"X\0: 1\r\n\r\n", id="a control byte in a name"),
        pytest.param(OK + b"X: \x01\r\nContent-Length: 0\r\n\r\n", id="a control byte in a value"),
        pytest.param(OK + b"X: 1\nY: 2\r\n\r\n", id="a bare LF"),
        pytest.param(OK + b"X: " + b"a" * 400_000, id="a head without an end"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20_000, id="interim answers without an end"),
        pytest.param(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", id="101 nobody asked for"),
        pytest.param(b"HTTP/1.1 101 Switching\r\n\r\n", id="101 without Upgrade"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", id="a bad chunk right behind the head"),
    ],
)
async def test_a_malformed_answer_is_a_502(front, origin, answer: bytes):
    async def play(side):
        await side.request()
        await side.send(answer)
        await side.gone()

    gateway = await front(origin=(await origin(play)).port, limits=EdgeLimits(linger=0.05))
    async with await gateway.connect() as wire:
        await wire.send(GET)
        while (got := await asyncio.wait_for(wire.answer(), 60)).status == 103:
            pass
    assert got.status == 502
    assert b"malformed" in got.body
    (record,) = await gateway.runtime.recorded()
    assert isinstance(record.error, MalformedAnswer)
    assert gateway.pool.idle == 0


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200", OK + b"X: 1\r\n"], ids=["nothing", "half a line", "half a head"]
)
async def test_a_head_that_is_cut_is_a_502(front, origin, sent: bytes):
    async def play(side):
        await side.request()
        await side.send(sent)
        side.close()

    gateway = await front(origin=(await origin(play)).port)
    async with await gateway.connect() as wire:
        await wire.send(GET)
        assert (await wire.answer()).status == 502
        (record,) = await gateway.runtime.recorded()
    assert isinstance(record.error, UpstreamReset)


@pytest.mark.parametrize(
    ("head", "more"),
    [
        pytest.param(b"Content-Length: 100\r\n\r\nhello", b"", id="fewer bytes than the length"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"", id="no last chunk"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"9\r\nhe", id="half a chunk"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"0\r\nX: 1\r\n", id="half the trailers"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"zz\r\n", id="no chunk at all"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"5\r\nhello!", id="a chunk too long"),
    ],
)
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_a_cut_body_never_ends_cleanly(front, origin, head: bytes, more: bytes, version: bytes):
    proceed = asyncio.Event()

    async def play(side):
        await side.request()
        await side.send(OK + head)
        await proceed.wait()
        await side.send(more)
        side.close()

    gateway = await front(origin=(await origin(play)).port)
    async with await gateway.connect() as wire:
        await wire.send(GET.replace(b"1.1", version))
        assert (await wire.head()).status == 200
        await wire.reader.readuntil(b"hello")
        proceed.set()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(wire.rest(), 60)
        (record,) = await gateway.runtime.recorded()
    assert record.aborted
    assert record.status == 200
    assert isinstance(record.error, TruncatedAnswer | MalformedAnswer)


async def test_a_target_reset_in_a_body_that_ends_with_the_connection(front, origin):
    proceed = asyncio.Event()

    async def play(side):
        await side.request()
        await side.send(OK + b"\r\nhello")
        await proceed.wait()
        import socket
        import struct

        sock = side.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        side.writer.transport.abort()

    gateway = await front(origin=(await origin(play)).port)
    async with await gateway.connect() as wire:
        await wire.send(GET)
        await wire.reader.readuntil(b"hello")
        proceed.set()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(wire.rest(), 60)


async def test_more_than_announced_ends_with_the_announced(front, origin):
    """What is too much belongs to no answer; the connection to the target is dropped with it."""
    got, gateway = await exchange(front, origin, OK + b"Content-Length: 5\r\n\r\nhello" + OK + b"\r\nsmuggled")
    assert got.body == b"hello" or got.status == 502
    assert gateway.pool.idle == 0


async def test_a_silent_target_is_a_504(front, origin):
    async def play(side):
        await side.gone()

    gateway = await front(origin=(await origin(play)).port, first_byte=0.1)
    async with await gateway.connect() as wire:
        await wire.send(GET)
        assert (await wire.answer()).status == 504
        (record,) = await gateway.runtime.recorded()
    assert isinstance(record.error, FirstByteTimeout)


async def test_a_body_that_stands_still_is_cut(front, origin):
    async def play(side):
        await side.request()
        await side.send(OK + b"Content-Length: 100\r\n\r\nhello")
        await side.gone()

    gateway = await front(origin=(await origin(play)).port, idle=0.1)
    async with await gateway.connect() as wire:
        await wire.send(GET)
        await wire.head()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await wire.reader.readexactly(100)
        (record,) = await gateway.runtime.recorded()
    assert isinstance(record.error, StreamIdle)


# -- what a plugin does wrong --------------------------------------------------------------------------------------


class Chunks:
    trailers = None

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)
        self.closed = False

    async def read(self) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("chunks", [(b"abc",), (b"abc", b"defghijklm"), ()], ids=["too few", "too many", "none"])
async def test_a_wrong_length_never_ends_cleanly(front, chunks: tuple[bytes, ...]):
    source = Chunks(*chunks)

    async def lie(_request: Request) -> Response:
        return Response(200, body=Body(None, source, 10))

    gateway = await front(lie)
    async with await gateway.connect() as wire:
        await wire.send(GET)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await wire.answer()
        (record,) = await gateway.runtime.recorded()
    assert record.aborted
    assert source.closed


async def test_a_bug_in_a_filter_never_ends_cleanly(front, caplog):
    class Bug:
        def feed(self, chunk: bytes) -> bytes:
            raise ZeroDivisionError

        def finish(self) -> bytes:
            return b""

    async def buggy(_request: Request) -> Response:
        response = Response(200, body=Body(None, Chunks(b"abc")))
        response.body.filter(Bug())
        return response

    gateway = await front(buggy)
    async with await gateway.connect() as wire:
        await wire.send(GET)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await wire.answer()
        (record,) = await gateway.runtime.recorded()
    assert record.aborted
    assert "unhandled error in the body" in caplog.text


async def test_a_field_that_cannot_be_sent_is_a_500(front):
    async def split(_request: Request) -> Response:
        return Response(200, headers={"X": "a\r\nSet-Cookie: b"}, body=b"abc")

    gateway = await front(split)
    async with await gateway.connect() as wire:
        await wire.send(GET)
        got = await wire.answer()
    assert got.status == 500
    assert got.all(b"Set-Cookie") == []


# -- uploads -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [True, False])
async def test_an_upload_streams(front, origin, chunked: bool):
    """The target has the first bytes before the client has sent the last."""
    arrived = asyncio.Event()
    bodies: list[bytes] = []

    async def play(side):
        heard = await side.request()
        assert bool(heard.all(b"Transfer-Encoding")) is chunked
        expected = b"5\r\nhello\r\n" if chunked else b"hello"
        assert await side.reader.readexactly(len(expected)) == expected
        arrived.set()
        bodies.append(await (side.reader.readuntil(b"0\r\n\r\n") if chunked else side.reader.readexactly(5)))
        await side.send(OK + b"Content-Length: 2\r\n\r\nok")
        await side.gone()

    gateway = await front(origin=(await origin(play)).port)
    async with await gateway.connect() as wire:
        if chunked:
            await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        else:
            await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
        await asyncio.wait_for(arrived.wait(), 60)
        await wire.send(b"5\r\nworld\r\n0\r\nX-Trailer: dropped\r\n\r\n" if chunked else b"world")
        assert (await wire.answer()).body == b"ok"
    assert bodies == [b"5\r\nworld\r\n0\r\n\r\n" if chunked else b"world"]


async def test_an_early_answer_ends_the_upload(front, origin):
    async def play(side):
        await side.request()
        await side.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        await side.gone()

    gateway = await front(origin=(await origin(play)).port, limits=EdgeLimits(linger=1.0))
    async with await gateway.connect() as wire:
        wire.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (10 * MEGABYTE))
        wire.writer.write(b"x" * 3 * MEGABYTE)
        got = await asyncio.wait_for(wire.answer(), 60)
        assert (got.status, got.body, got.one(b"Connection")) == (403, b"no", b"close")
        assert await wire.rest() == b""
    assert gateway.pool.idle == 0


async def test_an_answer_while_the_upload_goes_on(front, origin):
    """Both directions stream at once."""

    async def play(side):
        await side.request()
        await side.send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            piece = await side.reader.readexactly(6)
            await side.send(b"6\r\n" + piece + b"\r\n")
        await side.send(b"0\r\n\r\n")
        await side.gone()

    gateway = await front(origin=(await origin(play)).port)
    async with await gateway.connect() as wire:
        await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18\r\n\r\n")
        assert (await asyncio.wait_for(wire.head(), 60)).status == 200
        for piece in (b"first.", b"second", b"third."):
            await wire.send(piece)
            assert await wire.reader.readexactly(11) == b"6\r\n" + piece + b"\r\n"
        assert await wire.reader.readexactly(5) == b"0\r\n\r\n"
        await wire.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))


async def test_a_target_that_closes_in_an_upload_is_a_502(front, origin):
    async def play(side):
        await side.request()
        await side.reader.readexactly(1)
        side.writer.transport.abort()

    gateway = await front(origin=(await origin(play)).port, limits=EdgeLimits(linger=1.0))
    async with await gateway.connect() as wire:
        wire.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (10 * MEGABYTE))
        wire.writer.write(b"x" * MEGABYTE)
        assert (await asyncio.wait_for(wire.answer(), 60)).status == 502
        (record,) = await gateway.runtime.recorded()
    assert isinstance(record.error, UpstreamReset)


async def test_a_client_that_breaks_its_upload_is_at_fault(front, origin):
    gone = asyncio.Event()

    async def play(side):
        await side.request()
        await side.gone()
        gone.set()

    gateway = await front(origin=(await origin(play)).port)
    async with await gateway.connect() as wire:
        await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await asyncio.sleep(0.05)
        await wire.send(b"zz\r\n")
        assert (await wire.answer()).status == 400
        await asyncio.wait_for(gone.wait(), 60)
        assert await wire.rest() == b""


@pytest.mark.parametrize("when", ["before the answer", "in the upload", "in the answer"])
async def test_a_client_that_leaves_ends_the_exchange_with_the_target(front, origin, when: str):
    asked, gone = asyncio.Event(), asyncio.Event()

    async def play(side):
        await side.request()
        if when == "in the answer":
            await side.send(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        asked.set()
        await side.gone()
        gone.set()

    gateway = await front(origin=(await origin(play)).port)
    async with await gateway.connect() as wire:
        if when == "in the upload":
            await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello")
        else:
            await wire.send(GET)
        await asyncio.wait_for(asked.wait(), 60)
        if when == "in the answer":
            await wire.reader.readuntil(b"hello")
        wire.reset()
        await asyncio.wait_for(gone.wait(), 60)
        (record,) = await gateway.runtime.recorded()
    assert record.aborted
    assert isinstance(record.error, ClientClosed)
    assert record.status == (200 if when == "in the answer" else 499)
    assert gateway.pool.total == 0


# -- back-pressure -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", [b"Content-Length: %d\r\n" % (32 * MEGABYTE), b"Transfer-Encoding: chunked\r\n"])
async def test_a_stalled_reader_stops_the_target(front, origin, framing: bytes):
    """Counted at the origin: what it could send is what the buffers on the way hold, not the body."""
    sent = 0
    stalled = asyncio.Event()
    piece = b"x" * 65536
    wire_piece = b"10000\r\n" + piece + b"\r\n" if b"chunked" in framing else piece

    async def play(side):
        nonlocal sent
        await side.request()
        await side.send(OK + framing + b"\r\n")
        for _ in range(32 * 16):
            side.writer.write(wire_piece)
            try:
                await asyncio.wait_for(side.writer.drain(), 0.5)
            except TimeoutError:
                stalled.set()
                await side.writer.drain()
            sent += len(piece)
        if b"chunked" in framing:
            await side.send(b"0\r\n\r\n")
        await side.gone()

    gateway = await front(origin=(await origin(play)).port)
    async with await gateway.connect(limit=65536) as wire:
        wire.writer.transport.pause_reading()
        await wire.send(GET)
        await asyncio.wait_for(stalled.wait(), 20)
        in_flight = sent
        wire.writer.transport.resume_reading()
        assert len((await wire.answer()).body) == 32 * MEGABYTE
    # The kernel's socket buffers (two hops, some megabytes each) and a few hundred kilobytes of ours.
    assert in_flight < 16 * MEGABYTE


async def test_a_stalled_target_stops_the_client(front, origin):
    proceed = asyncio.Event()
    size = 32 * MEGABYTE

    async def play(side):
        await side.request()
        await proceed.wait()
        left = size
        while left:
            left -= len(await side.reader.read(1 << 20))
        await side.send(OK + b"Content-Length: 2\r\n\r\nok")
        await side.gone()

    gateway = await front(origin=(await origin(play)).port)
    async with await gateway.connect() as wire:
        wire.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        before = -1
        while (left := wire.writer.transport.get_write_buffer_size()) != before:
            before = left
            await asyncio.sleep(0.3)
        assert left > 16 * MEGABYTE
        proceed.set()
        assert (await asyncio.wait_for(wire.answer(), 20)).body == b"ok"


async def test_ten_megabytes_both_ways(front, origin):
    data = bytes(range(256)) * (10 * MEGABYTE // 256)

    async def play(side):
        await side.request()
        assert await side.reader.readexactly(len(data)) == data
        await side.send(OK + b"Content-Length: %d\r\n\r\n" % len(data) + data)
        await side.gone()

    gateway = await front(origin=(await origin(play)).port)
    async with await gateway.connect() as wire:
        wire.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        assert (await wire.answer()).body == data
        (record,) = await gateway.runtime.recorded()
    assert (record.received_bytes, record.sent_bytes) == (len(data), len(data))
