"""After a 101: bytes both ways until one side ends, and a polite end of WebSockets when the gateway leaves.

RFC 6455 §5: a Close frame may only stand where a frame could begin, so each direction's frame boundaries are followed,
without looking at a single byte of payload.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.errors import GatewayError
from gateway.http import Request, Tunnel

HIGH_WATER: Final = 128 * 1024
LOW_WATER: Final = 32 * 1024
GOING_AWAY: Final = b"\x88\x02\x03\xe9"
"""A Close frame with status 1001 (RFC 6455 §7.4.1), as a server sends it: unmasked."""
GOING_AWAY_MASKED: Final = b"\x88\x82\x00\x00\x00\x00\x03\xe9"
"""The same as a client sends it (§5.3); a mask of zeros is a mask."""
PATIENCE: Final = 2.0
"""Seconds for the other side's own Close after ours."""


class Frames:
    """Follows one direction of a WebSocket; knows whether it stands between two frames."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0

    @property
    def between(self) -> bool:
        """No frame is under way."""
        return self._left == 0 and not self._head

    def boundary(self, data: bytes) -> int:
        """Follow ``data``; the offset of the last frame boundary in it, -1 if there is none."""
        position, last = 0, 0 if self.between else -1
        size = len(data)
        while position < size:
            if self._left:
                step = min(self._left, size - position)
                self._left -= step
                position += step
                if self._left == 0:
                    last = position
                continue
            self._head += data[position : position + 1]
            position += 1
            need = _head_size(self._head)
            if len(self._head) < need:
                continue
            self._left = _payload_size(self._head)
            self._head = b""
            if self._left == 0:
                last = position
        return last


def _head_size(head: bytes) -> int:
    if len(head) < 2:
        return 2
    size = 2 + (4 if head[1] & 0x80 else 0)
    return size + {126: 2, 127: 8}.get(head[1] & 0x7F, 0)


def _payload_size(head: bytes) -> int:
    short = head[1] & 0x7F
    if short == 126:
        return int.from_bytes(head[2:4], "big")
    if short == 127:
        return int.from_bytes(head[2:10], "big")
    return short


class ClientSide:
    """The client's half of a tunnel: what aiohttp's connection feeds once HTTP is over."""

    __slots__ = (
        "_chunks",
        "_drain",
        "_ended",
        "_from_client",
        "_paused",
        "_reader",
        "_to_client",
        "_transport",
        "_waiting",
        "leaving",
        "received",
        "request",
        "sent",
        "websocket",
    )

    def __init__(self, transport: asyncio.Transport, drain: Callable[[], Awaitable[None]], *, websocket: bool) -> None:
        self._transport = transport
        self._drain = drain
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._paused = False
        self._ended = False
        self._reader: asyncio.Future[None] | None = None
        self.websocket = websocket
        self.leaving = asyncio.Event()
        self._to_client = Frames()
        self._from_client = Frames()
        self.request: Request | None = None
        """What began it; a reload asks whether it may go on."""
        self.received = 0
        self.sent = 0

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take what the client sent; aiohttp calls this."""
        self._chunks.append(data)
        self._waiting += len(data)
        self.received += len(data)
        if self._waiting > HIGH_WATER and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()
        return False, b""

    def feed_eof(self) -> None:
        """The client is gone."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def leave(self) -> None:
        """The gateway is shutting down: end the tunnel, a WebSocket with 1001 on a frame boundary."""
        self.leaving.set()

    async def read(self) -> bytes:
        """The next bytes from the client; ``b""`` when it is gone."""
        while not self._chunks:
            if self._ended:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        chunk = self._chunks.popleft()
        self._waiting -= len(chunk)
        if self._paused and self._waiting <= LOW_WATER and not self._ended:
            self._paused = False
            self._transport.resume_reading()
        return chunk

    async def to_client(self, tunnel: Tunnel) -> None:
        """Copy what the target sends."""
        while chunk := await tunnel.read():
            if self.leaving.is_set() and self.websocket:
                end = self._to_client.boundary(chunk)
                if end >= 0:
                    self._write(chunk[:end] + GOING_AWAY)
                    return
            elif self.websocket:
                self._to_client.boundary(chunk)
            self._write(chunk)
            await self._drain()

    async def from_client(self, tunnel: Tunnel) -> None:
        """Copy what the client sends."""
        while chunk := await self.read():
            if self.leaving.is_set() and self.websocket:
                end = self._from_client.boundary(chunk)
                if end >= 0:
                    await tunnel.write(chunk[:end] + GOING_AWAY_MASKED)
                    return
            elif self.websocket:
                self._from_client.boundary(chunk)
            await tunnel.write(chunk)

    def _write(self, data: bytes) -> None:
        self.sent += len(data)
        self._transport.write(data)

    def say_goodbye(self) -> bool:
        """Send the Close frame now if no frame to the client is under way."""
        if self.websocket and self._to_client.between:
            self._write(GOING_AWAY)
            return True
        return not self.websocket

    def between_from_client(self) -> bool:
        """No frame from the client is under way."""
        return self._from_client.between


async def pump(side: ClientSide, tunnel: Tunnel) -> None:
    """Copy both ways until either side ends or the gateway leaves; cancellation ends it too."""
    down = asyncio.ensure_future(side.to_client(tunnel))
    up = asyncio.ensure_future(side.from_client(tunnel))
    leaving = asyncio.ensure_future(side.leaving.wait())
    copies = {down, up}
    try:
        await asyncio.wait({*copies, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if leaving.done() and not (down.done() or up.done()):
            await _leave(side, tunnel, down, up)
    finally:
        for task in (*copies, leaving):
            task.cancel()
        for result in await asyncio.gather(*copies, leaving, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, (GatewayError, ConnectionError)):
                raise result


async def _leave(side: ClientSide, tunnel: Tunnel, down: asyncio.Future[None], up: asyncio.Future[None]) -> None:
    """Close both sides where a frame could begin; whoever is inside a frame gets `PATIENCE` to end it."""
    if side.say_goodbye():
        down.cancel()
    if side.websocket and side.between_from_client():
        up.cancel()
        await tunnel.write(GOING_AWAY_MASKED)
    pending = {task for task in (down, up) if not task.cancelled()}
    await asyncio.wait(pending, timeout=PATIENCE)
