"""A server without a runtime: real sockets, the real connection and transport, and a handler that the test gives.

``front`` starts the gateway's server around a handler or in front of an origin; ``origin`` is a TCP server whose every
connection is played by the test. Both run on uvloop, which is what serves in production.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self

import pytest
import uvloop

from gateway.errors import GatewayError
from gateway.http import Exchange, Request, Response
from gateway.http.problem import Problems
from gateway.server.connection import EdgeServer
from gateway.server.edge import Edge, EdgeLimits
from gateway.services.clock import Wheel
from gateway.transport.endpoint import Endpoint
from gateway.transport.exchange import Timing, send
from gateway.transport.pool import Pool, PoolLimits

Handle = Callable[[Request], Awaitable[Response]]

QUICK = EdgeLimits(linger=0.05)


def pytest_asyncio_loop_factories(config: Any, item: Any) -> dict[str, Any]:
    return {"uvloop": uvloop.new_event_loop}


class StubRuntime:
    """What the server asks of a runtime, and a list of the exchanges it was told of."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._render = Problems()
        self.exchanges: list[Exchange] = []
        self._recorded = asyncio.Event()

    async def handle(self, request: Request) -> Response:
        try:
            return await self._handle(request)
        except GatewayError as error:
            return self._render(error, request)

    def refuse(self, error: GatewayError, request: Request) -> Response:
        return self._render(error, request)

    def record(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        self._recorded.set()

    async def recorded(self, count: int = 1) -> list[Exchange]:
        while len(self.exchanges) < count:
            self._recorded.clear()
            await self._recorded.wait()
        return self.exchanges


class Front:
    """A running server: its port, its edge, what it recorded."""

    def __init__(self, port: int, edge: Edge, runtime: StubRuntime, pool: Pool | None) -> None:
        self.port = port
        self.edge = edge
        self.runtime = runtime
        self.pool = pool

    async def connect(self, **options: Any) -> Wire:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **options)
        return Wire(reader, writer)

    async def talk(self, data: bytes) -> bytes:
        """Send ``data`` and return everything up to the end of the connection."""
        async with await self.connect() as wire:
            await wire.send(data)
            return await asyncio.wait_for(wire.rest(), 60)


@dataclasses.dataclass
class Answer:
    line: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""

    @property
    def status(self) -> int:
        return int(self.line.split(b" ")[1])

    def all(self, name: bytes) -> list[bytes]:
        return [value for given, value in self.fields if given.lower() == name.lower()]

    def one(self, name: bytes) -> bytes:
        (value,) = self.all(name)
        return value


class Wire:
    """A client's end of a connection, in bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def rest(self) -> bytes:
        """All that comes before the connection is closed. Raises ConnectionError if it was reset."""
        return await self.reader.read()

    async def head(self) -> Answer:
        raw = await self.reader.readuntil(b"\r\n\r\n")
        line, *lines = raw[:-4].split(b"\r\n")
        return Answer(line, [tuple(each.split(b": ", 1)) for each in lines])  # type: ignore[misc]

    async def answer(self, *, head: bool = False) -> Answer:
        """An answer with its body, decoded."""
        found = await self.head()
        if head or found.status in (101, 204, 304) or found.status < 200:
            return found
        if found.all(b"Transfer-Encoding"):
            chunks = []
            while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
                chunks.append((await self.reader.readexactly(size + 2))[:-2])
            found.body = b"".join(chunks)
            while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
                found.fields.append(tuple(line[:-2].split(b": ", 1)))  # type: ignore[arg-type]
        elif length := found.all(b"Content-Length"):
            found.body = await self.reader.readexactly(int(length[0]))
        else:
            found.body = await self.reader.read()
        return found

    def reset(self) -> None:
        """Go away without a word."""
        reset(self.writer)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def hello(request: Request) -> Response:
    """The handler of tests that do not look at the answer."""
    del request
    return Response(200, headers={"Content-Type": "text/plain"}, body=b"hello")


@pytest.fixture
async def front() -> AsyncIterator[Callable[..., Awaitable[Front]]]:
    """``await front(handle)`` serves a handler; ``await front(origin=port)`` passes on to an origin."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            handle: Handle = hello,
            *,
            origin: int | None = None,
            limits: EdgeLimits = QUICK,
            trusted: tuple[str, ...] = (),
            preface: Any = None,
            first_byte: float = 15.0,
            idle: float = 300.0,
        ) -> Front:
            wheel = Wheel()
            pool = None
            if origin is not None:
                pool = Pool(Endpoint(f"http://127.0.0.1:{origin}"), PoolLimits(), memoryview(bytearray(65536)))
                stack.callback(pool.close)
                timing = Timing(wheel.of(first_byte), wheel.of(idle))
                handle = forward(pool, timing)
            runtime = StubRuntime(handle)
            networks = [ipaddress.ip_network(each) for each in trusted]
            edge = Edge(runtime, limits, wheel, networks)
            server = await edge.loop.create_server(EdgeServer(edge, preface), "127.0.0.1", 0)
            stack.push_async_callback(stop, server, edge, wheel)
            return Front(server.sockets[0].getsockname()[1], edge, runtime, pool)

        yield start


def forward(pool: Pool, timing: Timing) -> Handle:
    async def handle(request: Request) -> Response:
        target = f"{request.path}?{request.query}" if request.query else request.path
        return await send(pool, request, target, b"", timing)

    return handle


async def stop(server: Any, edge: Edge, wheel: Wheel) -> None:
    server.close()
    for connection in list(edge.connections):
        connection.abort()
    async with asyncio.timeout(60):
        while edge.connections:
            await asyncio.sleep(0.001)
    wheel.close()


class Heard:
    """A request as an origin got it."""

    def __init__(self, head: bytes) -> None:
        self.line, *lines = head[:-4].split(b"\r\n")
        self.fields = [tuple(each.split(b": ", 1)) for each in lines]

    def all(self, name: bytes) -> list[bytes]:
        return [value for given, value in self.fields if given.lower() == name.lower()]

    def one(self, name: bytes) -> bytes:
        (value,) = self.all(name)
        return value


class OriginSide:
    """One connection as the origin sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> Heard:
        return Heard(await self.reader.readuntil(b"\r\n\r\n"))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        reset(self.writer)

    async def gone(self) -> None:
        """Wait until the gateway has closed or reset the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


Play = Callable[[OriginSide], Awaitable[None]]


@dataclasses.dataclass
class Origin:
    port: int
    connections: int = 0


@pytest.fixture
async def origin() -> AsyncIterator[Callable[[Play], Awaitable[Origin]]]:
    """``await origin(play)``: ``play`` is called with every connection; its errors fail the test."""
    failures: list[BaseException] = []
    tasks: set[asyncio.Task[None]] = set()
    servers = []

    async def start(play: Play) -> Origin:
        found = Origin(0)

        async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.connections += 1
            try:
                await play(OriginSide(reader, writer))
            except asyncio.CancelledError:
                pass
            except (ConnectionError, asyncio.IncompleteReadError):
                pass  # the gateway hung up; a test that minds says so itself
            except BaseException as failure:  # noqa: BLE001 - told at the end of the test
                failures.append(failure)
            finally:
                writer.close()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(run(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        servers.append(server)
        found.port = server.sockets[0].getsockname()[1]
        return found

    yield start
    for server in servers:
        server.close()
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if failures:
        raise failures[0]


@pytest.fixture
def stub_runtime() -> type[StubRuntime]:
    return StubRuntime
