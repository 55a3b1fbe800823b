"""What a target sends back for one request: its head taken apart, its body a source that is pulled.

An answer knows its connection only while it is under way, so that a body which is still held by somebody can never
touch the next exchange.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from multidict import MultiMapping

from gateway.errors import GatewayError, MalformedAnswer, StreamIdle, TruncatedAnswer
from gateway.http import Body, Fields, Response, Tunnel, decode
from gateway.http.fields import KINDS, Kind, named_by_connection

if TYPE_CHECKING:
    from gateway.services.clock import Deadlines

HIGH_WATER: Final = 128 * 1024
"""Bytes of a body that may wait here for its reader before the socket is left alone."""
LOW_WATER: Final = 32 * 1024
MANY: Final = 64
"""Streams of this process that may wait for slow readers at full size; beyond, each gets less."""
FEW_BYTES: Final = 16 * 1024
"""Bytes that are then read at once, and that may wait."""

Inform = Callable[[int, Fields], None]
"""Takes interim answers (1xx) other than 101."""

_HOP: Final = int(Kind.HOP)  # plain ints: they compare faster than members of an enumeration
_REQUEST_ID: Final = int(Kind.REQUEST_ID)  # the client gets the gateway's own
_CONNECTION: Final = int(Kind.CONNECTION)
_LENGTH: Final = int(Kind.CONTENT_LENGTH)
_CODING: Final = int(Kind.TRANSFER_ENCODING)
_UPGRADE: Final = int(Kind.UPGRADE)
_DATE: Final = int(Kind.DATE)


class Crowd:
    """How many connections of this process stand still because of their readers."""

    paused = 0


crowd: Final = Crowd()


class Supply(Protocol):
    """The connection, as an answer or a tunnel sees it."""

    loop: asyncio.AbstractEventLoop

    def pause(self) -> None:
        """Leave the target's bytes in the socket."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...

    def close(self) -> None:
        """Drop the connection. Idempotent."""
        ...


class Answer:
    """What a target sends back for one request; the source of the response's body."""

    __slots__ = (
        "_chunks",
        "_connection",
        "_error",
        "_paused",
        "_reader",
        "_waiting",
        "bodiless",
        "complete",
        "dated",
        "head_only",
        "idle",
        "inform",
        "keep_alive",
        "length",
        "lines",
        "reason",
        "status",
        "trailer_fields",
        "tunnel",
        "until_close",
    )

    def __init__(self, connection: Supply, *, head_only: bool, idle: Deadlines | None, inform: Inform | None) -> None:
        self._connection: Supply | None = connection
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._paused = False
        self._reader: asyncio.Future[None] | None = None
        self._error: GatewayError | None = None
        self.head_only = head_only
        self.idle = idle
        self.inform = inform
        self.status = 0
        self.reason = b""
        self.lines: list[bytes] = []
        self.trailer_fields: Fields = ()
        self.length: int | None = None
        self.bodiless = False
        self.until_close = False
        self.keep_alive = False
        self.complete = False
        self.dated = False
        self.tunnel: Tunnel | None = None
        """What the connection has become with a 101."""

    @property
    def trailers(self) -> MultiMapping[str] | None:
        """Trailer fields, known after the end."""
        return decode(self.trailer_fields) if self.trailer_fields else None

    def response(self) -> Response:
        """The answer as a response; its body is whole if everything has arrived by now."""
        if self.complete and self._error is None and not self.trailer_fields:
            chunks = self._chunks
            body = Body(chunks[0] if len(chunks) == 1 else b"".join(chunks))
            chunks.clear()
        else:
            body = Body(None, self, self.length)
        response = Response(self.status, lines=self.lines, body=body, reason=self.reason)
        response.dated = self.dated
        response.tunnel = self.tunnel
        return response

    async def read(self) -> bytes:
        """The next bytes of the body; ``b""`` at its end. Raises TruncatedAnswer, StreamIdle or MalformedAnswer."""
        chunks = self._chunks
        while not chunks:
            if self._error is not None:
                raise self._error
            if self.complete:
                return b""
            await self._arrival()
        chunk = chunks.popleft()
        self._waiting -= len(chunk)
        if self._paused and self._waiting <= LOW_WATER:
            self._paused = False
            if self._connection is not None:
                self._connection.resume()
        return chunk

    async def _arrival(self) -> None:
        connection = self._connection
        if connection is None:
            raise TruncatedAnswer(reason="the connection was given up")
        self._reader = connection.loop.create_future()
        idle = self.idle
        if idle is not None:
            idle.add(self)
        try:
            await self._reader
        finally:
            self._reader = None
            if idle is not None:
                idle.discard(self)

    def on_deadline(self) -> None:
        """The body stood still for too long."""
        self.fail(StreamIdle(reason="no byte of the body arrived in time"))
        if self._connection is not None:
            self._connection.close()

    def feed(self, chunk: bytes) -> None:
        """Bytes of the body arrived."""
        self._chunks.append(chunk)
        waiting = self._waiting = self._waiting + len(chunk)
        if waiting >= FEW_BYTES and not self._paused and (waiting > HIGH_WATER or crowd.paused > MANY):
            self._paused = True
            if self._connection is not None:
                self._connection.pause()

    def wake(self) -> None:
        """Tell a waiting reader to look again."""
        reader = self._reader
        if reader is not None and not reader.done():
            reader.set_result(None)

    def finished(self) -> None:
        """The connection has nothing to do with this answer any more."""
        self._connection = None

    def fail(self, error: GatewayError) -> None:
        """The body ends in an error, after what has arrived; a complete one ends as it is."""
        if not self.complete and self._error is None:
            self._error = error
        self.wake()

    def close(self) -> None:
        """Give up what was not read: the connection is of no more use."""
        self._chunks.clear()
        connection = self._connection
        if connection is not None:
            self._error = self._error or TruncatedAnswer(reason="closed by its reader")
            connection.close()


def frame(answer: Answer, status: int, lines: list[bytes], others: list[tuple[bytes, bytes]]) -> list[bytes]:
    """Read the framing out of the head (RFC 9112 §6.3) and return the lines that go on to the client."""
    length: int | None = None
    chunked = upgrade = False
    named: frozenset[bytes] = frozenset()
    answer.keep_alive = True
    for name, value in others:
        kind = KINDS[name]
        if kind == _LENGTH:
            length = int(value) if value.isdigit() else None  # llhttp has refused what is not a number
            if answer.head_only or status == 304:
                lines.append(name + b": " + value)  # the length of the body that is not sent
        elif kind == _DATE:
            answer.dated = True
            lines.append(name + b": " + value)
        elif kind == _CONNECTION:
            if value == b"keep-alive":
                continue
            named |= named_by_connection(value)
            if b"close" in value.lower():
                answer.keep_alive = False
        elif kind == _CODING:
            chunked = True
            if value.lower() != b"chunked":
                raise MalformedAnswer(reason="a transfer coding other than chunked")
        elif kind == _UPGRADE:
            upgrade = True
            if status in (101, 426):
                lines.append(name + b": " + value)
        elif kind != _HOP and kind != _REQUEST_ID:  # noqa: PLR1714
            lines.append(name + b": " + value)
    if named:
        lines = [line for line in lines if line.partition(b":")[0].lower() not in named]
        answer.dated = answer.dated and b"date" not in named
    if status == 204 or status == 304 or status == 101:  # noqa: PLR1714 - two compares beat a look-up here
        answer.bodiless = True
        answer.length = 0
    else:
        answer.length = None if chunked else length
        answer.until_close = not chunked and length is None and not answer.head_only
    if status == 101 and not upgrade:
        raise MalformedAnswer(reason="101 without Upgrade")
    return lines
