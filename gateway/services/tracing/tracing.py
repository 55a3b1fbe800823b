"""What a worker has of tracing, whatever configuration is in force: exporters that outlive a reload, and counters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from time import monotonic_ns
from typing import Any

from gateway.services.ids import continue_trace, make_trace
from gateway.services.masking import Masking
from gateway.services.metrics import Metrics
from gateway.services.tracing.export import Exporter
from gateway.services.tracing.options import Options
from gateway.services.tracing.span import Kind, Span
from gateway.services.tracing.trace import Work, current
from gateway.services.tracing.tracer import Tracer

log = logging.getLogger("gateway.tracing")


class Tracing:
    """One worker's. Used as `gateway.runtime.Services` uses its store: prepare, commit or abandon, settle, close."""

    def __init__(self, metrics: Metrics, masking: Masking) -> None:
        self.tracer: Tracer | None = None
        """Of the configuration in force; None: nothing is traced."""
        self._metrics = metrics
        self._masking = masking
        self._next: Tracer | None = None
        self._replaced: list[Tracer] = []
        self._gone = [0, 0, 0, 0]
        """What tracers that are closed have counted, as `_counts`."""
        self._closing: set[asyncio.Future[None]] = set()
        self._declared = False

    @property
    def prepared(self) -> Tracer | None:
        """Of the configuration that is being built."""
        return self._next

    async def prepare(self, options: Options | None) -> Tracer | None:
        """Have a tracer for a configuration that is being built. Raises ImportError, OSError or ValueError."""
        await self.abandon()
        if options is None:
            return None
        exporter = self.tracer.exporter if self.tracer is not None else None
        if exporter is None or exporter.collector != options.collector:
            exporter = Exporter(options.collector, self._masking)
            await asyncio.to_thread(exporter.open)
        self._declare()
        self._next = Tracer(options, exporter)
        return self._next

    def commit(self) -> None:
        """What was prepared is in force, or nothing is traced. Traces under way end with the tracer they began with."""
        if self.tracer is not None and self.tracer is not self._next:
            self._replaced.append(self.tracer)
        self.tracer, self._next = self._next, None
        if self.tracer is not None:
            _stamp_log_records()

    async def abandon(self) -> None:
        """Forget what was prepared."""
        unwanted, self._next = self._next, None
        if unwanted is not None and not self._in_use(unwanted.exporter):
            await self._close(unwanted.exporter)

    async def settle(self) -> None:
        """Close what nobody traces with any more, after sending what waits there."""
        replaced, self._replaced = self._replaced, []
        await self._retire(replaced)

    async def close(self) -> None:
        """Send what waits and close everything. Idempotent."""
        await self.abandon()
        tracers = [*self._replaced, *([self.tracer] if self.tracer is not None else [])]
        self.tracer, self._replaced = None, []
        await self._retire(tracers)
        if self._closing:
            await asyncio.wait(self._closing)

    async def _retire(self, tracers: list[Tracer]) -> None:
        for tracer in tracers:
            self._gone[3] += tracer.cut
        for exporter in {id(each.exporter): each.exporter for each in tracers}.values():
            if not self._in_use(exporter):
                await self._close(exporter)

    async def _close(self, exporter: Exporter) -> None:
        """It goes on if whoever waits for it is cancelled, as a reload is by a shutdown; `close` waits for it then."""
        closing = asyncio.ensure_future(asyncio.to_thread(exporter.close))
        self._closing.add(closing)
        closing.add_done_callback(partial(self._closed, exporter))
        await asyncio.wait([closing])

    def _closed(self, exporter: Exporter, closing: asyncio.Future[None]) -> None:
        self._closing.discard(closing)
        if not closing.cancelled() and (error := closing.exception()) is not None:
            log.error("an exporter of traces did not close cleanly", exc_info=error)
        self._gone[:3] = [a + b for a, b in zip(self._gone, _counts(exporter), strict=False)]

    def _in_use(self, exporter: Exporter) -> bool:
        used = (self.tracer, self._next, *self._replaced)
        return any(each is not None and each.exporter is exporter for each in used)

    # -- work that was put off ---------------------------------------------------------------------------------

    @contextmanager
    def work(
        self, name: str, stored: str = "", *, route: str | None = None, attributes: Mapping[str, Any] | None = None
    ) -> Iterator[Work]:
        """A span around work that was put off, such as a delivery from a queue; attempts made inside stand below it.

        ``stored`` is the ``traceparent`` that the request had when it was put off (`Request.trace`). Hours may lie
        between, so the work is a trace of its own that is linked to that one, and is sampled as it was. With tracing
        off the old trace goes on, as it does through the gateway. ``route`` says for whose data it is masked.
        """
        tracer = self.tracer
        if tracer is None:
            yield Work(continue_trace(stored) or make_trace())
            return
        outer = current.get()
        if outer is not None and outer.work is not None and not outer.closed and stored[3:35] == outer.id.decode():
            yield outer.work  # a part of the same work: it has its span
            return
        trace, traceparent = tracer.linked(stored)
        trace.work = work = Work(traceparent)
        trace.route = route
        token = current.set(trace)
        span = Span(name, Kind.CONSUMER, trace.id, trace.span, b"", trace.started + trace.offset)
        span.attributes.update(attributes or {})
        span.link = stored.encode() if continue_trace(stored) is not None else b""
        try:
            yield work
        except BaseException as error:
            work.error = work.error or getattr(error, "code", type(error).__name__)
            raise
        finally:
            current.reset(token)
            span.ended = monotonic_ns() + trace.offset
            if work.error:
                span.error = span.attributes["error.type"] = work.error
            span.attributes.update(work.attributes)
            trace.spans.append(span)
            trace.close(keep=trace.sampled or bool(work.error and tracer.options.errors))

    # -- counting ----------------------------------------------------------------------------------------------

    def _declare(self) -> None:
        if self._declared:
            return
        self._declared = True
        metrics = self._metrics
        sent = metrics.counter("trace_spans_exported_total", "Spans that the collector has taken.")
        sent.read = lambda: [((), self._counted()[0])]
        lost = metrics.counter(
            "trace_spans_dropped_total",
            "Spans that were kept and did not arrive: no room in the queue or no time at the end (queue), not taken by "
            "the collector (collector), or beyond what one exchange may have (limit).",
            ("reason",),
        )
        lost.read = lambda: [
            ((reason,), count)
            for reason, count in zip(("queue", "collector", "limit"), self._counted()[1:], strict=True)
        ]
        metrics.gauge(
            "trace_spans_waiting",
            "Spans on their way to the collector.",
            read=lambda: [((), sum(exporter.waiting for exporter in self._exporters()))],
        )

    def _exporters(self) -> list[Exporter]:
        tracers = [each for each in (self.tracer, self._next, *self._replaced) if each is not None]
        return list({id(each.exporter): each.exporter for each in tracers}.values())

    def _counted(self) -> list[int]:
        total = list(self._gone)
        for exporter in self._exporters():
            total[:3] = [a + b for a, b in zip(total, _counts(exporter), strict=False)]
        for tracer in (self.tracer, *self._replaced):
            total[3] += tracer.cut if tracer is not None else 0
        return total


def _counts(exporter: Exporter) -> tuple[int, int, int]:
    return exporter.sent, exporter.dropped, exporter.failed


def _stamp_log_records() -> None:
    """Give every record of an exchange's log lines its ``trace`` and ``span``, as the access line has them."""
    make = logging.getLogRecordFactory()
    if getattr(make, "stamps", False):
        return

    def stamped(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        trace = current.get()
        if trace is not None:
            record.trace, record.span = trace.id.decode(), trace.span.decode()
        return record

    stamped.stamps = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(stamped)
