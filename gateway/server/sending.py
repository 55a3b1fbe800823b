"""An answer on its way to the client: in one write if it is whole, else as it comes, with back-pressure."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from gateway.errors import ClientClosed, GatewayError, TruncatedAnswer
from gateway.http import Body, Request, Response
from gateway.server.answer import encode_answer, without_body

if TYPE_CHECKING:
    from gateway.server.body import ClientBody
    from gateway.server.connection import ClientConnection

log = logging.getLogger("gateway.server")

_UNSENT: Final = 32 * 1024
"""Bytes of a stream that may wait for the client in user space, beside a chunk; the kernel's buffer comes on top."""
_ONE_WRITE: Final = 64 * 1024
"""Bytes up to which copying head and body together costs less than a second write."""


async def send(
    connection: ClientConnection, request: Request, response: Response, source: ClientBody | None, *, closing: bool
) -> bool:
    """Send an answer and end the exchange. False if the connection was cut on the way."""
    edge, body = connection.edge, response.body
    whole = body.whole
    head_only = request.method == "HEAD"
    bodiless = head_only or without_body(response.status)
    try:
        head = encode_answer(request, response, edge, closing, bodiless)
    except GatewayError as error:  # a plugin made a field that cannot be sent
        body.close()
        response = edge.runtime.refuse(error, request)
        body, whole = response.body, response.body.whole
        bodiless = head_only or without_body(response.status)
        head = encode_answer(request, response, edge, closing, bodiless)
    sent, complete = 0, True
    try:
        if bodiless:
            body.close()
            connection.write(head)
        elif whole is not None:
            sent = len(whole)
            if sent < _ONE_WRITE:
                connection.write(head + whole)
            else:
                connection.write(head)
                connection.write(whole)
            if connection.writing_paused:
                await connection.drained()
        else:
            connection.write(head)
            chunked = body.length is None and request.version != 10
            complete, sent = await _send_stream(connection, request, body, chunked=chunked)
    finally:
        aborted = not complete or connection.transport is None
        if aborted:
            body.close()
        edge.finish(request, response, sent, received(source, request.body), aborted)
    return complete


async def _send_stream(
    connection: ClientConnection, request: Request, body: Body, *, chunked: bool
) -> tuple[bool, int]:
    """Send a body as it comes. (False, bytes) if it broke off: then the connection is cut, never ended cleanly."""
    sent, declared = 0, body.length
    transport = connection.transport
    if transport is None:
        return False, 0
    transport.set_write_buffer_limits(high=_UNSENT)
    try:
        while chunk := await body.pull():
            sent += len(chunk)
            if declared is not None and sent > declared:
                raise TruncatedAnswer(reason="more bytes than declared")
            if chunked:
                transport.writelines((b"%x\r\n" % len(chunk), chunk, b"\r\n"))
            else:
                transport.write(chunk)
            if connection.writing_paused:
                await connection.drained()
        if declared is not None and sent != declared:
            raise TruncatedAnswer(reason="fewer bytes than declared")
        if chunked:
            transport.write(_last_chunk(body))
    except GatewayError as error:
        request.error = error
        connection.abort()
        return False, sent
    except ConnectionError:
        return False, sent
    except asyncio.CancelledError:
        request.error = ClientClosed(reason="left while the answer was sent")
        body.close()
        raise
    except Exception:
        log.exception("unhandled error in the body of exchange %s", request.id)
        connection.abort()
        return False, sent
    return True, sent


def received(source: ClientBody | None, body: Body) -> int:
    """Bytes of the request's body that came."""
    return source.received if source is not None else len(body.whole or b"")


def _last_chunk(body: Body) -> bytes:
    trailers = body.trailers
    if not trailers:
        return b"0\r\n\r\n"
    lines = "".join(f"{name}: {value}\r\n" for name, value in trailers.items())
    return b"0\r\n" + lines.encode("utf-8", "surrogateescape") + b"\r\n"
