"""A request as plugins see it, and what it carries: who calls, the route it took, the attempt it is in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from multidict import CIMultiDict, MultiMapping

from gateway.errors import GatewayError, InternalError
from gateway.http.body import Body
from gateway.http.fields import named_by_connection
from gateway.http.message import Fields, Message
from gateway.http.spent import Spent

if TYPE_CHECKING:
    from gateway.http.response import Exchange, Response

log = logging.getLogger("gateway.http")

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
    expires: float | None = None
    """When the credentials stop to hold, seconds since the epoch; None: they say nothing of it."""


class Route:
    """What an exchange knows of the route it took; the runtime's own routes derive from it."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def leave(self, exchange: Exchange) -> None:
        """An exchange on it has ended."""


class Attempt:
    """One try at one target, seen by the plugins of the attempt chain."""

    __slots__ = ("deadline", "host", "number", "path", "target", "upstream")

    def __init__(
        self, upstream: str, target: str, number: int, deadline: float, *, path: str = "/", host: str = ""
    ) -> None:
        self.upstream = upstream
        self.target = target
        self.path = path
        """Path and query as they go to the target, rewritten and percent-encoded. A plugin may change it."""
        self.host = host
        """The ``Host`` that goes to the target."""
        self.number = number
        """1 for the first."""
        self.deadline = deadline
        """On the clock of `gateway.services.clock.Clock.now`, seconds."""


class Request(Message):
    """A request on its way down the chain.

    ``path`` is in normal form (`gateway.http.path`), without the query; ``query`` is raw, without ``?``. ``host`` is
    the authority the client asked for. ``client_ip`` is the address behind the trusted proxies.
    """

    __slots__ = (
        "_done",
        "answer",
        "answered",
        "attempt",
        "attempts",
        "client_ip",
        "detached",
        "error",
        "extras",
        "first_byte",
        "gave_up",
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
        "repeatable",
        "route",
        "scheme",
        "spent",
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
        self.gave_up = ""
        """Why no attempt followed one that failed: ``attempts``, ``budget``, ``time``, ``no_other_target`` or what the
        rule of retries says (`gateway.forward.retry.Verdict`). Empty where none was to follow."""
        self.target = ""
        """The target that answered, or the last one tried."""
        self.first_byte = 0.0
        """Seconds that the target took to the head of its answer, on the forwarder's short way; else see ``spent``."""
        self.answered = 0.0
        """When that head was here, on the loop's clock, seconds; 0: no target has answered yet."""
        self.spent: Spent | None = None
        """Where time went on a longer way."""
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
        self.repeatable = False
        """Sending it twice is the same as once though its method does not say so: the target knows a repetition by a
        key that the request carries. Set by who was told that the target obeys such a key."""
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
        twin.spent = None  # whoever makes a fork that is part of this exchange gives it this one's
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


UNROUTED: Final = Route("-")

_REQUEST_SLOTS: Final = (*Message.__slots__, *Request.__slots__)
