from __future__ import annotations

import asyncio

import pytest

from gateway.errors import (
    ClientClosed,
    ConnectFailed,
    MalformedAnswer,
    StreamIdle,
)
from gateway.http import Body, Request
from gateway.transport.connection import Connection
from gateway.transport.exchange import send


def get(method="GET", path="/", **more):
    return Request(method, path, host="client.example", **more)


async def body_of(response):
    return (
        response.body.whole if response.body.whole is not None else b"".join([chunk async for chunk in response.body])
    )


def answers(data: bytes, *, then: str = "stay"):
    """A conduct that writes ``data`` and stays, closes or resets."""

    async def conduct(seen):
        await seen.send(data)
        if then == "close":
            seen.close()
        elif then == "reset":
            await asyncio.sleep(0.02)  # the data must be out before the reset discards it
            seen.reset()

    return conduct


async def test_nobody_listens(pool, timing, refused_url):
    with pytest.raises(ConnectFailed):
        await send(pool(refused_url), get(), "/", b"t", timing())


async def test_a_whole_body_is_sent_with_its_length(service, pool, timing):
    target = await service()
    await send(pool(target.url), get("POST", body=Body(b"hello")), "/", b"t", timing())
    assert target.requests[0].body == b"hello"


@pytest.mark.parametrize("length", [10, None], ids=["known", "unknown"])
async def test_a_streamed_body_is_sent_as_it_comes(service, pool, timing, stream, length):
    target = await service()
    body = Body(None, stream(b"hello", b"world"), length)
    response = await send(pool(target.url), get("POST", body=body), "/", b"t", timing())
    assert response.status == 200
    assert target.requests[0].body == (b"helloworld" if length else b"5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n")


async def test_an_upload_that_the_client_breaks_off_breaks_off_at_the_target(service, pool, timing, stream, until):
    target = await service()
    connections = pool(target.url)
    body = Body(None, stream(b"half", error=ClientClosed()), 10)
    with pytest.raises(ClientClosed):
        await send(connections, get("POST", body=body), "/", b"t", timing())
    await until(lambda: connections.total == 0)
    assert target.requests == []


async def test_a_target_that_stops_reading_meets_a_deadline(service, pool, timing, stream):
    async def conduct(seen):
        seen.writer.transport.pause_reading()
        await asyncio.sleep(60)

    target = await service(conduct, reads_body=False)
    body = Body(None, stream(*[b"x" * 1_000_000] * 40), 40_000_000)
    with pytest.raises(StreamIdle):
        await send(pool(target.url), get("PUT", body=body), "/", b"t", timing(idle=0.2))


async def test_an_answer_before_the_body_was_sent_is_passed_on_and_ends_the_connection(
    service, pool, timing, stream, until
):
    async def conduct(seen):
        await seen.answer(b"too big", 413)

    target = await service(conduct, reads_body=False)
    connections = pool(target.url)
    source = stream(b"a", hold=asyncio.Event())
    request = get("POST", body=Body(None, source, 1000))
    response = await send(connections, request, "/", b"t", timing())
    assert response.status == 413
    assert await body_of(response) == b"too big"
    await until(lambda: connections.total == 0)
    request.finish(None)  # the exchange ends: so does what is left of the upload
    await asyncio.sleep(0)


async def test_cancellation_drops_the_connection(service, pool, timing, until):
    async def conduct(seen):
        await asyncio.sleep(60)

    target = await service(conduct)
    connections = pool(target.url)
    task = asyncio.ensure_future(send(connections, get(), "/", b"t", timing()))
    await until(lambda: target.requests)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: connections.total == 0)


async def test_a_head_before_the_end_of_the_upload_leaves_no_deadline_behind(service, pool, timing, stream):
    async def conduct(seen):
        await seen.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await asyncio.sleep(0.4)
        await seen.send(b"2\r\nok\r\n0\r\n\r\n")

    target = await service(conduct, reads_body=False)
    hold = asyncio.Event()
    times = timing(head=0.1)
    response = await send(pool(target.url), get("POST", body=Body(None, stream(b"a", hold=hold), 1)), "/", b"t", times)
    hold.set()
    assert await body_of(response) == b"ok"
    assert times.head is not None
    assert len(times.head) == 0


class Wire(asyncio.Transport):
    """A connection's transport: remembers what was written and whether it was closed."""

    def __init__(self):
        super().__init__()
        self.written = []
        self.closed = False

    def write(self, data):
        self.written.append(data)

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def close(self):
        self.closed = True

    abort = close


class OneConnection:
    """A pool of one connection, into which answers are put by hand."""

    def __init__(self):
        self.buffer = memoryview(bytearray(65536))
        self.ready = []
        self.wire = Wire()
        self.connection = Connection(asyncio.get_running_loop(), self.buffer, self.ready.append, lambda _lost: None)
        self.connection.connection_made(self.wire)
        self.ready.append(self.connection)

    def take(self):
        return self.ready.pop() if self.ready else None

    def feed(self, data):
        self.buffer[: len(data)] = data
        self.connection.buffer_updated(len(data))


PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%b"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n%b\r\n0\r\n\r\n"


@pytest.mark.parametrize("answer", [PLAIN, CHUNKED])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_who_leaves_as_its_answer_comes_does_not_take_the_next_ones_connection(timing, stream, answer, method):
    one = OneConnection()
    body = Body(None, stream(b"x"), 1) if method == "POST" else None
    first = asyncio.ensure_future(send(one, get(method, body=body), "/first", b"t", timing()))
    for _ in range(5):
        await asyncio.sleep(0)
    second = asyncio.ensure_future(send(one, get(), "/second", b"t", timing()))  # runs before the first one wakes up
    one.feed(answer % b"1")
    assert one.ready == [one.connection]
    first.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert first.cancelled()
    assert b"/second" in one.wire.written[-1]
    one.feed(answer % b"2")
    assert (await asyncio.wait_for(second, 60)).body.whole == b"2"
    assert not one.wire.closed


@pytest.mark.parametrize("answer", [PLAIN, CHUNKED])
async def test_no_request_goes_out_behind_one_that_the_target_has_not_read(timing, answer):
    one = OneConnection()
    sending = asyncio.ensure_future(send(one, get("POST", body=Body(b"x" * 100_000)), "/", b"t", timing()))
    await asyncio.sleep(0)
    one.connection.pause_writing()  # as the transport says above its limit
    one.feed(answer % b"1")
    assert (await sending).status == 200
    assert one.ready == []
    assert one.wire.closed
    one.connection.connection_lost(None)


async def test_a_switch_that_nobody_asked_for_is_malformed_and_ends_the_connection(service, pool, timing, until):
    target = await service(answers(b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"))
    connections = pool(target.url)
    with pytest.raises(MalformedAnswer):
        await send(connections, get(), "/", b"t", timing())
    await until(lambda: connections.total == 0)
