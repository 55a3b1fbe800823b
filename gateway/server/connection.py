"""A client's connection: aiohttp's request parser and flow control with a loop of our own around them.

Why our own loop: aiohttp makes a task, a writer, a request object and two futures for every request, and answers
malformed ones in HTTP/1.0 with the client's bytes in the answer. Here one task serves a connection, a request is our
`gateway.http.Request`, an answer that is whole goes out in one write, and everything that is refused is refused by the
same catalogue as everywhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import socket
import struct
import sys
import termios
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from aiohttp import StreamReader, web
from aiohttp.streams import EMPTY_PAYLOAD

from gateway.errors import ClientClosed, GatewayError, MalformedAnswer, RequestTimeout
from gateway.http import Body, Fields, Request, Response
from gateway.server.answer import CONTINUE, encode_answer, encode_interim
from gateway.server.body import ClientBody
from gateway.server.edge import Edge
from gateway.server.intake import Head, peer_of, request_of
from gateway.server.proxy_protocol import Announced
from gateway.server.receiving import Preface, Receiver
from gateway.server.sending import received, send
from gateway.server.tunnel import ClientSide, pump
from gateway.services.ids import request_id

log = logging.getLogger("gateway.server")

_RESET: Final = struct.pack("ii", 1, 0)
"""For ``SO_LINGER``: close at once, with RST and not with FIN."""
_SMALL: Final = 64 * 1024
"""Bytes of an unread body that are read away so that the connection can be kept."""


class ClientConnection(Receiver):
    """One client connection, from accept to close; serves its requests one after the other."""

    __slots__ = ("_asked", "_left", "_switched", "_tunnel", "announced")

    def __init__(self, manager: EdgeServer, loop: asyncio.AbstractEventLoop, preface: Preface | None) -> None:
        super().__init__(manager, loop, preface)
        self.announced: Announced | None = None
        """What a balancer said of this connection before TLS began."""
        self._asked = False
        """A request came."""
        self._left: int | None = None
        """Bytes that the client had not taken at the last look; None before the first."""
        self._tunnel: ClientSide | None = None
        self._switched: Request | None = None
        """What the tunnel began with."""

    # -- asyncio and aiohttp -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        edge = self.edge
        self.peer = peer_of(transport, edge)
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

    def on_deadline(self) -> None:
        """Idle for too long, a head that does not end, or a client that does not read."""
        self._due = None
        if self._waiter is None:
            self._look_at_sending()
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
        messages: deque[Any] = self._messages
        try:
            while not self._force_close:
                if not messages:
                    if self._broken or self._close:
                        break
                    waiter = self._begin_to_wait()
                    try:
                        await waiter
                    except asyncio.CancelledError:
                        if not self._told_to_close():
                            raise
                    finally:
                        self._waiter = None
                        if self._due is not None:
                            self._wait_until(None)
                    if not messages:
                        break
                head, payload, target = messages.popleft()
                if self._due is not None:  # the head came before this task began to wait for it
                    self._wait_until(None)
                if self._parser is not None:
                    self._parser.message_consumed()
                if self._buffer_paused and len(messages) <= self._msg_queue_resume_size:
                    self._resume_reading_if_drained()
                if not await self._serve(head, payload, target):
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
                self._left = None
                self._wait_until(self.edge.send_deadline)  # until connection_lost: what is written must be taken
                self.transport.close()

    def _begin_to_wait(self) -> asyncio.Future[None]:
        """For the next request; a deadline is kept from here to its head."""
        waiter = self._waiter = self._loop.create_future()
        if self._due is None:
            edge = self.edge
            deadline = self._due = edge.head_deadline if self._head_bytes else edge.keep_alive_deadline
            deadline.add(self)
        return waiter

    def _told_to_close(self) -> bool:
        return self._close or self._force_close  # aiohttp's way to end the wait is to cancel it

    async def _serve(self, head: Head, payload: StreamReader, target: str) -> bool:
        """Serve one request; False if the connection is to be closed after it."""
        edge, source = self.edge, None
        self._asked = True
        if payload is EMPTY_PAYLOAD:
            body = Body()
        elif payload.is_eof():
            body = Body(payload.read_nowait())
        else:
            source, body = self._streamed(head, payload)
        runtime = edge.runtime
        request, objection = request_of(self, head, target, body)
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
            head.closes
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

    def _streamed(self, head: Head, payload: StreamReader) -> tuple[ClientBody, Body]:
        message = head.message
        source = ClientBody(self, payload, expects=head.modern and "Expect" in message.headers)  # RFC 9110 §10.1.1
        return source, Body(None, source, None if message.chunked else int(message.headers["Content-Length"]))

    def _stay(self) -> None:
        """The protocol switch that the client asked for was declined: what follows is HTTP."""
        parser, tail = self._parser, self._message_tail
        if parser is None or self._messages:
            return
        parser.set_upgraded(False)
        self._sure = False
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
        self._left = None
        self._wait_until(self.edge.send_deadline)
        try:
            await self._drain_helper()
        finally:
            self._wait_until(None)

    def _look_at_sending(self) -> None:
        """An answer is under way, or all is said: has the client taken of it what it must since the last look?"""
        transport, limits = self.transport, self.edge.limits
        if transport is None:
            return
        left = transport.get_write_buffer_size() + _queued(transport.get_extra_info("socket"))
        before, self._left = self._left, left
        least = 1.0 if self._tunnel is not None else max(1.0, limits.send_rate * limits.send_idle / 2)
        if before is None or before - left >= least:
            self._wait_until(self.edge.send_deadline)
        else:
            self.abort()

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


def _queued(sock: Any) -> int:
    """Bytes that were given to the system and that the other side has not acknowledged."""
    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except (OSError, AttributeError):  # gone already
        return 0


def _worth_reading(source: ClientBody, body: Body) -> bool:
    return not source.awaits_continue and body.length is not None and body.length <= _SMALL
