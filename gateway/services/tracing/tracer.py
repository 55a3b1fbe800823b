"""Tracing as one configuration wants it: where traces begin, and where they go."""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING, Final

from multidict import istr

from gateway.http import Request
from gateway.services.ids import continue_trace, make_trace
from gateway.services.tracing.carrier import from_b3
from gateway.services.tracing.options import Options
from gateway.services.tracing.trace import Trace, current, span_id

if TYPE_CHECKING:
    from gateway.services.tracing.export import Exporter


_TRACEPARENT: Final = istr("traceparent")


class Tracer:
    """Begins the traces of exchanges and hands what is kept to the exporter."""

    def __init__(self, options: Options, exporter: Exporter) -> None:
        self.options = options
        self.exporter = exporter
        self.cut = 0
        """Spans beyond what one exchange may have."""
        self._parent = options.parent

    def begin(self, request: Request) -> Trace:
        """An exchange has come in: from a client, or dispatched by a plugin within another."""
        outer = current.get()
        if outer is not None and request.trace is not None and request.trace[3:35] == outer.id:
            return self._nested(request, outer, request.trace)
        made = request.trace or make_trace()
        parent, sampled = _w3c(request, made)
        if not parent and self.options.b3 and (given := from_b3(request.headers)) is not None:
            sampled = given.sampled
            if given.trace is not None and given.span is not None:
                parent = given.span.encode()
                made = b"00-%b-%b-%02x" % (given.trace.encode(), span_id(), sampled is True)
        request.trace = made
        trace = Trace(self, made, parent, remote=bool(parent))
        if sampled is not None and (self._parent == "any" or (self._parent == "trusted" and _trusted(request))):
            trace.given = sampled
        trace.request = request
        current.set(trace)
        request.when_done(trace.finish)
        return trace

    def _nested(self, request: Request, outer: Trace, before: bytes) -> Trace:
        request.trace = b"00-%b-%b-%b" % (before[3:35], span_id(), before[53:])
        trace = Trace(self, request.trace, before[36:52])
        trace.outer, trace.request = outer, request
        current.set(trace)
        request.when_done(trace.finish)
        return trace

    def leave(self, trace: Trace) -> None:
        """What follows in this task does not belong to the trace any more."""
        if current.get() is trace:
            current.set(trace.outer)

    def linked(self, stored: str) -> tuple[Trace, bytes]:
        """A trace of its own for work that was put off, and its ``traceparent``; sampled as the one that it follows
        from was, else by the ratio.
        """
        known = continue_trace(stored)
        made = make_trace()
        trace = Trace(self, made)
        trace.decided = True
        trace.sampled = bool(known[54] & 1) if known is not None else random() < self.options.ratio  # noqa: S311
        trace.recording = trace.sampled or self.options.errors
        return trace, made[:54] + (b"3" if trace.sampled else b"2")


def _trusted(request: Request) -> bool:
    return bool(getattr(request.peer, "trusted", False))


def _w3c(request: Request, made: bytes) -> tuple[bytes, bool | None]:
    """The caller's span and whether it samples, if its ``traceparent`` was taken up in ``made``; else nothing."""
    given = request.headers.get(_TRACEPARENT)
    if given is None or given[3:35] != made[3:35].decode() or len(request.headers.getall(_TRACEPARENT)) > 1:
        return b"", None
    return given[36:52].encode(), bool(int(given[53:55], 16) & 1)
