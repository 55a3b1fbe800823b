"""A client's connection: aiohttp's request parser and flow control with a loop of our own around them.

This is the one module that relies on parts of aiohttp which are not public API: the attributes of `RequestHandler` that
its own ``start`` and ``data_received`` use. pyproject.toml pins the minor version, and
``tests/gateway/server/test_connection.py`` fails when one of them moves.

Why our own loop: aiohttp makes a task, a writer, a request object and two futures for every request, and answers
malformed ones in HTTP/1.0 with the client's bytes in the answer. Here one task serves a connection, a request is our
`gateway.http.Request`, an answer that is whole goes out in one write, and everything that is refused is refused by the
same catalogue as everywhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, RequestPayloadError

from gateway.errors import ClientClosed, GatewayError, HeadTooLarge, MalformedAnswer, RequestTimeout
from gateway.http import Body, Fields, Request, Response
from gateway.http.peer import Peer
from gateway.server import intake
from gateway.server.answer import CONTINUE, encode_answer, encode_interim
from gateway.server.body import ClientBody
from gateway.server.proxy_protocol import Announced
from gateway.server.sending import received, send
from gateway.server.tunnel import ClientSide, pump
from gateway.services.clock import Deadlines
from gateway.services.ids import request_id

if TYPE_CHECKING:
    from gateway.server.edge import Edge

log = logging.getLogger("gateway.server")

_RESET: Final = struct.pack("ii", 1, 0)
"""For ``SO_LINGER``: close at once, with RST and not with FIN."""
_READ: Final = 64 * 1024
_SMALL: Final = 64 * 1024
"""Bytes of an unread body that are read away so that the connection can be kept."""


class Preface(Protocol):
    """What a connection may begin with before HTTP: the PROXY protocol."""

    def feed(self, connection: ClientConnection, data: bytes) -> bytes | None:
        """What is left after the preface, or None while it is not whole. May refuse or abort the connection."""
        ...


class ClientConnection(RequestHandler):
    """One client connection, from accept to close; serves its requests one after the other."""

    __slots__ = (
        "_asked",
        "_broken",
        "_due",
        "_error",
        "_head_bytes",
        "_head_end",
        "_inside",
        "_switched",
        "_tunnel",
        "announced",
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
        self.announced: Announced | None = None
        """What a balancer said of this connection before TLS began."""
        self.host: str | None = None
        """The last Host that was found valid: a connection seldom asks for another."""
        self._asked = False
        """A request came."""
        self._error: GatewayError | None = None
        self._broken = False
        self._head_bytes = 0
        """Of a head that is not whole yet."""
        self._head_end = b""
        """Its last three bytes: the empty line may be cut."""
        self._inside: StreamReader | None = None
        """The body that the parser is in the middle of, if any."""
        self._due: Deadlines | None = None
        self._tunnel: ClientSide | None = None
        self._switched: Request | None = None
        """What the tunnel began with."""

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

    # -- asyncio and aiohttp -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        edge = self.edge
        self.peer = intake.peer_of(transport, edge)
        if self.announced is not None:
            self.peer = self.announced.peer(self.peer, edge)
        if edge.crowded() or (self.preface is not None and not self.peer.trusted):
            edge.refused_connections += 1
            self._force_close = True
            transport.abort()  # type: ignore[attr-defined]
            return
        edge.connections.add(self)
        edge.accepted += 1
        super().connection_made(transport)
        self._wait_until(edge.head_deadline)
        if self.transport is not None:
            self.transport.set_write_buffer_limits(high=_SMALL)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.edge.left(self)
        self._wait_until(None)
        self._fail_body(ClientClosed(reason="connection lost"))
        if self._tunnel is not None:
            self._tunnel.lost()
        super().connection_lost(exc)

    def eof_received(self) -> bool | None:  # type: ignore[override]  # aiohttp's says nothing, which closes
        """The client sends no more. In HTTP it has left; in a tunnel it may still listen, if its connection can."""
        if self._tunnel is None or self.transport is None or not self.transport.can_write_eof():
            return None
        self._tunnel.feed_eof()
        return True

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what it refuses becomes an error of our catalogue instead of aiohttp's answer."""
        if self._force_close or self._close or self._broken:
            return
        if self._payload_parser is not None or self._upgraded or self._parser is None:
            super().data_received(data)
            return
        if self.preface is not None:
            rest = self.preface.feed(self, data)
            if rest is None:
                return
            self.preface, data = None, rest
        inside = self._inside
        if inside is not None and inside.is_eof():
            inside = self._inside = None
        try:
            messages, upgraded, tail = self._parser.feed_data(data)
        except HttpProcessingError as error:
            if self._head_bytes == 0 and inside is None:
                self._enqueue(intake.before_the_error(self, data), data)
            self.refuse(intake.refusal(error, self.max_line_size))
            return
        if messages:
            message, payload = messages[0]
            if (
                len(messages) > 1
                or payload is not EMPTY_PAYLOAD
                or message.upgrade
                or self._head_bytes
                or len(data) > self.edge.limits.head
            ):
                self._enqueue(messages, data)
                if upgraded:
                    self._upgraded, self._message_tail = True, tail
                return
            # One request, without a body and all in one piece: nearly every time.
            self._inside = None
            queue = self._messages
            queue.append(messages[0])
            waiter = self._waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
            if len(queue) >= self._max_msg_queue_size and not self._buffer_paused:
                self._pause_reading_for_buffer()
        elif data and (inside is None or inside.is_eof()):
            self._more_of_a_head(data, begins=inside is not None)

    def _enqueue(self, messages: Sequence[Any], data: bytes) -> None:
        """Requests whose heads are whole."""
        if not messages:
            return
        if len(data) + self._head_bytes > self.edge.limits.head and intake.too_large(messages, self.edge.limits.head):
            self.refuse(HeadTooLarge(reason=f"head of more than {self.edge.limits.head} bytes"))
            return
        message, payload = messages[-1]
        self._inside = None if payload is EMPTY_PAYLOAD or payload.is_eof() else payload
        if message.upgrade and self._inside is None:
            # aiohttp stops at the end of a request for a WebSocket only; what follows any other is dropped by it.
            self._upgraded, self._message_tail = True, intake.behind(messages, self._head_end + data)
        self._head_bytes, self._head_end = 0, b""
        self._messages.extend(messages)
        self._wake()
        if len(self._messages) >= self._max_msg_queue_size and not self._buffer_paused:
            self._pause_reading_for_buffer()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _more_of_a_head(self, data: bytes, *, begins: bool) -> None:
        if self._head_bytes == 0 and self._waiter is not None and self._due is not self.edge.head_deadline:
            self._wait_until(self.edge.head_deadline)
        # Of bytes that end a body and begin a head it is not known how many are the head's.
        self._head_bytes += 1 if begins else len(data)
        self._head_end = (self._head_end + data)[-3:]
        if self._head_bytes > self.edge.limits.head:
            self.refuse(HeadTooLarge(reason=f"head of more than {self.edge.limits.head} bytes"))

    def refuse(self, error: GatewayError) -> None:
        """What came is not HTTP: the requests before it are answered, then it is, and the connection closes.

        Inside a body there is no such answer to give: whoever reads the body gets the error and answers with it.
        """
        self._broken = True
        if not self._fail_body(error):
            self._error = error
            self._wake()

    def _fail_body(self, error: GatewayError) -> bool:
        payload = self._inside
        if payload is None or payload.is_eof():
            return False
        payload.set_exception(error)
        return True

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

    def on_deadline(self) -> None:
        """Idle for too long, a head that does not end, or a client that does not read."""
        self._due = None
        if self._waiter is None:
            self.abort()  # an answer is under way, or all is said and the client does not take it
        elif self._head_bytes == 0:
            self.close()  # idle, or connected and said nothing: nobody is there to read an answer
        else:
            self.refuse(RequestTimeout(reason="the head did not end in time"))

    def drain(self) -> None:
        """The gateway is leaving: close now if idle, else after the answer under way."""
        if self._tunnel is not None:
            self._tunnel.leave()
        elif self._waiter is not None and not self._messages and self._head_bytes == 0:
            if self._asked or self.preface is not None:
                self.close()
            else:
                self._wait_until(self.edge.fresh_deadline)

    def dismiss(self, lets_stay: Callable[[Request], bool]) -> None:
        """The gateway was reloaded: a tunnel that may not stay ends."""
        if self._tunnel is not None and self._switched is not None and not lets_stay(self._switched):
            self._tunnel.leave()

    def abort(self) -> None:
        """Cut the connection with a reset: the one sign of a cut body that every client understands.

        Without it the system would end the stream in good order, which is how a body without a length ends well.
        """
        self._force_close = True
        transport = self.transport
        if transport is not None:
            sock = transport.get_extra_info("socket")
            if sock is not None:
                with contextlib.suppress(OSError):  # gone already
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            transport.abort()

    def turn_away(self) -> None:
        """Cut a connection that may not speak here, or does not speak what it should."""
        self.edge.refused_connections += 1
        self.abort()

    def interim(self, status: int, fields: Fields) -> None:
        """Send an interim answer (RFC 9110 §15.2)."""
        if self.transport is not None:
            self.transport.write(CONTINUE if status == 100 else encode_interim(status, fields))

    # -- one connection's life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Serve requests until the connection is to be closed."""
        try:
            while not self._force_close and (self._messages or await self._next()):
                message, payload = self._messages.popleft()
                if self._due is not None:  # the head came before this task began to wait for it
                    self._wait_until(None)
                if self._parser is not None:
                    self._parser.message_consumed()
                if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
                    self._resume_reading_if_drained()
                if not await self._serve(message, payload):
                    return
            if self._error is not None and self.transport is not None:
                await self._answer_refusal(self._error)
        except ConnectionError:
            self.abort()
        except asyncio.CancelledError:
            self.abort()
            raise
        except Exception:
            log.exception("unhandled error in the server")
            self.abort()
        finally:
            self._task_handler = None
            if self.transport is not None:
                self._wait_until(self.edge.send_deadline)  # until connection_lost: what is written must be taken
                self.transport.close()

    async def _next(self) -> bool:
        """Wait for a request; False when none will come."""
        if self._broken or self._close:
            return False
        waiter = self._waiter = self._loop.create_future()
        if self._due is None:
            edge = self.edge
            deadline = self._due = edge.head_deadline if self._head_bytes else edge.keep_alive_deadline
            deadline.add(self)
        try:
            await waiter
        except asyncio.CancelledError:
            if self._told_to_close():  # aiohttp's way to wake this up
                return False
            raise
        finally:
            self._waiter = None
            due = self._due
            if due is not None:
                self._due = None
                due.discard(self)
        return bool(self._messages)

    def _told_to_close(self) -> bool:
        return self._close or self._force_close

    async def _serve(self, message: Any, payload: StreamReader) -> bool:
        """Serve one request; False if the connection is to be closed after it."""
        edge, source = self.edge, None
        self._asked = True
        if payload is EMPTY_PAYLOAD:
            body = Body()
        elif payload.is_eof():
            body = Body(payload.read_nowait())
        else:
            expects = "Expect" in message.headers and message.version == (1, 1)  # RFC 9110 §10.1.1
            source = ClientBody(self, payload, expects=expects)
            body = Body(None, source, None if message.chunked else int(message.headers["Content-Length"]))
        runtime = edge.runtime
        request, objection = intake.request_of(self, message, body)
        response: Response | None = None
        try:
            if objection is None:
                response = await runtime.handle(request)
            else:
                response = runtime.refuse(objection, request)
        finally:
            if response is None:  # the client left before it had an answer
                edge.finish(request, None, sent=0, received=received(source, body), aborted=True)
        if response.tunnel is not None:
            if request.upgrade:
                await self._switch(request, response)
                return False
            response.tunnel.close()
            response = runtime.refuse(MalformedAnswer(reason="101 that nobody asked for"), request)
        closing = (
            message.should_close
            or edge.draining
            or objection is not None
            or (request.version == 10 and response.body.length is None)
            or (response.error is not None and response.error.closes)
            or (source is not None and not payload.is_eof() and not _worth_reading(source, body))
        )
        if not await send(self, request, response, source, closing=closing):
            return False
        if self._upgraded and not closing:
            self._stay()
        if source is not None and not payload.is_eof() and (closing or not await self._read_away(source)):
            closing = True
        if closing and (objection is not None or self._unread()):
            await self._linger()
        return not closing

    def _stay(self) -> None:
        """The protocol switch that the client asked for was declined: what follows is HTTP."""
        parser, tail = self._parser, self._message_tail
        if parser is None or self._messages:
            return
        parser.set_upgraded(False)
        self._upgraded, self._message_tail = False, b""
        if tail:
            self.data_received(tail)
        if self._buffer_paused:
            self._resume_reading_if_drained()

    def write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    async def drained(self) -> None:
        """Wait until the client has read what was written, but not for ever."""
        self._wait_until(self.edge.send_deadline)
        try:
            await self._drain_helper()
        finally:
            self._wait_until(None)

    async def _answer_refusal(self, error: GatewayError) -> None:
        """Answer what was no request (RFC 9112 §2.2, §3): nothing the client sent is in the answer."""
        request = Request("-", "-", client_ip=self.peer.address, received=monotonic(), id=request_id())
        request.peer = self.peer
        await send(self, request, self.edge.runtime.refuse(error, request), None, closing=True)
        await self._linger()

    async def _read_away(self, source: ClientBody) -> bool:
        """Read what is left of a small body nobody wanted; True if the next request can follow."""
        await asyncio.sleep(0)  # whoever forwarded it has stopped reading by then
        try:
            while await source.read():
                pass
        except GatewayError:
            return False
        return True

    async def _linger(self) -> None:
        """Let the client read its answer before the connection goes: closing with unread bytes would reset it."""
        self._broken = True
        transport = self.transport
        if transport is None:
            return
        if transport.can_write_eof():
            transport.write_eof()
        self._resume_transport_reading()
        await asyncio.sleep(self.edge.limits.linger)

    async def _switch(self, request: Request, response: Response) -> None:
        """Hand both connections to a tunnel until one side ends it."""
        tunnel, transport = response.tunnel, self.transport
        assert tunnel is not None
        if transport is None:
            tunnel.close()
        else:
            self.write(encode_answer(request, response, self.edge, False, True))
            side = self._tunnel = ClientSide(transport, self._drained_now, websocket=request.upgrade == "websocket")
            self._switched = request
            self.set_parser(side)  # type: ignore[arg-type]  # it wants what ClientSide offers: feed_data and feed_eof
            if self.edge.draining:
                side.leave()
            try:
                await pump(side, tunnel)
            finally:
                self._tunnel = None
                tunnel.close()
                self.edge.finish(request, response, sent=side.sent, received=side.received, aborted=False)

    async def _drained_now(self) -> None:
        if self.writing_paused:
            await self.drained()


class EdgeServer(web.Server):
    """aiohttp's low-level server, making connections of our kind."""

    def __init__(self, edge: Edge, preface: Any = None) -> None:
        super().__init__(_unused, handler_cancellation=True)  # type: ignore[arg-type]
        self.edge = edge
        self._preface = preface

    def __call__(self) -> ClientConnection:
        return ClientConnection(self, self._loop, self._preface() if self._preface is not None else None)


async def _unused(_request: object) -> None:
    raise AssertionError("ClientConnection.start serves requests itself")


def _worth_reading(source: ClientBody, body: Body) -> bool:
    return not source.awaits_continue and body.length is not None and body.length <= _SMALL
