"""One exchange's trace: which ids it has, what was seen of it, and at its end whether it is kept."""

from __future__ import annotations

from contextvars import ContextVar
from random import getrandbits, random
from time import monotonic_ns, time_ns
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import Source
from gateway.http import Exchange, Request
from gateway.services.tracing.attributes import server_attributes, server_name
from gateway.services.tracing.carrier import tracestate_of
from gateway.services.tracing.options import RouteTracing
from gateway.services.tracing.span import Kind, Span

if TYPE_CHECKING:
    from gateway.services.tracing.tracer import Tracer

_PLAIN: Final = RouteTracing()
_FAULTS: Final = frozenset({Source.UPSTREAM, Source.INTERNAL})


def span_id() -> bytes:
    """16 hex digits, never all zero."""
    return b"%016x" % (getrandbits(64) | 1)


class Work:
    """Something that was put off and is done now; see `gateway.services.tracing.Tracing.work`."""

    __slots__ = ("attributes", "error", "traceparent")

    def __init__(self, traceparent: bytes) -> None:
        self.attributes: dict[str, Any] = {}
        """Of the span; for what is not known when it begins."""
        self.traceparent = traceparent
        """For ``Request.trace`` of what is sent."""
        self.error = ""
        """Set to the code of what it failed with."""


class Trace:
    """The part of a trace that passes in this process. Not sampled, it keeps nothing unless errors or slowness may
    still make it wanted.
    """

    __slots__ = (
        "closed",
        "decided",
        "given",
        "id",
        "kept",
        "offset",
        "outer",
        "parent",
        "plugins",
        "recording",
        "remote",
        "request",
        "route",
        "sampled",
        "span",
        "spans",
        "started",
        "tracer",
        "work",
    )

    def __init__(self, tracer: Tracer, traceparent: bytes, parent: bytes = b"", *, remote: bool = False) -> None:
        self.tracer = tracer
        self.id = traceparent[3:35]
        self.span = traceparent[36:52]
        """Of the exchange itself."""
        self.parent = parent
        self.remote = remote
        self.given: bool | None = None
        """What the caller decided, where that is obeyed."""
        self.decided = False
        self.sampled = False
        """Sampled from the start: those behind are told."""
        self.recording = False
        self.plugins = False
        self.kept = False
        self.closed = False
        self.spans: list[Span] = []
        self.outer: Trace | None = None
        """Of the exchange that dispatched this one."""
        self.request: Request | None = None
        """While it is under way."""
        self.work: Work | None = None
        """It is of no exchange, but of this."""
        self.route: str | None = None
        """For whose data it is masked; known at the end."""
        self.started = monotonic_ns()
        self.offset = time_ns() - self.started
        """To the time of day."""

    # -- deciding ----------------------------------------------------------------------------------------------

    def decide(self, request: Request, own: RouteTracing = _PLAIN) -> None:
        """Whether it is sampled, by its route; told to the target by ``traceparent``."""
        if self.decided:
            return
        self.decided = True
        options = self.tracer.options
        if own.off:
            self.sampled = False
        elif self.outer is not None:
            self.sampled, self.recording = self.outer.sampled, self.outer.recording
        else:
            given = self.given
            # Drawn, not computed from the trace id: a client that is not believed could choose one that is sampled.
            self.sampled = random() < (options.ratio if own.ratio is None else own.ratio) if given is None else given  # noqa: S311
            self.recording = self.sampled or options.errors or options.slow is not None
        self.plugins = own.plugins
        before = request.trace
        if before is not None and (before[54] & 1) != self.sampled:
            digit = int(before[54:55], 16)
            request.trace = before[:54] + b"%x" % (digit | 1 if self.sampled else digit & ~1)

    # -- noting ------------------------------------------------------------------------------------------------

    def open(self, request: Request, name: str, kind: Kind) -> Span | None:
        """Begin a span inside the one that ``request`` is in, and put the request into it; None if there are too many.

        Whoever calls this puts ``request.trace`` back when the span is left.
        """
        before = request.trace
        if self.closed and not self.kept:
            return None
        if before is None or len(self.spans) >= self.tracer.options.spans:
            self.tracer.cut += 1
            return None
        made = Span(name, kind, self.id, span_id(), before[36:52], monotonic_ns() + self.offset)
        request.trace = b"00-%b-%b-%b" % (self.id, made.id, before[53:])
        if not self.closed:  # else it is sent by itself, at its end
            self.spans.append(made)
        return made

    def end(self, span: Span, error: str = "") -> None:
        """End a span; after the end of the exchange it is sent by itself."""
        if span.ended:
            return
        span.ended = monotonic_ns() + self.offset
        if error:
            span.error = error
            span.attributes["error.type"] = error
        if self.closed and self.kept:
            self._send([span])

    # -- the end -----------------------------------------------------------------------------------------------

    def finish(self, exchange: Exchange) -> None:
        """The exchange has ended: send what is to be kept."""
        if self.closed:
            return
        self.tracer.leave(self)
        request = exchange.request
        self.decide(request)
        self.route = request.route.name
        why = self._why(exchange) if self.recording else ""
        outer = self.outer
        if not self.recording or not (why or (outer is not None and (outer.kept or not outer.closed))):
            self.close(keep=False)
            return
        own = self.tracer.options.routes.get(request.route.name, _PLAIN)
        span = Span(server_name(request, own), Kind.SERVER, self.id, self.span, self.parent, self.started + self.offset)
        if outer is not None:
            span.kind = Kind.INTERNAL
        span.ended = span.started + int(exchange.duration * 1e9)
        span.remote = self.remote
        span.attributes = server_attributes(exchange, own, self.tracer.options)
        span.attributes["sidegate.sampled_by"] = why or "outer"
        if self.remote and request.headers.get("traceparent", "")[3:35] == self.id.decode():  # else it is another's
            span.state = tracestate_of(request.headers.getall("tracestate", ()))
        if _failed(exchange):
            error = exchange.error
            span.error = span.attributes["error.type"] = error.code if error is not None else str(exchange.status)
        self.spans.append(span)
        self.close(keep=True)

    def _why(self, exchange: Exchange) -> str:
        """Why it is kept, or nothing."""
        options = self.tracer.options
        if self.sampled:
            return "parent" if self.given else "ratio"
        if options.errors and _failed(exchange):
            return "error"
        if options.slow is not None and exchange.duration >= options.slow:
            return "slow"
        return ""

    def close(self, *, keep: bool) -> None:
        """Nothing more is expected but the ends of spans that are open still."""
        self.closed = True
        self.request = None
        outer = self.outer
        if outer is not None and not outer.closed:
            if keep:
                room = self.tracer.options.spans - len(outer.spans)
                self.tracer.cut += max(0, len(self.spans) - room)
                outer.spans += self.spans[: max(0, room)]
            self.spans = []
            return
        self.kept = keep
        ended = [span for span in self.spans if span.ended] if keep else []
        self.spans = []
        if ended:
            self._send(ended)

    def _send(self, spans: list[Span]) -> None:
        for span in spans:
            span.flags = 1 if self.sampled else 0
            span.route = span.route or self.route
        self.tracer.exporter.put(spans)


def _failed(exchange: Exchange) -> bool:
    """It is the service's or the gateway's fault, not the caller's."""
    error = exchange.error
    return exchange.status >= 500 or (error is not None and error.source in _FAULTS)


current: Final[ContextVar[Trace | None]] = ContextVar("trace of the exchange under way", default=None)
