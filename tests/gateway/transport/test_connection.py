from __future__ import annotations

import asyncio
import contextlib

import pytest

from gateway.errors import (
    ConnectionReused,
    FirstByteTimeout,
    MalformedAnswer,
    StreamIdle,
    TruncatedAnswer,
    UpstreamReset,
)
from gateway.http import Body, Request
from gateway.transport import connection as module
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


@pytest.mark.parametrize(
    ("data", "then", "status", "body"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "stay", 200, b"ok", id="by length"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\n\r\n", "stay", 200, b"ok!",
            id="chunked",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nall of it", "close", 200, b"all of it", id="until the end"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nold", "close", 200, b"old", id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", "stay", 204, b"", id="204 has no body"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "stay", 304, b"", id="304 has no body"),
        pytest.param(
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "stay", 200, b"ok", id="after an interim answer",
        ),
    ],
)  # fmt: skip
async def test_an_answer_is_read_as_it_is_framed(service, pool, timing, data, then, status, body):
    target = await service(answers(data, then=then))
    response = await send(pool(target.url), get(), "/", b"t", timing())
    assert response.status == status
    assert await body_of(response) == body


@pytest.mark.parametrize(
    ("data", "then", "error"),
    [
        pytest.param(b"", "close", UpstreamReset, id="closed without a byte"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", "close", UpstreamReset, id="closed in the head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", "reset", UpstreamReset, id="reset in the head"),
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", "stay", MalformedAnswer, id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "stay", MalformedAnswer, id="a bad length"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "stay", MalformedAnswer,
            id="a coding it may not use",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000, "stay", MalformedAnswer, id="a head without end"),
        pytest.param(
            b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "stay", MalformedAnswer, id="HTTP/2.0"
        ),
        pytest.param(b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok", "stay", MalformedAnswer, id="HTTP/1.2"),
        pytest.param(b"", "stay", FirstByteTimeout, id="silence"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-", "stay", FirstByteTimeout, id="silence in the head"),
    ],
)  # fmt: skip
async def test_what_is_no_answer_is_an_error_and_ends_the_connection(service, pool, timing, data, then, error, until):
    target = await service(answers(data, then=then))
    connections = pool(target.url)
    with pytest.raises(error):
        await send(connections, get(), "/", b"t", timing(head=0.1))
    await until(lambda: connections.total == 0)
    assert connections.idle == 0


@pytest.mark.parametrize(
    ("data", "then", "error"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "close", TruncatedAnswer, id="closed early"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "reset", TruncatedAnswer, id="reset"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "close", TruncatedAnswer,
            id="chunks without an end",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nhalf", "reset", TruncatedAnswer, id="reset where closing is the end"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "stay", StreamIdle, id="it stands still"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n", "stay", MalformedAnswer,
            id="a bad chunk",
        ),
    ],
)  # fmt: skip
async def test_a_cut_body_never_ends_cleanly(service, pool, timing, data, then, error, until):
    target = await service(answers(data, then=then))
    connections = pool(target.url)
    with pytest.raises(error):  # with the head, or when the body is pulled: never a clean end
        await body_of(await send(connections, get(), "/", b"t", timing(idle=0.1)))
    await until(lambda: connections.total == 0)


async def test_a_connection_is_used_again(service, pool, timing):
    target = await service()
    connections = pool(target.url)
    for _ in range(3):
        await send(connections, get(), "/", b"t", timing())
    assert [(seen.connection, seen.number) for seen in target.requests] == [(1, 1), (1, 2), (1, 3)]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_head_answer_that_announces_a_body_does_not_spoil_the_next(service, pool, timing, method):
    async def conduct(seen):
        if seen.line.startswith("HEAD"):
            await seen.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        else:
            await seen.answer(b"hello")

    target = await service(conduct)
    connections = pool(target.url)
    first = await send(connections, get("HEAD"), "/", b"t", timing())
    second = await send(connections, get(method), "/", b"t", timing())
    assert first.body.whole == b""
    assert (b"Content-Length", b"5") in first.fields
    assert second.body.whole == (b"" if method == "HEAD" else b"hello")
    assert connections.opened == 1


async def test_connection_close_is_obeyed(service, pool, timing, until):
    async def conduct(seen):
        await seen.answer(headers="Connection: close\r\n")

    target = await service(conduct)
    connections = pool(target.url)
    await send(connections, get(), "/", b"t", timing())
    assert connections.idle == 0
    await until(lambda: connections.total == 0)


async def test_a_kept_connection_that_the_target_closed_is_not_used(service, pool, timing, until):
    async def conduct(seen):
        await seen.answer()
        seen.close()

    target = await service(conduct)
    connections = pool(target.url)
    for _ in range(3):
        assert (await send(connections, get(), "/", b"t", timing())).status == 200
        await until(lambda: connections.idle == 0)
    assert target.connections == 3


async def test_a_kept_connection_closed_on_the_next_request_is_told_apart(service, pool, timing):
    async def conduct(seen):
        if seen.number == 1:
            await seen.answer()
        else:
            seen.close()

    target = await service(conduct)
    connections = pool(target.url)
    await send(connections, get(), "/", b"t", timing())
    with pytest.raises(ConnectionReused):
        await send(connections, get(), "/", b"t", timing())
    assert (await send(connections, get(), "/", b"t", timing(), fresh=True)).status == 200


async def test_bytes_that_nobody_asked_for_end_the_connection(service, pool, timing, until):
    async def conduct(seen):
        await seen.answer()
        await asyncio.sleep(0.02)
        await seen.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

    target = await service(conduct)
    connections = pool(target.url)
    assert (await send(connections, get(), "/", b"t", timing())).body.whole == b"ok"
    await until(lambda: connections.total == 0)
    assert (await send(connections, get(), "/", b"t", timing())).body.whole == b"ok"


async def test_a_reader_that_gives_up_drops_the_connection(service, pool, timing, until):
    target = await service(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf"))
    connections = pool(target.url)
    response = await send(connections, get(), "/", b"t", timing())
    response.body.close()
    await until(lambda: connections.total == 0)


async def test_a_slow_reader_holds_the_target_back(service, pool, timing, until):
    size, sent = 20_000_000, []

    async def conduct(seen):
        await seen.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // 100_000):
            await seen.send(b"x" * 100_000)
            sent.append(100_000)

    target = await service(conduct)
    response = await send(pool(target.url), get(), "/", b"t", timing())
    await until(lambda: sent)
    before = -1
    while before != len(sent):  # until it moves no more: the sockets are full and nothing is read
        before = len(sent)
        await asyncio.sleep(0.1)
    assert sum(sent) < size
    assert len(await body_of(response)) == size


async def test_trailers_come_after_the_end(service, pool, timing):
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nForwarded: for=x\r\n\r\n"
    target = await service(answers(data))
    response = await send(pool(target.url), get(), "/", b"t", timing())
    assert await body_of(response) == b"ok"
    assert dict(response.body.trailers) == {"X-Sum": "1"}


async def test_interim_answers_are_told(service, pool, timing):
    data = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    )
    target = await service(answers(data))
    told = []
    request = get()
    request.inform = lambda status, fields: told.append((status, list(fields)))
    await send(pool(target.url), request, "/", b"t", timing())
    assert told == [(103, [(b"Link", b"</x>")])]


async def test_a_switch_of_protocols_gives_a_tunnel(service, pool, timing, until):
    async def conduct(seen):
        await seen.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nfirst")
        await seen.send(await seen.reader.readexactly(4))
        seen.close()

    target = await service(conduct)
    request = get()
    request.upgrade = "echo"
    connections = pool(target.url)
    response = await send(connections, request, "/", b"t", timing())
    assert response.status == 101
    assert (b"Upgrade", b"echo") in response.fields
    tunnel = response.tunnel
    assert tunnel is not None
    await tunnel.write(b"ping")
    received = b""
    while chunk := await tunnel.read():
        received += chunk
    assert received == b"firstping"
    assert target.requests[0].header("upgrade") == "echo"
    tunnel.close()
    await until(lambda: connections.total == 0)


@pytest.mark.parametrize("talks", [True, False], ids=["one side talks", "nobody talks"])
async def test_a_tunnel_ends_when_nothing_goes_either_way(service, pool, timing, until, talks):
    async def conduct(seen):
        await seen.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n")
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await seen.reader.readexactly(1000)

    target = await service(conduct)
    request = get()
    request.upgrade = "echo"
    connections = pool(target.url)
    tunnel = (await send(connections, request, "/", b"t", timing(idle=1.0))).tunnel
    reading = asyncio.ensure_future(tunnel.read())
    if talks:
        for _ in range(10):
            await asyncio.sleep(0.15)
            await tunnel.write(b"x")
        assert not reading.done()
    assert await reading == b""
    await until(lambda: connections.total == 0)
    tunnel.close()


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(b"!", id="a stray byte"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", id="a second answer"),
        pytest.param(b"HTTP/1.1 302 Found\r\nLocation: //evil\r\nX: ", id="half a head"),
    ],
)
async def test_bytes_behind_the_end_of_a_streamed_body_spoil_nothing(service, pool, timing, until, extra):
    async def conduct(seen):
        await seen.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await asyncio.sleep(0.02)
        await seen.send(b"ok" + extra)

    target = await service(conduct)
    connections = pool(target.url)
    for _ in range(2):
        response = await send(connections, get(), "/", b"t", timing())
        async with asyncio.timeout(60):  # without an end it would wait for ever
            assert (response.status, await body_of(response)) == (200, b"ok")
        await until(lambda: connections.total == 0)


@pytest.mark.parametrize(
    ("method", "data", "status", "body"),
    [
        pytest.param("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!", 200, b"ok", id="a stray byte"),
        pytest.param(
            "GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            200, b"ok", id="a second answer",
        ),
        pytest.param(
            "GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 302 Found\r\nLocation: //evil\r\nX: ",
            200, b"ok", id="half a second answer",
        ),
        pytest.param(
            "GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nevil", 200, b"ok",
            id="behind the last chunk",
        ),
        pytest.param(
            "GET", b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nokevil", 200, b"ok",
            id="before it closes",
        ),
        pytest.param("GET", b"HTTP/1.1 204 No Content\r\n\r\nevil", 204, b"", id="a body where none can be"),
        pytest.param("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 200, b"", id="a body for HEAD"),
        pytest.param(
            "HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", 200, b"",
            id="chunks for HEAD",
        ),
        pytest.param("HEAD", b"HTTP/1.1 404 No\r\n\r\nevil", 404, b"", id="a body until the end for HEAD"),
    ],
)  # fmt: skip
async def test_an_answer_with_more_behind_it_is_delivered_and_its_connection_ends(
    service, pool, timing, until, method, data, status, body
):
    async def conduct(seen):
        if seen.connection == 1:
            await seen.send(data)
        else:
            await seen.answer(b"next")

    target = await service(conduct)
    connections = pool(target.url)
    first = await send(connections, get(method), "/", b"t", timing())
    assert (first.status, await body_of(first)) == (status, body)
    await until(lambda: connections.total == 0)
    assert connections.overran == 1
    second = await send(connections, get(), "/", b"t", timing())  # never on the same connection
    assert (second.status, await body_of(second)) == (200, b"next")
    assert (target.connections, connections.overran) == (2, 1)


async def test_trailers_without_end_are_given_up(service, pool, timing, until):
    trailers = b"".join(b"X-%d: %b\r\n" % (number, b"y" * 1000) for number in range(1000))
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
    target = await service(answers(head + trailers, then="stay"))
    connections = pool(target.url)
    with pytest.raises(MalformedAnswer):
        await body_of(await send(connections, get(), "/", b"t", timing()))
    await until(lambda: connections.total == 0)


async def test_a_target_that_does_not_read_keeps_no_socket_after_the_end(service, pool, timing, until, monkeypatch):
    monkeypatch.setattr(module, "LEAVING", 0.05)

    async def conduct(seen):
        seen.writer.transport.pause_reading()
        await seen.send(b"HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n")

    class Endless:
        trailers = None

        async def read(self):
            return b"x" * 65536

        def close(self):
            pass

    target = await service(conduct)
    target.reads_body = False
    connections = pool(target.url)
    transports = []
    made = module.Connection.connection_made

    def remember(self, transport):
        transports.append(transport)
        made(self, transport)

    monkeypatch.setattr(module.Connection, "connection_made", remember)
    request = get("POST", body=Body(None, Endless(), None))
    assert (await send(connections, request, "/", b"t", timing())).status == 413
    assert connections.total == 0
    request.finish(None)
    await until(lambda: transports[0].get_extra_info("socket") is None or transports[0].get_write_buffer_size() == 0)
