"""Targets that behave, or misbehave, as a test says, over real sockets; used by the tests of transport and forward."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

BUFFER = 64 * 1024


@dataclass
class Seen:
    """One request, as a target saw it."""

    head: bytes
    body: bytes
    connection: int
    """Of the service's connections the how-manieth, from 1."""
    number: int
    """On that connection, from 1."""
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode()

    def header(self, name: str) -> str | None:
        for line in self.head.split(b"\r\n")[1:]:
            found, _, value = line.partition(b":")
            if found.lower() == name.lower().encode():
                return value.strip().decode()
        return None

    async def answer(self, body: bytes = b"ok", status: int = 200, headers: str = "") -> None:
        """A whole answer, in one write."""
        await self.send(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        """Close in order (FIN)."""
        self.writer.close()

    def reset(self) -> None:
        """Close with RST."""
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Conduct = Callable[[Seen], Awaitable[None]]


async def well(seen: Seen) -> None:
    await seen.answer()


@dataclass
class Service:
    """A target. ``conduct`` is called for every request; ``accept`` False closes connections as they come."""

    conduct: Conduct = well
    accept: bool = True
    reads_body: bool = True
    name: str = "localhost"
    url: str = ""
    requests: list[Seen] = field(default_factory=list)
    connections: int = 0
    open: set[asyncio.StreamWriter] = field(default_factory=set)
    server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    async def start(self, *, unix: str | None = None, tls: ssl.SSLContext | None = None, **where: Any) -> Service:
        if unix:
            self.server = await asyncio.start_unix_server(self._serve, unix)
            self.url = f"unix:{unix}"
        else:
            host, port = where.get("host", "127.0.0.1"), where.get("port", 0)
            self.server = await asyncio.start_server(self._serve, host, port, ssl=tls)
            port = self.server.sockets[0].getsockname()[1]
            shown = self.name if tls else f"[{host}]" if ":" in host else host
            self.url = f"{'https' if tls else 'http'}://{shown}:{port}"
        return self

    async def stop(self) -> None:
        """Refuse connections and drop those that are open."""
        if self.server is not None:
            self.server.close()
        for writer in list(self.open):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection, number = self.connections, 0
        if not self.accept:
            writer.close()
            return
        self.open.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while not writer.is_closing():
                    head = await reader.readuntil(b"\r\n\r\n")
                    number += 1
                    seen = Seen(head, b"", connection, number, reader, writer)
                    length = int(seen.header("content-length") or 0)
                    if self.reads_body and length:
                        seen.body = await reader.readexactly(length)
                    elif self.reads_body and seen.header("transfer-encoding"):
                        seen.body = await reader.readuntil(b"0\r\n\r\n")
                    self.requests.append(seen)
                    await self.conduct(seen)
        finally:
            self._tasks.discard(task)
            self.open.discard(writer)
            if not writer.is_closing():
                writer.close()


StartService = Callable[..., Awaitable[Service]]


@pytest.fixture
async def service() -> AsyncIterator[StartService]:
    """``await service(conduct, ...)`` starts a target; all are stopped after the test."""
    started: list[Service] = []

    async def start(conduct: Conduct = well, *, accept: bool = True, reads_body: bool = True, **where: Any) -> Service:
        made = Service(conduct, accept, reads_body)
        started.append(made)
        return await made.start(**where)

    yield start
    for each in started:
        await each.stop()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@pytest.fixture
def refused_url() -> str:
    """The URL of a port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def buffer() -> memoryview:
    return memoryview(bytearray(BUFFER))


async def until(holds: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait until something is so; fails the test if it does not come to pass at all."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.005)


@pytest.fixture(name="until")
def _until() -> Callable[..., Awaitable[None]]:
    return until


class Stream:
    """A body's source that gives these chunks, then ends, or raises."""

    def __init__(self, *chunks: bytes, error: Exception | None = None, hold: asyncio.Event | None = None) -> None:
        self.chunks = list(chunks)
        self.error = error
        self.hold = hold
        self.reads = 0
        self.closed = False
        self.trailers = None

    async def read(self) -> bytes:
        self.reads += 1
        if self.chunks:
            return self.chunks.pop(0)
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        return b""

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def stream() -> type[Stream]:
    return Stream
