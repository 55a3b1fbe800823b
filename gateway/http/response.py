"""A response as plugins see it, and the exchange that it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from multidict import CIMultiDict

from gateway.errors import GatewayError
from gateway.http.body import Body
from gateway.http.message import Fields, Message, split_lines
from gateway.http.request import Request


class Tunnel(Protocol):
    """The target's side of a connection that has switched protocols (101): raw bytes both ways."""

    @property
    def gone(self) -> bool:
        """The connection is lost, as opposed to closed for sending by the target."""
        ...

    async def read(self) -> bytes:
        """The next bytes from the target; ``b""`` when it has closed its side."""
        ...

    def wake(self) -> None:
        """Have the `read` that waits, or else the next that would wait, return ``b""`` though nothing has ended.

        For a plugin around the tunnel that has something to say to the client while the target is silent.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Send to the target, waiting while it does not keep up."""
        ...

    def end(self) -> None:
        """Tell the target that nothing more will be sent, if its connection can say so; it may still answer."""
        ...

    def close(self) -> None:
        """Idempotent."""
        ...


class Response(Message):
    """A response on its way up the chain."""

    __slots__ = ("dated", "error", "lines", "reason", "status", "tunnel")

    def __init__(
        self,
        status: int,
        *,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        fields: Fields = (),
        lines: list[bytes] | None = None,
        body: Body | bytes | None = None,
        reason: bytes = b"",
    ) -> None:
        self.status = status
        self.reason = reason
        """As the target wrote it, or empty for the standard one."""
        self._fields = fields
        self.lines = lines
        """In place of ``fields``: in wire form, ``Name: value``, what a target sent and nobody has changed."""
        self._edited = CIMultiDict(headers) if headers is not None else None
        self._view = self._edited
        self.body = body if isinstance(body, Body) else Body(body or b"")
        self.error: GatewayError | None = None
        """Set on a refusal or failure that the gateway answers itself (DESIGN: a refusal is a response)."""
        self.dated = False
        """The target wrote a ``Date``."""
        self.tunnel: Tunnel | None = None
        """Set with a 101: both sides speak another protocol from here on."""

    def _raw(self) -> Fields:
        if self.lines is not None:
            self._fields = split_lines(self.lines)
            self.lines = None
        return self._fields


class Exchange:
    """One request with its response, after the end."""

    __slots__ = ("aborted", "duration", "error", "received_bytes", "request", "response", "sent_bytes", "status")

    def __init__(
        self,
        request: Request,
        response: Response | None,
        status: int,
        duration: float,
        sent_bytes: int = 0,
        received_bytes: int = 0,
        aborted: bool = False,
        error: GatewayError | None = None,
    ) -> None:
        self.request = request
        self.response = response
        self.status = status
        """What the client got, or 499 if it left before the head."""
        self.duration = duration
        """Seconds from the whole head of the request to the last byte of the answer."""
        self.sent_bytes = sent_bytes
        self.received_bytes = received_bytes
        self.aborted = aborted
        """The answer's body was cut short."""
        self.error = error


Handler = Callable[[Request], Awaitable[Response]]
