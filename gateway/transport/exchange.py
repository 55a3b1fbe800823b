"""One request sent over one connection, and its answer's head awaited."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from gateway.errors import GatewayError, InternalError, MalformedAnswer, StreamIdle, UpstreamReset
from gateway.http import Body, Request, Response
from gateway.http.spent import Spent
from gateway.transport.answer import Answer
from gateway.transport.connection import Connection
from gateway.transport.head import encode_head
from gateway.transport.pool import Pool

if TYPE_CHECKING:
    from gateway.services.clock import Deadlines

log = logging.getLogger("gateway.transport")


@dataclass(frozen=True, slots=True)
class Timing:
    """The deadlines of an exchange; one timer serves all exchanges that share a duration."""

    head: Deadlines | None
    """From the last byte of the request to the head of the answer."""
    idle: Deadlines | None
    """Between two reads of the answer's body, and between two writes of the request's."""
    connect: float | None = None
    """Seconds to connect, instead of the pool's own."""


async def send(
    pool: Pool, request: Request, target: str, host: bytes, timing: Timing, *, fresh: bool = False
) -> Response:
    """Send ``request`` and return the answer, its body whole or streaming.

    ``target`` is path and query in wire form, ``host`` what Host says (empty: what the client said). Raises what
    `Pool.acquire` raises before anything is sent; after that UpstreamReset, ConnectionReused, MalformedAnswer or
    FirstByteTimeout, or what the client's own body raises. Cancellation drops the connection. ``fresh`` asks for a
    new connection.
    """
    head = encode_head(request, target, host)
    connection = None if fresh else pool.take()
    if connection is None:
        connection = await pool.acquire(timing.connect, fresh=fresh, spent=request.spent)
    head_only = request.method == "HEAD"
    whole = request.body.whole
    if whole is None:
        arrived = connection.start(head, sent=False, head_only=head_only, idle=timing.idle, inform=request.inform)
        answer = await _send_stream(connection, arrived, request, timing)
    else:
        deadline = timing.head
        arrived = connection.start(
            head + whole if whole else head, sent=True, head_only=head_only, idle=timing.idle, inform=request.inform
        )
        if deadline is not None:
            deadline.add(connection)
        try:
            answer = await arrived
        except BaseException:
            _give_up(connection, arrived)
            raise
        finally:
            if deadline is not None:
                deadline.discard(connection)
    if isinstance(answer, Response):
        return answer
    response = answer.response()
    if response.tunnel is not None and not request.upgrade:
        response.tunnel.close()
        raise MalformedAnswer(reason="101 that nobody asked for")
    return response


def _give_up(connection: Connection, arrived: asyncio.Future[Response | Answer]) -> None:
    """Nobody waits for the answer. If it came in the same moment, another exchange may have the connection by now."""
    if arrived.done() and not arrived.cancelled() and arrived.exception() is None:
        answer = arrived.result()
        if isinstance(answer, Answer):
            answer.close()
    else:
        connection.close()


async def _send_stream(
    connection: Connection, arrived: asyncio.Future[Response | Answer], request: Request, timing: Timing
) -> Response | Answer:
    upload = connection.loop.create_task(_upload(connection, request.body, timing, request.spent))
    try:
        answer = await arrived
    except BaseException:
        _give_up(connection, arrived)
        upload.cancel()
        raise
    finally:
        if timing.head is not None:
            timing.head.discard(connection)
    if not upload.done():
        # Both directions stream at once; what is left of the upload ends with the exchange.
        request.when_done(lambda _exchange: _stop(upload))
    return answer


def _stop(upload: asyncio.Task[None]) -> None:
    upload.cancel()


class _Stalled:
    """Waits with the upload: the target reads no more of it."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def on_deadline(self) -> None:
        self._connection.fail(StreamIdle(reason="the target took no byte of the request's body in time"))


async def _upload(connection: Connection, body: Body, timing: Timing, spent: Spent | None) -> None:
    """Send a body as it comes, chunked if its length is not known (RFC 9112 §7.1)."""
    chunked = body.length is None
    began = monotonic()
    stalled = _Stalled(connection)
    try:
        async for chunk in body:
            if timing.idle is not None:
                timing.idle.add(stalled)
            try:
                await connection.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
            finally:
                if timing.idle is not None:
                    timing.idle.discard(stalled)
        if chunked:
            trailers = body.trailers
            lines = "".join(f"{name}: {value}\r\n" for name, value in trailers.items()) if trailers else ""
            await connection.write(b"0\r\n" + lines.encode("utf-8", "surrogateescape") + b"\r\n")
    except UpstreamReset:
        return  # connection_lost tells whoever waits, with an answer that came before it if there is one
    except GatewayError as error:
        connection.fail(error)  # the client's own body is at fault, and says how
        return
    except Exception as bug:
        log.exception("unhandled error in the request body")
        connection.fail(InternalError(reason=type(bug).__name__))
        return
    if spent is not None and connection.unanswered:  # else the target's own time goes on beside it
        spent.upload += monotonic() - began
    if not connection.lost:
        if timing.head is not None and connection.unanswered:  # else nobody would take it out again
            timing.head.add(connection)
        connection.sent()
