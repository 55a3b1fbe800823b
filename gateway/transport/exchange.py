"""One request sent over one connection, and its answer's head awaited."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import GatewayError, InternalError, UpstreamReset
from gateway.http import Body, Request, Response
from gateway.transport.connection import Answer, Connection
from gateway.transport.head import encode_head
from gateway.transport.pool import Pool

if TYPE_CHECKING:
    from gateway.services.clock import Deadlines

log = logging.getLogger("gateway.transport")


@dataclass(frozen=True, slots=True)
class Timing:
    """The deadlines of an exchange; one timer serves all exchanges that share a duration."""

    head: Deadlines
    """From the last byte of the request to the head of the answer."""
    idle: Deadlines | None
    """Between two reads of the answer's body, and between two writes of the request's."""


async def send(pool: Pool, request: Request, target: str, host: bytes, timing: Timing) -> Response:
    """Send ``request`` and return the answer, its body whole or streaming.

    ``target`` is path and query in wire form, ``host`` what Host says (empty: what the client said). Raises what
    `Pool.acquire` raises before anything is sent; after that UpstreamReset, ConnectionReused, MalformedAnswer or
    FirstByteTimeout, or what the client's own body raises. Cancellation drops the connection.
    """
    head = encode_head(request, target, host)
    connection = pool.take() or await pool.acquire()
    answer = Answer(connection, head_only=request.method == "HEAD", idle=timing.idle, inform=request.inform)
    whole = request.body.whole
    if whole is None:
        await _send_stream(connection, answer, head, request, timing)
    else:
        deadline = timing.head
        arrived = connection.start(answer, head + whole if whole else head, sent=True)
        deadline.add(connection)
        try:
            await arrived
        except BaseException:
            connection.close()
            raise
        finally:
            deadline.discard(connection)
    response = answer.response()
    if connection.tunnel is not None:
        response.tunnel = connection.tunnel
    return response


async def _send_stream(connection: Connection, answer: Answer, head: bytes, request: Request, timing: Timing) -> None:
    arrived = connection.start(answer, head, sent=False)
    upload = connection.loop.create_task(_upload(connection, request.body, timing))
    try:
        await arrived
    except BaseException:
        connection.close()
        upload.cancel()
        raise
    finally:
        timing.head.discard(connection)
    if not upload.done():
        # Both directions stream at once; what is left of the upload ends with the exchange.
        request.when_done(lambda _exchange: _stop(upload))


def _stop(upload: asyncio.Task[None]) -> None:
    upload.cancel()


async def _upload(connection: Connection, body: Body, timing: Timing) -> None:
    """Send a body as it comes, chunked if its length is not known (RFC 9112 §7.1)."""
    chunked = body.length is None
    try:
        async for chunk in body:
            await connection.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
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
    if not connection.lost:
        timing.head.add(connection)
        connection.sent()
