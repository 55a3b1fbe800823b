"""The client's body as a source: aiohttp's stream with our deadline, and ``100 Continue`` at the first pull."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from aiohttp import StreamReader
from aiohttp.web_protocol import RequestPayloadError
from multidict import MultiMapping

from gateway.errors import ClientClosed, GatewayError, MalformedMessage, RequestTimeout

if TYPE_CHECKING:
    from gateway.server.connection import ClientConnection

GRACE: Final = 5.0
"""Seconds of waiting after which a body's rate is looked at."""


class ClientBody:
    """Pulled by whoever forwards or holds the request's body."""

    __slots__ = ("_connection", "_expects", "_payload", "_waited", "received")

    trailers: MultiMapping[str] | None = None
    """aiohttp's parser drops a request's trailers (RFC 9112 §7.1.2 lets a recipient do so)."""

    def __init__(self, connection: ClientConnection, payload: StreamReader, *, expects: bool) -> None:
        self._connection = connection
        self._payload = payload
        self._expects = expects
        self._waited = 0.0
        """Seconds in which this waited for the client; while a target does not keep up the client is not at fault."""
        self.received = 0

    @property
    def awaits_continue(self) -> bool:
        """The client asked to be told before it sends, and was not: it may never send."""
        return self._expects

    async def read(self) -> bytes:
        """The next bytes; ``b""`` at the end. Raises ClientClosed, MalformedMessage or RequestTimeout."""
        payload = self._payload
        if self._expects:
            self._expects = False
            if not payload.total_bytes:
                self._connection.interim(100, ())
        edge = self._connection.edge
        deadline = edge.body_deadline
        deadline.add(self)
        began = monotonic()
        try:
            chunk = await payload.readany()
        except GatewayError:
            raise
        except RequestPayloadError as error:
            raise MalformedMessage(reason=str(error)) from None
        except (ConnectionError, RuntimeError) as error:
            raise ClientClosed(reason=str(error)) from None
        finally:
            deadline.discard(self)
        self.received += len(chunk)
        waited = self._waited = self._waited + monotonic() - began
        if waited > GRACE and chunk and self.received < waited * edge.limits.body_rate:
            raise RequestTimeout(reason="the body came too slowly")
        return chunk

    def on_deadline(self) -> None:
        """The client stopped in the middle of its body."""
        self._payload.set_exception(RequestTimeout(reason="the body stood still"))

    def close(self) -> None:
        """What was not read is dealt with by the connection, which knows whether it may be used again."""
