"""One HTTP/1.1 connection to a target, on llhttp through httptools.

`Connection` owns the socket and speaks to the parser. An answer of the plainest form never gets there
(`gateway.transport.plain`). Rules that llhttp leaves to its user live here and in `gateway.transport.answer.frame`: a
HEAD answer ends at its head, a body without framing ends with the connection, anything else that ends there was cut,
and bytes that nobody asked for end the connection. An answer that was whole before them is delivered as it was
declared, as nginx and Varnish do: services that write a body to HEAD, or a byte too many, are not few, and no byte
of theirs can get into another exchange, since there is none on that connection any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import httptools

from gateway.errors import (
    ConnectionReused,
    FirstByteTimeout,
    GatewayError,
    MalformedAnswer,
    TruncatedAnswer,
    UpstreamReset,
)
from gateway.http import Response
from gateway.http.fields import KINDS
from gateway.http.message import split_lines
from gateway.transport.answer import FEW_BYTES, MANY, Answer, Inform, crowd, frame
from gateway.transport.plain import plain_answer
from gateway.transport.tunnel import RawTunnel

if TYPE_CHECKING:
    from gateway.services.clock import Deadlines

HEAD_LIMIT: Final = 256 * 1024
"""Bytes of an answer's head, all interim answers included, that are read before it is given up as malformed."""
_VERSIONS: Final = frozenset({"1.1", "1.0"})
LEAVING: Final = 5.0
"""Seconds for a target to take what was written before its connection was closed; then it is cut."""


class Connection(asyncio.BufferedProtocol):
    """A connection to one address of a target; one exchange at a time."""

    __slots__ = (
        "_answer",
        "_buffer",
        "_drain",
        "_head",
        "_head_bytes",
        "_head_only",
        "_held",
        "_idle",
        "_inform",
        "_leaving",
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
        "overran",
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
        self._held: bytearray = buffer.obj  # type: ignore[assignment]
        self._on_free = on_free
        self._on_lost = on_lost
        self._parser: httptools.HttpResponseParser | None = None
        self._answer: Answer | None = None
        """What the parser is at; None while nothing of an answer has come."""
        self._head_only = False
        self._idle: Deadlines | None = None
        self._inform: Inform | None = None
        self._passing: list[bytes] = []
        """Lines that go on to the client as they are; after the head: trailers."""
        self._others: list[tuple[bytes, bytes]] = []
        """Fields that mean something here."""
        self._head: asyncio.Future[Response | Answer] | None = None
        """Done when an answer's head is here; None while no answer, or the rest of one, is awaited."""
        self._head_bytes = 0
        self._sent = True
        self._paused_reading = False
        self._write_paused = False
        self._drain: asyncio.Future[None] | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self.tunnel: RawTunnel | None = None
        self.address = ""
        self.idle_since = 0.0
        self.used = 0
        self.lost = False
        self.overran = False
        """The target sent more than it had declared, or than was asked for."""

    # -- what an exchange does ---------------------------------------------------------------------------------

    def start(
        self, data: bytes, *, sent: bool, head_only: bool, idle: Deadlines | None, inform: Inform | None
    ) -> asyncio.Future[Response | Answer]:
        """Send the head (and, if ``sent``, all of the body); the future is done when the answer's head is here.

        It holds the answer, or at once the response if that came in one piece.
        """
        self._head_only = head_only
        self._idle = idle
        self._inform = inform
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

    @property
    def unanswered(self) -> bool:
        """The head of the answer has not come yet."""
        return self._head is not None

    def sent(self) -> None:
        """All of the request is sent."""
        self._sent = True
        self._release_if_done()

    def close(self) -> None:
        """Drop the connection. Idempotent."""
        if not self.lost:
            self.lost = True
            self._leave_crowd()
            self._on_lost(self)
            if self.transport is not None:
                self.transport.abort()

    def retire(self) -> None:
        """Close in an orderly way: what is written may still go out, for a while. Idempotent."""
        if not self.lost:
            self.lost = True
            self._leave_crowd()
            self._on_lost(self)
            if self.transport is not None:
                self.transport.close()
                # A target that does not read would keep the socket, which no pool counts any more.
                self._leaving = self.loop.call_later(LEAVING, self.transport.abort)

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
            crowd.paused += 1
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused_reading and not self.lost:
            self._leave_crowd()
            self.transport.resume_reading()

    def _leave_crowd(self) -> None:
        if self._paused_reading:
            self._paused_reading = False
            crowd.paused -= 1

    # -- asyncio -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.transport.set_write_buffer_limits(high=64 * 1024)

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        # One for all connections of a worker: it is read before anything else can run.
        return self._buffer if crowd.paused <= MANY else self._buffer[:FEW_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        if self.tunnel is not None:
            self.tunnel.feed(bytes(self._buffer[:nbytes]))
            return
        answer, head = self._answer, self._head
        if answer is None:
            if head is None or head.done() or self.lost:
                self.overran = head is None and not self.lost
                self.close()  # bytes that nobody asked for, or waits for: the next answer could not be told from them
                return
            response = plain_answer(self._held, nbytes) if self._sent and not self._head_only else None
            if response is not None:
                self._head = None
                head.set_result(response)
                self._free()
                return
            answer = self._begin()
        self._parse(answer, nbytes)

    def _begin(self) -> Answer:
        """Something of an answer has come that is for the parser."""
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self._passing, self._others = [], []
        self._head_bytes = 0
        answer = self._answer = Answer(self, head_only=self._head_only, idle=self._idle, inform=self._inform)
        return answer

    def _parse(self, answer: Answer, nbytes: int) -> None:
        parser = self._parser
        if parser is None:
            self.overran = True
            self.close()  # it ended with the head of an answer to HEAD
            return
        try:
            parser.feed_data(self._buffer[:nbytes])
        except httptools.HttpParserUpgrade as upgrade:
            self._switch(answer, bytes(self._buffer[upgrade.args[0] : nbytes]))
            return
        except httptools.HttpParserError as error:
            if not answer.complete:
                self.fail(MalformedAnswer(reason=_why(error)))
                return
            answer.keep_alive = False  # it is whole; what stands behind it is dropped with the connection
            self.overran = True
        self._head_bytes += nbytes
        if self._head_bytes > HEAD_LIMIT and not answer.complete:
            self.fail(MalformedAnswer(reason="head or trailers too large"))
            return
        if answer.status == 0:
            return
        head = self._head
        if head is not None:
            self._head = None
            if head.done():
                self.close()  # nobody waits for it
                return
            head.set_result(answer)
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
        if answer is None and self._head is None:
            self.retire()  # at once, so that no request goes out on a connection that is half closed
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost:
            self.lost = True
            self._leave_crowd()
            self._on_lost(self)
        if self.tunnel is not None:
            self.tunnel.feed(b"")
        drain, head, answer = self._drain, self._head, self._answer
        if drain is not None and not drain.done():
            drain.set_exception(UpstreamReset(reason="connection lost while sending"))
        if head is not None and not head.done():
            reused = self.used > 1 and answer is None
            kind = ConnectionReused if reused else UpstreamReset
            head.set_exception(kind(reason=f"connection closed before an answer ({exc})" if exc else "closed early"))
        if answer is not None and not answer.complete:
            if answer.until_close and exc is None:
                answer.complete = True
                answer.wake()
            else:
                answer.fail(TruncatedAnswer(reason="connection closed inside the body"))
        self._parser = None  # the parser and this object refer to each other
        if self._leaving is not None:
            self._leaving.cancel()

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)

    # -- httptools ---------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        answer = self._answer
        if answer is not None and answer.complete:  # half a head left in the parser would become the next answer's
            raise MalformedAnswer(reason="bytes after the end of the answer")

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
        status, version = parser.get_status_code(), parser.get_http_version()
        if version not in _VERSIONS:
            raise MalformedAnswer(reason="another version than HTTP/1.1 or 1.0")
        lines, others = self._passing, self._others
        self._passing, self._others = [], []
        if status < 200 and status != 101:
            if answer.inform is not None and status != 100:
                answer.inform(status, split_lines(lines))
            answer.reason = b""
            return
        answer.lines = frame(answer, status, lines, others)
        answer.status = status
        if answer.head_only and status != 101:
            answer.complete = answer.bodiless = True
            answer.keep_alive = answer.keep_alive and version == "1.1"
            self._parser = None  # llhttp would wait for the body that Content-Length announces

    def on_body(self, chunk: bytes) -> None:
        answer = self._answer
        if answer is None or answer.complete:
            raise MalformedAnswer(reason="bytes after the end of the answer")
        self._head_bytes = -len(self._buffer)  # counts anew after this read: trailers, chunk extensions
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
            self._free()
        else:
            self.retire()

    def _free(self) -> None:
        if self._write_paused:
            self.retire()  # the target answered before it read what it was sent, and the next would stand behind that
        else:
            self._on_free(self)

    def _switch(self, answer: Answer, early: bytes) -> None:
        answer.tunnel = self.tunnel = RawTunnel(self, answer.idle)
        if early:
            self.tunnel.feed(early)
        answer.complete = True
        answer.keep_alive = False
        head, self._head = self._head, None
        if head is not None and not head.done():
            head.set_result(answer)


def _why(error: httptools.HttpParserError) -> str:
    cause = error.__context__
    return cause.reason if isinstance(cause, GatewayError) else str(error)[:200]
