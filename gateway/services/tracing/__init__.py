"""Traces: spans of exchanges, their attempts and plugins, sent to a collector by OpenTelemetry's protocol."""

from gateway.services.tracing.export import Exporter, available
from gateway.services.tracing.options import Collector, Options, RouteTracing
from gateway.services.tracing.span import Kind, Span
from gateway.services.tracing.trace import Trace, Work, current
from gateway.services.tracing.tracer import Tracer
from gateway.services.tracing.tracing import Tracing

__all__ = [
    "Collector",
    "Exporter",
    "Kind",
    "Options",
    "RouteTracing",
    "Span",
    "Trace",
    "Tracer",
    "Tracing",
    "Work",
    "available",
    "current",
]
