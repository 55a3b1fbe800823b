"""Where kept spans go: to a collector by OTLP over HTTP, from a thread, through OpenTelemetry's SDK.

The SDK is imported when the first configuration asks for traces, and by nobody else.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import logging
import os
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from gateway.services.mailbox import Mailbox
from gateway.services.masking import Masking
from gateway.services.tracing.attributes import FIXED
from gateway.services.tracing.options import Collector
from gateway.services.tracing.span import Kind, Span

log = logging.getLogger("gateway.tracing")

_MODULE: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_", "OTEL_PYTHON_EXPORTER_OTLP_")
_MOST_VALUES: Final = 32
"""Of an attribute that is a list."""


def available() -> bool:
    """Whether the extra ``otel`` is installed."""
    try:
        return importlib.util.find_spec(_MODULE) is not None
    except ImportError:  # a package above it is not there
        return False


class Exporter:
    """One collector's end. Open it before use; it blocks, so in a thread."""

    def __init__(self, collector: Collector, masking: Masking) -> None:
        self.collector = collector
        self.sent = 0
        self.failed = 0
        """Spans that the collector did not take."""
        self._masking = masking
        self._mailbox: Mailbox[Span] = Mailbox(
            "traces", self._deliver, room=collector.queue, batch=collector.batch, interval=collector.interval
        )
        self._exporter: Any = None
        self._make: Any = None
        self._failing = False
        self._closed = False

    def open(self) -> None:
        """Import what is needed and make the exporter. Raises ImportError, OSError or ValueError."""
        from opentelemetry.exporter.otlp.proto.http import Compression  # noqa: PLC0415 - an extra
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        # It tells of each batch that fails and of each attempt, where the first and the end are enough; and of each
        # `tracestate` that is none, which is for clients to write.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        where = self.collector
        with _only_what_is_configured():
            self._exporter = OTLPSpanExporter(
                where.endpoint,
                certificate_file=where.ca,
                client_key_file=where.key,
                client_certificate_file=where.cert,
                headers=dict(where.headers),
                timeout=where.timeout,
                compression=Compression(where.compression),
                session=_session(),
            )
        self._make = _maker(dict(where.resource))

    @property
    def dropped(self) -> int:
        """Spans that found no room, or that were left at the end."""
        return self._mailbox.dropped

    @property
    def waiting(self) -> int:
        """Spans that are on their way."""
        return self._mailbox.waiting

    def put(self, spans: Sequence[Span]) -> None:
        """Take spans; never blocks."""
        self._mailbox.put(spans)

    def _deliver(self, batch: list[Span]) -> None:
        made = [self._make(span, self._shown(span), self._state(span)) for span in batch]
        taken = self._exporter.export(made).name == "SUCCESS"
        if taken:
            self.sent += len(batch)
        else:
            self.failed += len(batch)
        if taken == self._failing:
            self._failing = not taken
            where = self.collector.endpoint.partition("?")[0]
            if taken:
                log.info("traces are taken again by %s", where)
            else:
                log.warning("traces are not taken by %s; those that it misses are counted", where)

    def _shown(self, span: Span) -> dict[str, Any]:
        """A span's attributes, masked and cut. Numbers are sizes and statuses."""
        shown: dict[str, Any] = {}
        for name, value in span.attributes.items():
            if name not in FIXED and not isinstance(value, int):
                value = self._masking.value(name, value, span.route)
            if value is not None:
                shown[name] = self._cut(value)
        return shown

    def _state(self, span: Span) -> str:
        """Its ``tracestate``: a client's to write. It cannot be shown in part, as vendors read their own in it."""
        state = span.state
        return state if not state or self._masking.value("tracestate", state, span.route) == state else ""

    def _cut(self, value: Any) -> Any:
        most = self.collector.attribute
        if isinstance(value, str):
            cut = value if len(value) <= most else value[:most]
            # Bytes that were no UTF-8 (surrogates) cannot be encoded, and would take the whole batch with them.
            return cut if cut.isascii() else cut.encode("utf-8", "replace").decode()
        if isinstance(value, list):
            return [self._cut(str(each)) for each in value[:_MOST_VALUES]]
        return value

    def close(self) -> None:
        """Send what waits, for as long as the settings say, and stop. Blocks. Idempotent."""
        self._mailbox.close(self.collector.flush)
        if self._exporter is not None and not self._closed:
            self._closed = True
            self._exporter.shutdown()


_environment: Final = threading.Lock()


@contextmanager
def _only_what_is_configured() -> Iterator[None]:
    """While the SDK's variables for exporters are out of its sight.

    It takes header fields, certificates and a session out of OTEL_EXPORTER_OTLP_* and its like where it is given none,
    so that a secret of another program's collector would be sent to this one. The file alone says where spans go.
    """
    with _environment:
        hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(_VARIABLES)}
        try:
            yield
        finally:
            os.environ.update(hidden)


def _session() -> Any:
    """`requests` puts what a ``.netrc`` has for the host over the Authorization that is configured, unless it is told
    of another way.
    """
    made = importlib.import_module("requests").Session()
    made.auth = lambda request: request
    return made


def _maker(resource: dict[str, str]) -> Any:
    """A function that makes the SDK's kind of span out of ours and its attributes."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415
    from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags  # noqa: PLC0415
    from opentelemetry.trace.span import TraceState  # noqa: PLC0415

    kinds = {
        Kind.INTERNAL: SpanKind.INTERNAL,
        Kind.SERVER: SpanKind.SERVER,
        Kind.CLIENT: SpanKind.CLIENT,
        Kind.CONSUMER: SpanKind.CONSUMER,
    }
    version = _version()
    mine: dict[str, str | int] = {
        "service.version": version,
        "service.instance.id": str(uuid.uuid4()),
        "process.pid": os.getpid(),
        **resource,
    }
    whole = Resource.create(mine)
    scope = InstrumentationScope("sidegate", version)
    unset, failed = Status(StatusCode.UNSET), Status(StatusCode.ERROR)

    def context(span: Span, id: bytes, state: str, *, remote: bool) -> SpanContext:  # noqa: A002
        states = TraceState.from_header([state]) if state else None
        return SpanContext(int(span.trace, 16), int(id, 16), remote, TraceFlags(span.flags), states)

    def make(span: Span, attributes: dict[str, Any], state: str) -> ReadableSpan:
        link = span.link
        links = (
            [Link(SpanContext(int(link[3:35], 16), int(link[36:52], 16), True, TraceFlags(int(link[53:55], 16))))]
            if link
            else ()
        )
        return ReadableSpan(
            span.name,
            context(span, span.id, state, remote=False),
            context(span, span.parent, state, remote=span.remote) if span.parent else None,
            whole,
            attributes,
            (),
            links,
            kinds[span.kind],
            status=failed if span.error else unset,
            start_time=span.started,
            end_time=span.ended,
            instrumentation_scope=scope,
        )

    return make


def _version() -> str:
    try:
        return importlib.metadata.version("sidegate")
    except importlib.metadata.PackageNotFoundError:  # run from a tree that was never installed
        return "0"
