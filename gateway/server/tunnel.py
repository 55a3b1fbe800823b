"""After a 101: bytes both ways until one side ends, and a polite end of WebSockets when the gateway leaves.

RFC 6455 §5: a Close frame may only stand where a frame could begin, so each direction's frame boundaries are followed,
without looking at a single byte of payload.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from gateway.errors import GatewayError
from gateway.http import Request, Tunnel

HIGH_WATER: Final = 128 * 1024
LOW_WATER: Final = 32 * 1024
GOING_AWAY: Final = b"\x88\x02\x03\xe9"
"""A Close frame with status 1001 (RFC 6455 §7.4.1), as a server sends it: unmasked."""
GOING_AWAY_MASKED: Final = b"\x88\x82\x00\x00\x00\x00\x03\xe9"
"""The same as a client sends it (§5.3); a mask of zeros is a mask."""
PATIENCE: Final = 2.0
"""Seconds for the frames under way to end and for the other sides' own Close after ours."""
HALF_OPEN: Final = 300.0
"""Seconds for which one direction may go on after the other has ended."""
_CLOSE: Final = 0x8


class Frames:
    """Follows one direction of a WebSocket; knows whether it stands between two frames."""

    __slots__ = ("_head", "_left", "_opcode", "closed")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._opcode = 0
        self.closed = False
        """A Close frame went by."""

    @property
    def between(self) -> bool:
        """No frame is under way."""
        return self._left == 0 and not self._head

    def boundary(self, data: bytes) -> int:
        """Follow ``data``; the offset of the last frame boundary in it, -1 if there is none."""
        position, size = 0, len(data)
        last = 0 if self.between else -1
        while position < size:
            if self._left:
                step = min(self._left, size - position)
                self._left -= step
                position += step
            else:
                position = self._take_head(data, position)
                if self._head:
                    break
            if self._left == 0:
                last = position
                self.closed = self.closed or self._opcode == _CLOSE
        return last

    def _take_head(self, data: bytes, position: int) -> int:
        """Read a frame's head, or what there is of it, and return where it ends in ``data``."""
        before = len(self._head)
        head = self._head + data[position : position + 14 - before]  # no head is longer
        need = _head_size(head)
        if len(head) < need:
            self._head = head
            return len(data)
        self._head = b""
        self._opcode = head[0] & 0x0F
        self._left = _payload_size(head)
        return position + need - before


def _head_size(head: bytes) -> int:
    if len(head) < 2:
        return 2
    size = 6 if head[1] & 0x80 else 2
    short = head[1] & 0x7F
    return size if short < 126 else size + 2 if short == 126 else size + 8


def _payload_size(head: bytes) -> int:
    short = head[1] & 0x7F
    if short < 126:
        return short
    return int.from_bytes(head[2:4] if short == 126 else head[2:10], "big")


class ClientSide:
    """The client's half of a tunnel: what aiohttp's connection feeds once HTTP is over."""

    __slots__ = (
        "_chunks",
        "_drain",
        "_ended",
        "_reader",
        "_transport",
        "_waiting",
        "gone",
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
        self._ended = False
        self._reader: asyncio.Future[None] | None = None
        self.websocket = websocket
        self.gone = False
        """The connection is lost, as opposed to closed for sending."""
        self.leaving = asyncio.Event()
        self.received = 0
        self.sent = 0
        self.request: Request | None = None
        """What the tunnel began with; decides whether it may stay when the configuration changes."""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take what the client sent; aiohttp calls this."""
        self._chunks.append(data)
        self._waiting += len(data)
        self.received += len(data)
        if self._waiting > HIGH_WATER:  # each time: aiohttp may have resumed it in between
            self._transport.pause_reading()
        self._wake()
        return False, b""

    def feed_eof(self) -> None:
        """The client sends no more; aiohttp calls this when the connection is lost, and we at a half-close."""
        self._ended = True
        self._wake()

    def lost(self) -> None:
        """The client is gone."""
        self.gone = True
        self.feed_eof()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def leave(self) -> None:
        """The gateway is shutting down, or the route is gone: end a WebSocket with 1001 on a frame boundary.

        Another protocol has no word for it: it goes on until it ends or the connection is cut.
        """
        self.leaving.set()

    async def read(self) -> bytes:
        """The next bytes from the client; ``b""`` when it sends no more."""
        while not self._chunks:
            if self._ended:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        chunk = self._chunks.popleft()
        waiting = self._waiting
        self._waiting = waiting - len(chunk)
        if waiting > LOW_WATER >= self._waiting and not self._ended:
            self._transport.resume_reading()
        return chunk

    async def write(self, data: bytes) -> None:
        """Send to the client, waiting while it does not keep up."""
        self.sent += len(data)
        self._transport.write(data)
        await self._drain()

    def end(self) -> None:
        """Tell the client that nothing more will come, if its connection can say so."""
        if not self.gone and self._transport.can_write_eof():
            self._transport.write_eof()


class Copy:
    """One direction of a tunnel."""

    __slots__ = ("_busy", "_frames", "_goodbye", "_leaving", "_read", "_said", "_write")

    def __init__(
        self, read: Callable[[], Awaitable[bytes]], write: Callable[[bytes], Awaitable[None]], goodbye: bytes
    ) -> None:
        self._read = read
        self._write = write
        self._goodbye = goodbye
        self._frames = Frames() if goodbye else None
        self._leaving = False
        self._said = False
        self._busy = False

    async def run(self) -> None:
        """Copy until the source ends; when leaving, until its Close frame."""
        frames = self._frames
        while chunk := await self._read():
            if frames is not None:
                end = frames.boundary(chunk)
                if self._leaving:
                    if not self._said:
                        if end >= 0:
                            self._said = True
                            # A Close frame that came with it says all there is to say.
                            chunk = chunk[:end] if frames.closed else chunk[:end] + self._goodbye
                        await self._write(chunk)
                    if frames.closed:
                        return
                    continue
            self._busy = True
            await self._write(chunk)
            self._busy = False
            if self._leaving:
                await self._part()

    async def leave(self) -> None:
        """Say goodbye where a frame could begin: now, or in `run` when the frame under way has ended."""
        self._leaving = True
        if not self._busy:
            await self._part()

    async def _part(self) -> None:
        if self._frames is not None and self._frames.between and not self._said:
            self._said = True
            await self._write(self._goodbye)


async def pump(side: ClientSide, tunnel: Tunnel) -> None:
    """Copy both ways until either side ends or the gateway leaves; cancellation ends it too.

    A WebSocket is over when one side ends. In another protocol a side that has ended may still listen (half-close).
    """
    down = Copy(tunnel.read, side.write, GOING_AWAY if side.websocket else b"")
    up = Copy(side.read, tunnel.write, GOING_AWAY_MASKED if side.websocket else b"")
    copies = (asyncio.ensure_future(down.run()), asyncio.ensure_future(up.run()))
    leaving = asyncio.ensure_future(side.leaving.wait())
    parting: list[asyncio.Future[None]] = []
    try:
        await asyncio.wait({*copies, leaving} if side.websocket else copies, return_when=asyncio.FIRST_COMPLETED)
        if not side.websocket:
            await _half_close(side, tunnel, *copies)
        elif not any(copy.done() for copy in copies):
            parting.append(asyncio.ensure_future(_part(down, up)))
            await asyncio.wait({*parting, *copies}, timeout=PATIENCE)
    finally:
        tasks: tuple[asyncio.Future[Any], ...] = (
            *copies,
            leaving,
            *parting,
        )  # one of them may still wait for a side that takes nothing
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, (GatewayError, ConnectionError)):
                raise result


async def _part(down: Copy, up: Copy) -> None:
    await asyncio.gather(down.leave(), up.leave(), return_exceptions=True)


async def _half_close(side: ClientSide, tunnel: Tunnel, down: asyncio.Future[None], up: asyncio.Future[None]) -> None:
    """One direction has ended: tell its receiver, and let the other direction go on for a while."""
    ended = down if down.done() else up
    if ended.exception() is not None or side.gone or tunnel.gone:
        return
    if ended is down:
        side.end()
    else:
        tunnel.end()
    await asyncio.wait({down, up}, timeout=HALF_OPEN)
