"""Listeners: sockets are bound, shared, paused, replaced and removed as they should be."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.config.address import parse_bind
from gateway.config.listener import Listener
from gateway.http import Request, Response
from gateway.server.connection import ClientConnection
from gateway.server.edge import Edge, EdgeLimits
from gateway.server.listener import OpenListener, bind, open_listener
from gateway.services.clock import Wheel

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSING = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

Open = Callable[..., Awaitable[OpenListener]]


async def told(request: Request) -> Response:
    return Response(200, body=f"{request.client_ip} {request.scheme}".encode())


@pytest.fixture
async def listen(stub_runtime) -> AsyncIterator[Open]:
    """``await listen(bind, limits=…)`` opens a listener; it and its connections are closed after the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            where: str = "127.0.0.1:0", *, limits: EdgeLimits | None = None, sock: Any = None, **options: Any
        ) -> OpenListener:
            wheel = Wheel()
            edge = Edge(stub_runtime(told), limits or EdgeLimits(linger=0.05), wheel)
            opened = await open_listener(Listener(bind=where, **options), edge, sock=sock)

            async def end() -> None:
                await opened.close()
                for connection in list(edge.connections):
                    connection.abort()
                async with asyncio.timeout(60):
                    while edge.connections:
                        await asyncio.sleep(0.001)
                wheel.close()

            stack.push_async_callback(end)
            return opened

        yield start


async def ask(port_or_path: int | str, host: str = "127.0.0.1") -> bytes:
    if isinstance(port_or_path, str):
        reader, writer = await asyncio.open_unix_connection(port_or_path)
    else:
        reader, writer = await asyncio.open_connection(host, port_or_path)
    writer.write(CLOSING)
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    return answer.partition(b"\r\n\r\n")[2]


async def test_tcp(listen):
    opened = await listen()
    assert opened.port > 0
    assert opened.name == f"127.0.0.1:{opened.port}"
    assert await ask(opened.port) == b"127.0.0.1 http"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_no_host_takes_both_families(listen, host: str):
    opened = await listen(":0")
    assert await ask(opened.port, host) == f"{host} http".encode()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
async def test_ipv6_all_leaves_ipv4_alone(listen):
    six = await listen("[::]:0")
    four = await listen(f"0.0.0.0:{six.port}")
    assert four.port == six.port


async def test_a_taken_port_is_an_error(listen):
    opened = await listen()
    with pytest.raises(OSError, match="in use"):
        await listen(opened.name)


async def test_two_may_share_a_port(listen):
    first = bind(parse_bind("127.0.0.1:0"), reuse_port=True)
    second = bind(parse_bind(f"127.0.0.1:{first.getsockname()[1]}"), reuse_port=True)
    with first, second:
        one, two = await listen(sock=first), await listen(sock=second)
        assert one.port == two.port
        assert await ask(one.port) == b"127.0.0.1 http"


async def test_a_given_socket_stays_open(listen):
    with bind(parse_bind("127.0.0.1:0")) as given:
        opened = await listen(sock=given)
        assert await ask(opened.port) == b"127.0.0.1 http"
        await opened.close()
        assert given.fileno() >= 0
        again = await listen(sock=given)
        assert await ask(again.port) == b"127.0.0.1 http"


async def test_closing_refuses_new_connections_and_ends_the_old(listen):
    opened = await listen()
    reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
    writer.write(GET)
    await reader.readuntil(b"\r\n\r\n127.0.0.1 http")
    opened.stop_accepting()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", opened.port)
    writer.write(CLOSING)
    assert (await reader.read()).endswith(b"127.0.0.1 http")
    writer.close()


async def test_what_waits_in_the_queue_is_accepted_before_closing(listen):
    opened = await listen()
    waiting = []
    for _ in range(20):  # no await in between: the server cannot accept them
        client = socket.socket()
        client.connect(("127.0.0.1", opened.port))
        client.sendall(CLOSING)
        client.setblocking(False)
        waiting.append(client)
    opened.stop_accepting()
    opened.edge.drain()
    for client in waiting:
        reader, writer = await asyncio.open_connection(sock=client)
        assert (await asyncio.wait_for(reader.read(), 60)).endswith(b"127.0.0.1 http")
        writer.close()


async def test_beyond_the_limit_connections_wait_in_the_queue(listen):
    opened = await listen(limits=EdgeLimits(connections=2, linger=0.05))
    first = [await asyncio.open_connection("127.0.0.1", opened.port) for _ in range(2)]
    for reader, writer in first:
        writer.write(GET)
        await reader.readuntil(b"127.0.0.1 http")
    reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
    writer.write(CLOSING)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.readexactly(1), 0.1)
    assert len(opened.edge.connections) == 2
    first[0][1].close()
    assert (await asyncio.wait_for(reader.read(), 60)).endswith(b"127.0.0.1 http")
    writer.close()
    first[1][1].close()
    assert await ask(opened.port) == b"127.0.0.1 http"
    assert opened.edge.refused_connections == 0


async def test_unix(listen, tmp_path: Path):
    path = tmp_path / "gateway.sock"
    opened = await listen(f"unix:{path}", permissions="0600")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert opened.name == f"unix:{path}"
    assert opened.port == 0
    assert await ask(str(path)) == b" http"
    await opened.close()
    assert not path.exists()


async def test_a_stale_unix_socket_is_replaced(listen, tmp_path: Path):
    path = tmp_path / "gateway.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    await listen(f"unix:{path}")
    assert await ask(str(path)) == b" http"


async def test_a_live_unix_socket_is_left_alone(listen, tmp_path: Path):
    path = tmp_path / "gateway.sock"
    await listen(f"unix:{path}")
    with pytest.raises(OSError, match="somebody listens"):
        await listen(f"unix:{path}")
    assert await ask(str(path)) == b" http"


async def test_a_file_in_the_place_of_a_unix_socket_is_left_alone(listen, tmp_path: Path):
    path = tmp_path / "gateway.sock"
    path.write_text("precious")
    with pytest.raises(OSError, match="not a socket"):
        await listen(f"unix:{path}")
    assert path.read_text() == "precious"


async def test_another_s_unix_socket_is_not_removed(listen, tmp_path: Path):
    path = tmp_path / "gateway.sock"
    opened = await listen(f"unix:{path}")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        await opened.close()
        assert path.exists()


async def test_a_paused_unix_socket_keeps_its_file(listen, tmp_path: Path):
    path = tmp_path / "gateway.sock"
    opened = await listen(f"unix:{path}", limits=EdgeLimits(connections=1))
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(GET)
    await reader.readuntil(b" http")
    assert opened.edge.full
    assert path.exists()
    writer.close()
    assert await ask(str(path)) == b" http"


async def test_closing_twice(listen):
    opened = await listen()
    await opened.close()
    await opened.close()
    opened.stop_accepting()


def test_descriptors_are_not_inherited():
    with bind(parse_bind("127.0.0.1:0")) as made:
        assert not os.get_inheritable(made.fileno())


def test_a_connection_is_of_our_kind():
    assert issubclass(ClientConnection, asyncio.Protocol)
