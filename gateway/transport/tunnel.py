"""The target's side of a connection that has switched protocols."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from gateway.transport.answer import HIGH_WATER, LOW_WATER

if TYPE_CHECKING:
    from gateway.services.clock import Deadlines
    from gateway.transport.connection import Connection


class RawTunnel:
    """The target's side after a 101: bytes both ways, no HTTP."""

    __slots__ = ("_chunks", "_connection", "_ended", "_idle", "_reader", "_waiting", "_woken")

    def __init__(self, connection: Connection, idle: Deadlines | None = None) -> None:
        self._connection = connection
        self._idle = idle
        if idle is not None:
            idle.add(self)
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._reader: asyncio.Future[None] | None = None
        self._ended = False
        self._woken = False

    def feed(self, data: bytes) -> None:
        """Bytes arrived; ``b""`` is the end."""
        if data:
            self._chunks.append(data)
            self._waiting += len(data)
            if self._waiting > HIGH_WATER:
                self._connection.pause()
            if self._idle is not None:
                self._idle.add(self)
        else:
            self._ended = True
            if self._idle is not None:
                self._idle.discard(self)
        self._stir()

    def _stir(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def wake(self) -> None:
        """Have the `read` that waits, or else the next that would wait, return ``b""`` though nothing has ended."""
        self._woken = True
        self._stir()

    @property
    def gone(self) -> bool:
        """The connection is lost, as opposed to closed for sending by the target."""
        return self._connection.lost

    async def read(self) -> bytes:
        """The next bytes; ``b""`` when the target has closed its side."""
        while not self._chunks:
            if self._ended or self._woken:
                self._woken = False
                return b""
            self._reader = self._connection.loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        chunk = self._chunks.popleft()
        self._waiting -= len(chunk)
        if self._waiting <= LOW_WATER:
            self._connection.resume()
        return chunk

    async def write(self, data: bytes) -> None:
        """Send, waiting while the target does not keep up. Raises UpstreamReset."""
        if self._idle is not None and not self._ended:
            self._idle.add(self)
        await self._connection.write(data)

    def end(self) -> None:
        """Tell the target that nothing more will be sent, if its connection can say so; it may still answer."""
        connection = self._connection
        if not connection.lost and connection.transport.can_write_eof():
            connection.transport.write_eof()

    def on_deadline(self) -> None:
        """Nothing went either way for too long."""
        self._connection.close()
        self.feed(b"")

    def close(self) -> None:
        """Idempotent."""
        if self._idle is not None:
            self._idle.discard(self)
        self._connection.retire()
