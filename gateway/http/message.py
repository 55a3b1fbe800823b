"""Request and response as plugins see them.

Header fields arrive as raw pairs and leave as raw pairs; most exchanges never need more. ``headers`` is a view to read,
made when first asked for; `Message.edit_headers` gives a copy to change, which is then what is sent. Reading costs a
dictionary look-up in C, and nobody pays for a copy that no plugin wanted.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol

from multidict import CIMultiDict, MultiMapping

from gateway.errors import GatewayError, InternalError
from gateway.http.body import Body
from gateway.http.fields import named_by_connection

log = logging.getLogger("gateway.http")

Fields = Sequence[tuple[bytes, bytes]]
"""Header fields as on the wire: names in the sender's case, order and repetitions kept."""

NO_CLAIMS: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Principal:
    """Who the caller is, as an authenticator found."""

    id: str
    tenant: str | None = None
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    rate_class: str | None = None
    claims: Mapping[str, Any] = field(default_factory=lambda: NO_CLAIMS, hash=False)


class Route:
    """What an exchange knows of the route it took; the runtime's own routes derive from it."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def leave(self, exchange: Exchange) -> None:
        """An exchange on it has ended."""


class Attempt:
    """One try at one target, seen by the plugins of the attempt chain."""

    __slots__ = ("deadline", "number", "target", "upstream")

    def __init__(self, upstream: str, target: str, number: int, deadline: float) -> None:
        self.upstream = upstream
        self.target = target
        self.number = number
        """1 for the first."""
        self.deadline = deadline
        """On the clock of `gateway.services.clock.Clock.now`, seconds."""


class Tunnel(Protocol):
    """The target's side of a connection that has switched protocols (101): raw bytes both ways."""

    @property
    def gone(self) -> bool:
        """The connection is lost, as opposed to closed for sending by the target."""
        ...

    async def read(self) -> bytes:
        """The next bytes from the target; ``b""`` when it has closed its side."""
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


def decode(fields: Fields) -> CIMultiDict[str]:
    """Raw fields as text. Bytes that are not UTF-8 survive the way back (surrogateescape)."""
    return CIMultiDict(
        [(name.decode("ascii", "surrogateescape"), value.decode("utf-8", "surrogateescape")) for name, value in fields]
    )


def encode(headers: MultiMapping[str]) -> list[tuple[bytes, bytes]]:
    """The reverse of `decode`. Raises InternalError where a value would split the message (RFC 9110 §5.5)."""
    fields = []
    for name, value in headers.items():
        bad = "\n" in value or "\r" in value or "\0" in value
        if bad or not name or not name.isascii() or not name.isprintable() or ":" in name or " " in name:
            raise InternalError(reason=f"a plugin set a header field {name!r} that cannot be sent")
        fields.append((name.encode(), value.encode("utf-8", "surrogateescape")))
    return fields


def split_lines(lines: Sequence[bytes]) -> Fields:
    """Fields out of lines in wire form, ``Name: value``."""
    return [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]


class Message:
    """What requests and responses share: header fields and a body."""

    __slots__ = ("_edited", "_fields", "_view", "body")

    _fields: Fields
    _view: MultiMapping[str] | None
    _edited: CIMultiDict[str] | None
    body: Body

    @property
    def headers(self) -> MultiMapping[str]:
        """The header fields, to read. Names compare without case; `getall` for repeated ones."""
        view = self._view
        if view is None:
            view = self._view = decode(self._raw())
        return view

    def edit_headers(self) -> CIMultiDict[str]:
        """The header fields, to change: from now on these are what is sent and what ``headers`` shows."""
        edited = self._edited
        if edited is None:
            edited = self._edited = decode(self._raw())
            self._view = edited
        return edited

    def drop(self, *names: str) -> None:
        """Take fields out, names in lower case: at a third of what `edit_headers` costs."""
        edited = self._edited
        if edited is not None:
            for name in names:
                edited.popall(name, None)
            return
        raw = [name.encode() for name in names]
        # A tuple as the server's: the transport recognises the fields of a connection's last request.
        self._fields = tuple([field for field in self._raw() if field[0].lower() not in raw])
        if self._view is not None:
            view = CIMultiDict(self._view)
            for name in names:
                view.popall(name, None)
            self._view = view

    def _raw(self) -> Fields:
        """The fields as they came."""
        return self._fields

    @property
    def edited(self) -> bool:
        """Somebody asked for the header fields to change them."""
        return self._edited is not None

    @property
    def fields(self) -> Fields:
        """The header fields as they go on the wire. Raises InternalError if an edited one cannot be sent."""
        return self._raw() if self._edited is None else encode(self._edited)


class Request(Message):
    """A request on its way down the chain.

    ``path`` is in normal form (`gateway.route.path`), without the query; ``query`` is raw, without ``?``. ``host`` is
    the authority the client asked for. ``client_ip`` is the address behind the trusted proxies.
    """

    __slots__ = (
        "_done",
        "answer",
        "attempt",
        "attempts",
        "client_ip",
        "detached",
        "error",
        "extras",
        "host",
        "id",
        "inform",
        "method",
        "path",
        "path_params",
        "peer",
        "principal",
        "query",
        "received",
        "route",
        "scheme",
        "target",
        "tenant",
        "trace",
        "upgrade",
        "upstream",
        "version",
    )

    def __init__(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        fields: Fields = (),
        view: MultiMapping[str] | None = None,
        body: Body | None = None,
        host: str = "",
        scheme: str = "http",
        client_ip: str = "",
        id: str = "",  # noqa: A002 - the field's name for it
        received: float = 0.0,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self._fields = fields
        self._view = view
        self._edited = None
        self.body = Body() if body is None else body
        self.host = host
        self.scheme = scheme
        self.client_ip = client_ip
        self.peer: Any = None
        """What the server knows of the connection (TLS certificate, socket addresses)."""
        self.id = id
        self.received = received
        """When the head was whole, on the loop's clock, seconds."""
        self.trace: bytes | None = None
        """The ``traceparent`` that goes to the target, if one was made already."""
        self.route: Route = UNROUTED
        self.path_params: Mapping[str, str] | None = None
        self.principal: Principal | None = None
        self.tenant: str | None = None
        self.attempt: Attempt | None = None
        self.attempts = 0
        self.target = ""
        """The target that answered, or the last one tried."""
        self.upstream: str | None = None
        """Set by a plugin to send the request elsewhere than the route says."""
        self.version = 11
        """Of the client's HTTP: 10 or 11."""
        self.upgrade = ""
        """The protocol the client asks to switch to, lower case, or nothing."""
        self.inform: Callable[[int, Fields], None] | None = None
        """Takes interim answers (1xx) for a client that understands them."""
        self.error: GatewayError | None = None
        """What ended the exchange, for log and metrics."""
        self.answer: Response | None = None
        """The answer as far as it has come up the chain; the chain keeps it, so that none is left open."""
        self.detached = False
        self.extras: dict[Any, Any] | None = None
        self._done: list[Callable[[Exchange], None]] | None = None

    def edit_headers(self) -> CIMultiDict[str]:
        """As `Message.edit_headers`. What ``Connection`` names is gone then (RFC 9110 §7.6.1).

        It speaks of the client's fields only, and must not take out what a plugin sets.
        """
        if self._edited is not None:
            return self._edited
        edited = super().edit_headers()
        for value in edited.popall("Connection", ()):
            for name in named_by_connection(value.encode("utf-8", "surrogateescape")):
                edited.popall(name.decode("utf-8", "surrogateescape"), None)
        return edited

    def when_done(self, callback: Callable[[Exchange], None]) -> None:
        """Call this after the last byte or an abort of the segment that this request belongs to; fast and sync."""
        if self._done is None:
            self._done = [callback]
        else:
            self._done.append(callback)

    @property
    def awaited(self) -> bool:
        """Somebody waits for the end of the segment."""
        return self._done is not None

    def finish(self, exchange: Exchange) -> None:
        """End the segment: every `when_done` callback runs once, innermost first."""
        callbacks, self._done = self._done, None
        for callback in reversed(callbacks or ()):
            try:
                callback(exchange)
            except Exception:  # one plugin's bug must not keep the others, metrics and log from their end
                log.exception("`done` failed in exchange %s on route %s", self.id, self.route.name)

    def abandon(self) -> None:
        """Something else is answered, or nobody waits any more: close what had come up the chain."""
        answer, self.answer = self.answer, None
        if answer is not None:
            answer.body.close()
            if answer.tunnel is not None:
                answer.tunnel.close()

    def fork(self, *, body: Body | None = None) -> Request:
        """A copy with its own header fields and no callbacks, for an attempt, a mirror or a detached fetch."""
        twin = Request.__new__(Request)
        for name in _REQUEST_SLOTS:
            setattr(twin, name, getattr(self, name))
        if self._edited is not None:
            twin._edited = twin._view = CIMultiDict(self._edited)  # noqa: SLF001 - our own kind
        twin._done = None  # noqa: SLF001
        twin.answer = None
        if body is not None:
            twin.body = body
        return twin

    def detach(self) -> Request:
        """A fork that outlives the client. Its body must be whole: the client's stream ends with the client.

        Raises InternalError for a body that streams. See `gateway.plugin.Context.detached`, which runs it.
        """
        if self.body.whole is None:
            raise InternalError(reason="only a request whose body is held can outlive its client")
        twin = self.fork(body=Body(self.body.whole))
        twin.detached = True
        return twin


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

UNROUTED: Final = Route("-")

_REQUEST_SLOTS: Final = (*Message.__slots__, *Request.__slots__)
