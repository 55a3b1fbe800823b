"""What comes on a client's connection: aiohttp's parser, and what is known of requests that repeat each other.

This module and `gateway.server.connection`, which serves what came, are the ones that rely on parts of aiohttp which
are not public API: the attributes of `RequestHandler` that its own ``start`` and ``data_received`` use. pyproject.toml
pins the minor version, and ``tests/gateway/server/test_connection.py`` fails when one of them moves.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiohttp import StreamReader
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, RequestPayloadError

from gateway.errors import GatewayError, HeadTooLarge, MalformedMessage
from gateway.http.peer import Peer
from gateway.server import intake
from gateway.server.intake import Head
from gateway.services.clock import Deadlines

if TYPE_CHECKING:
    from gateway.server.connection import ClientConnection, EdgeServer
    from gateway.server.edge import Edge

_READ: Final = 64 * 1024
_END: Final = b"\r\n\r\n"


class Preface(Protocol):
    """What a connection may begin with before HTTP: the PROXY protocol."""

    def feed(self, connection: ClientConnection, data: bytes) -> bytes | None:
        """What is left after the preface, or None while it is not whole. May refuse or abort the connection."""
        ...


class Receiver(RequestHandler):
    """A client's connection as far as it receives: heads and bodies, in order, within limits, in ``_messages``."""

    __slots__ = (
        "_begun",
        "_broken",
        "_due",
        "_error",
        "_head_bytes",
        "_inside",
        "_known",
        "_sure",
        "edge",
        "host",
        "peer",
        "preface",
    )

    def __init__(self, manager: EdgeServer, loop: asyncio.AbstractEventLoop, preface: Preface | None) -> None:
        limits = manager.edge.limits
        # A different number than the line's, so that the error tells which of the two was too long.
        field_limit = limits.header if limits.header != limits.url else limits.header + 1
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=0,  # our own deadlines serve all connections with one timer each
            access_log=None,  # type: ignore[arg-type]
            max_line_size=limits.url,
            max_field_size=field_limit,
            max_headers=limits.headers,
            read_bufsize=_READ,
            auto_decompress=False,
        )
        self.edge: Edge = manager.edge
        self.peer = Peer("")
        self.preface = preface
        self.host: str | None = None
        """The last Host that was found valid: a connection seldom asks for another."""
        self._known: Head | None = None
        """The last head, if nothing else has come since; the parser then stands at the beginning of a request."""
        self._error: GatewayError | None = None
        self._broken = False
        self._head_bytes = 0
        """Of a head that is not whole yet."""
        self._begun = bytearray()
        """These bytes, and what came in one piece with the first of them."""
        self._inside: StreamReader | None = None
        """The body that the parser is in the middle of, if any."""
        self._sure = True
        """It is known where in what came the parser stands."""
        self._due: Deadlines | None = None

    def fresh_parser(self) -> HttpRequestParser:
        """A parser like this connection's own, at the beginning of a request."""
        return HttpRequestParser(
            self,
            self._loop,
            _READ,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
        )

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what it refuses becomes an error of our catalogue instead of aiohttp's answer."""
        if self._force_close or self._close or self._broken:
            return
        known = self._known
        if known is not None:
            waiter = self._waiter
            if waiter is not None and not waiter.done():  # all that came before is served
                target = known.target(data)
                if target is not None:
                    queue: deque[Any] = self._messages
                    queue.append((known, EMPTY_PAYLOAD, target))
                    waiter.set_result(None)
                    return
            self._known = None
        if self._payload_parser is not None or self._upgraded or self._parser is None:
            super().data_received(data)
            return
        if self.preface is not None:
            rest = self.preface.feed(self, data)  # type: ignore[arg-type]
            if rest is None:
                return
            self.preface, data = None, rest
        inside = self._inside
        if inside is not None and inside.is_eof():
            inside = self._inside = None
        before = inside.total_bytes if inside is not None else 0
        if not data:
            self._sure = False  # the parser had been stopped, and goes on with what it kept
        try:
            messages, upgraded, tail = self._parser.feed_data(data)
        except HttpProcessingError as error:
            if not self._begun and inside is None:
                self._enqueue(intake.before_the_error(self, data), data)
            self.refuse(intake.refusal(error, self.max_line_size))
            return
        if messages:
            self._enqueue(messages, data)
            if upgraded:
                self._upgraded, self._message_tail = True, tail
        elif inside is None:
            self._more_of_a_head(data, len(data))
        elif inside.is_eof() and not _ends(data, inside.total_bytes - before):
            self._more_of_a_head(data, 1)

    def _enqueue(self, messages: Sequence[Any], data: bytes) -> None:
        """Requests whose heads are whole."""
        if not messages:
            return
        limits = self.edge.limits
        if len(data) + self._head_bytes > limits.head and intake.too_large(messages, limits.head):
            self.refuse(HeadTooLarge(reason=f"head of more than {limits.head} bytes"))
            return
        alone = len(messages) == 1 and not self._begun and self._inside is None and self._sure
        if self._begun:
            data = bytes(self._begun) + data
            self._begun.clear()
        self._head_bytes = 0
        self._inside = None
        queue: deque[Any] = self._messages
        line = b""
        for message, payload in messages:
            head = Head(self, message)
            line = head.line()
            if not data.startswith(line):
                alone = False
                if intake.spaced(message, line, data):
                    self.refuse(MalformedMessage(reason="more than single spaces in the request line"))
                    return
                data = data[data.find(line) :] if line in data else b""
            data = data[len(line) :]
            queue.append((head, payload, message.path))
        if payload is EMPTY_PAYLOAD or payload.is_eof():
            if message.upgrade:
                # aiohttp stops at the end of a request for a WebSocket only; what follows any other is dropped by it.
                self._upgraded, self._message_tail = True, intake.behind(messages, data)
            elif alone and payload is EMPTY_PAYLOAD and data.find(_END) + len(_END) == len(data):
                self._known = queue[-1][0].remember(data, min(self.max_line_size, limits.head - len(data) - len(line)))
            else:
                self._between(payload, data.partition(_END)[2], count=len(messages))
        else:
            self._inside = payload
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if len(queue) >= self._max_msg_queue_size and not self._buffer_paused:
            self._pause_reading_for_buffer()

    def _between(self, payload: StreamReader, rest: bytes, *, count: int) -> None:
        """The last of ``count`` requests is all here; ``rest`` followed its head, body and all."""
        if payload is EMPTY_PAYLOAD:
            self._more_of_a_head(rest, len(rest) if count == 1 else min(1, len(rest)))
        elif not _ends(rest, payload.total_bytes):
            self._more_of_a_head(rest, 1)  # of what ends a body and begins a head, not all is the head's

    def _more_of_a_head(self, data: bytes, count: int) -> None:
        """Begin, or go on with, a head that is not whole; ``count`` bytes of ``data`` are surely its own."""
        if not data:
            return
        if self._head_bytes == 0 and self._waiter is not None and self._due is not self.edge.head_deadline:
            self._wait_until(self.edge.head_deadline)
        self._head_bytes += count
        self._begun += data
        if self._head_bytes > self.edge.limits.head:
            self.refuse(HeadTooLarge(reason=f"head of more than {self.edge.limits.head} bytes"))

    def refuse(self, error: GatewayError) -> None:
        """What came is not HTTP: the requests before it are answered, then it is, and the connection closes.

        Inside a body there is no such answer to give: whoever reads the body gets the error and answers with it.
        """
        self._broken = True
        self._begun.clear()
        if not self._fail_body(error):
            self._error = error
            waiter = self._waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    def _fail_body(self, error: GatewayError) -> bool:
        payload = self._inside
        if payload is None or payload.is_eof():
            return False
        payload.set_exception(error)
        return True

    def on_deadline(self) -> None:
        """The deadline waited for has passed."""
        raise NotImplementedError

    def _unread(self) -> bool:
        """There is, or will be, something from the client that nobody reads."""
        inside = self._inside
        return bool(self._messages or self._head_bytes or self._message_tail) or (
            inside is not None and not inside.is_eof()
        )

    def _wait_until(self, deadline: Deadlines | None) -> None:
        due, self._due = self._due, deadline
        if due is not None:
            due.discard(self)
        if deadline is not None:
            deadline.add(self)


def _ends(data: bytes, used: int) -> bool:
    """Whether nothing of a next head is in ``data``, in which a body ended; ``used`` bytes of it are the body's."""
    return used == len(data) or data.endswith(_END) or data in (b"\r\n", b"\n")
