"""One HTTP/1.1 connection to a target, on llhttp through httptools.

`Connection` owns the socket and speaks to the parser; `Answer` is one exchange's half of it, so that a body which is
still held by somebody can never touch the next exchange. Rules that llhttp leaves to its user live here: a HEAD answer
ends at its head, a body without framing ends with the connection, anything else that ends there was cut, and bytes that
nobody asked for end the connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import httptools
from multidict import MultiMapping

from gateway.errors import (
    ConnectionReused,
    FirstByteTimeout,
    GatewayError,
    MalformedAnswer,
    StreamIdle,
    TruncatedAnswer,
    UpstreamReset,
)
from gateway.http import Body, Fields, Response, decode
from gateway.http.fields import KINDS, Kind, named_by_connection
from gateway.http.message import split_lines

if TYPE_CHECKING:
    from gateway.services.clock import Deadlines

HEAD_LIMIT: Final = 256 * 1024
"""Bytes of an answer's head, all interim answers included, that are read before it is given up as malformed."""
HIGH_WATER: Final = 128 * 1024
"""Bytes of a body that may wait here for its reader before the socket is left alone."""
LOW_WATER: Final = 32 * 1024

Inform = Callable[[int, Fields], None]
"""Takes interim answers (1xx) other than 101."""

_HOP: Final = int(Kind.HOP)  # plain ints: they compare faster than members of an enumeration
_REQUEST_ID: Final = int(Kind.REQUEST_ID)  # the client gets the gateway's own
_CONNECTION: Final = int(Kind.CONNECTION)
_LENGTH: Final = int(Kind.CONTENT_LENGTH)
_CODING: Final = int(Kind.TRANSFER_ENCODING)
_UPGRADE: Final = int(Kind.UPGRADE)
_DATE: Final = int(Kind.DATE)


class Answer:
    """What a target sends back for one request; the source of the response's body."""

    __slots__ = (
        "_chunks",
        "_connection",
        "_error",
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
        "until_close",
    )

    def __init__(
        self, connection: Connection, *, head_only: bool, idle: Deadlines | None, inform: Inform | None
    ) -> None:
        self._connection: Connection | None = connection
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
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
        waiting = self._waiting
        self._waiting = waiting - len(chunk)
        if waiting > LOW_WATER >= self._waiting and self._connection is not None:
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
        self._waiting += len(chunk)
        if self._waiting > HIGH_WATER and self._connection is not None:
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
        """The body ends in an error, after what has arrived."""
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


class Connection(asyncio.BufferedProtocol):
    """A connection to one address of a target; one exchange at a time."""

    __slots__ = (
        "_answer",
        "_buffer",
        "_drain",
        "_head",
        "_head_bytes",
        "_on_free",
        "_on_lost",
        "_others",
        "_parser",
        "_passing",
        "_paused_reading",
        "_sent",
        "_write_paused",
        "address",
        "idle_since",
        "loop",
        "lost",
        "transport",
        "tunnel",
        "used",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        buffer: memoryview,
        on_free: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
    ) -> None:
        self.loop = loop
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # until connection_made
        self._buffer = buffer
        self._on_free = on_free
        self._on_lost = on_lost
        self._parser: httptools.HttpResponseParser | None = None
        self._answer: Answer | None = None
        self._passing: list[bytes] = []
        """Lines that go on to the client as they are; after the head: trailers."""
        self._others: list[tuple[bytes, bytes]] = []
        """Fields that mean something here."""
        self._head: asyncio.Future[None] | None = None
        self._head_bytes = 0
        self._sent = True
        self._paused_reading = False
        self._write_paused = False
        self._drain: asyncio.Future[None] | None = None
        self.tunnel: RawTunnel | None = None
        self.address = ""
        self.idle_since = 0.0
        self.used = 0
        self.lost = False

    # -- what an exchange does ---------------------------------------------------------------------------------

    def start(self, answer: Answer, data: bytes, *, sent: bool) -> asyncio.Future[None]:
        """Send the head (and, if ``sent``, all of the body); the future is done when the answer's head is here."""
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self._answer = answer
        self._passing, self._others = [], []
        self._head_bytes = 0
        self._sent = sent
        self.used += 1
        head = self._head = self.loop.create_future()
        self.transport.write(data)
        return head

    async def write(self, data: bytes) -> None:
        """Send more of the body, or of a tunnel, waiting while the target does not keep up."""
        if self.lost:
            raise UpstreamReset(reason="connection lost while sending")
        self.transport.write(data)
        if self._write_paused:
            self._drain = self.loop.create_future()
            try:
                await self._drain
            finally:
                self._drain = None

    def sent(self) -> None:
        """All of the request is sent."""
        self._sent = True
        self._release_if_done()

    def close(self) -> None:
        """Drop the connection. Idempotent."""
        if not self.lost:
            self.lost = True
            self._on_lost(self)
            if self.transport is not None:
                self.transport.abort()

    def retire(self) -> None:
        """Close an idle connection in an orderly way. Idempotent."""
        if not self.lost:
            self.lost = True
            self._on_lost(self)
            if self.transport is not None:
                self.transport.close()

    def on_deadline(self) -> None:
        """The head did not come in time."""
        self.fail(FirstByteTimeout(reason=f"no answer from {self.address} in time"))

    def fail(self, error: GatewayError) -> None:
        """End the exchange under way with an error, and the connection with it."""
        head, answer = self._head, self._answer
        if head is not None and not head.done():
            head.set_exception(error)
        if answer is not None:
            answer.fail(error)
        self.close()

    def pause(self) -> None:
        """Leave the target's bytes in the socket until the reader has caught up."""
        if not self._paused_reading and not self.lost:
            self._paused_reading = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused_reading and not self.lost:
            self._paused_reading = False
            self.transport.resume_reading()

    # -- asyncio -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.transport.set_write_buffer_limits(high=64 * 1024)

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._buffer  # one for all connections of a worker: it is read before anything else can run

    def buffer_updated(self, nbytes: int) -> None:
        if self.tunnel is not None:
            self.tunnel.feed(bytes(self._buffer[:nbytes]))
            return
        answer, parser = self._answer, self._parser
        if answer is None or parser is None:
            self.close()  # bytes that nobody asked for: the next answer could not be told from them
            return
        try:
            parser.feed_data(self._buffer[:nbytes])
        except httptools.HttpParserUpgrade as upgrade:
            self._switch(answer, bytes(self._buffer[upgrade.args[0] : nbytes]))
            return
        except httptools.HttpParserError as error:
            self.fail(MalformedAnswer(reason=_why(error)))
            return
        if answer.status == 0:
            self._head_bytes += nbytes
            if self._head_bytes > HEAD_LIMIT:
                self.fail(MalformedAnswer(reason="head too large"))
            return
        head = self._head
        if head is not None:
            self._head = None
            if not head.done():
                head.set_result(None)
        else:
            answer.wake()
        if answer.complete:
            self._release_if_done()

    def eof_received(self) -> bool:
        answer = self._answer
        if self.tunnel is not None:
            self.tunnel.feed(b"")
            return True
        if answer is not None and answer.until_close and not answer.complete:
            answer.complete = True
            answer.wake()
        if answer is None:
            self.retire()  # at once, so that no request goes out on a connection that is half closed
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost:
            self.lost = True
            self._on_lost(self)
        if self.tunnel is not None:
            self.tunnel.feed(b"")
        drain, head, answer = self._drain, self._head, self._answer
        if drain is not None and not drain.done():
            drain.set_exception(UpstreamReset(reason="connection lost while sending"))
        if head is not None and not head.done():
            reused = self.used > 1 and self._head_bytes == 0
            kind = ConnectionReused if reused else UpstreamReset
            head.set_exception(kind(reason=f"connection closed before an answer ({exc})" if exc else "closed early"))
        if answer is not None and not answer.complete:
            if answer.until_close and exc is None:
                answer.complete = True
                answer.wake()
            else:
                answer.fail(TruncatedAnswer(reason="connection closed inside the body"))
        self._parser = None  # the parser and this object refer to each other

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)

    # -- httptools ---------------------------------------------------------------------------------------------

    def on_status(self, reason: bytes) -> None:
        answer = self._answer
        if answer is not None:
            answer.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        # In trailers, only what passes is allowed: no framing, no routing (RFC 9110 §6.5.1).
        if KINDS[name]:
            self._others.append((name, value))
        else:
            self._passing.append(name + b": " + value)

    def on_headers_complete(self) -> None:
        answer, parser = self._answer, self._parser
        if answer is None or parser is None:
            return
        status = parser.get_status_code()
        lines, others = self._passing, self._others
        self._passing, self._others = [], []
        if status < 200 and status != 101:
            if answer.inform is not None and status != 100:
                answer.inform(status, split_lines(lines))
            answer.reason = b""
            return
        answer.lines = _frame(answer, status, lines, others)
        answer.status = status
        if answer.head_only and status != 101:
            answer.complete = answer.bodiless = True
            answer.keep_alive = answer.keep_alive and parser.get_http_version() == "1.1"
            self._parser = None  # llhttp would wait for the body that Content-Length announces

    def on_body(self, chunk: bytes) -> None:
        answer = self._answer
        if answer is None or answer.complete:
            raise MalformedAnswer(reason="bytes after the end of the answer")
        answer.feed(chunk)

    def on_message_complete(self) -> None:
        answer, parser = self._answer, self._parser
        if answer is not None and answer.status and parser is not None:
            answer.complete = True
            answer.trailer_fields = split_lines(self._passing) if self._passing else ()
            answer.keep_alive = answer.keep_alive and parser.should_keep_alive()

    # -- the end of an exchange --------------------------------------------------------------------------------

    def _release_if_done(self) -> None:
        answer = self._answer
        if answer is None or not answer.complete:
            return
        if not self._sent:
            # The target has answered without wanting the rest of the body; it cannot be stopped otherwise.
            answer.keep_alive = False
        self._answer = None
        answer.finished()
        self.resume()
        if answer.keep_alive and not self.lost:
            self._on_free(self)
        else:
            self.retire()

    def _switch(self, answer: Answer, early: bytes) -> None:
        self.tunnel = RawTunnel(self, answer.idle)
        if early:
            self.tunnel.feed(early)
        answer.complete = True
        answer.keep_alive = False
        head, self._head = self._head, None
        if head is not None and not head.done():
            head.set_result(None)


class RawTunnel:
    """The target's side after a 101: bytes both ways, no HTTP."""

    __slots__ = ("_chunks", "_connection", "_ended", "_idle", "_reader", "_waiting")

    def __init__(self, connection: Connection, idle: Deadlines | None = None) -> None:
        self._connection = connection
        self._idle = idle
        if idle is not None:
            idle.add(self)
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._reader: asyncio.Future[None] | None = None
        self._ended = False

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
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def read(self) -> bytes:
        """The next bytes; ``b""`` when the target has closed its side."""
        while not self._chunks:
            if self._ended:
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

    def on_deadline(self) -> None:
        """Nothing went either way for too long."""
        self._connection.close()
        self.feed(b"")

    def close(self) -> None:
        """Idempotent."""
        if self._idle is not None:
            self._idle.discard(self)
        self._connection.retire()


def _frame(answer: Answer, status: int, lines: list[bytes], others: list[tuple[bytes, bytes]]) -> list[bytes]:
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
    if status == 204 or status == 304 or status == 101:  # noqa: PLR1714 - two compares beat a look-up here
        answer.bodiless = True
        answer.length = 0
    else:
        answer.length = None if chunked else length
        answer.until_close = not chunked and length is None and not answer.head_only
    if status == 101 and not upgrade:
        raise MalformedAnswer(reason="101 without Upgrade")
    return lines


def _why(error: httptools.HttpParserError) -> str:
    cause = error.__context__
    return cause.reason if isinstance(cause, GatewayError) else str(error)[:200]
