"""What the tracer is told: plain values, made from the configuration by the runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Collector:
    """Where spans go, and how many may wait. Two that are equal share their connection over a reload."""

    endpoint: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    timeout: float = 10.0
    """Seconds for a batch, its repetitions included."""
    compression: str = "gzip"
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    files: tuple[tuple[int, ...], ...] = ()
    """How those files stood: a renewed certificate makes it another collector."""
    resource: tuple[tuple[str, str], ...] = ()
    queue: int = 4096
    """Spans that may wait."""
    batch: int = 128
    interval: float = 5.0
    flush: float = 3.0
    """Seconds for what waits at the end."""
    attribute: int = 1024
    """Characters of an attribute's value."""


@dataclass(frozen=True, slots=True)
class RouteTracing:
    """What a route has of its own."""

    pattern: str = ""
    """``http.route``."""
    ratio: float | None = None
    plugins: bool = False
    """A span for each plugin."""
    off: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """How a configuration traces."""

    collector: Collector
    ratio: float = 0.1
    errors: bool = True
    slow: float | None = None
    """Seconds from which on an exchange is kept."""
    parent: Literal["any", "trusted", "ignore"] = "any"
    """Whose ``sampled`` flag is obeyed."""
    b3: bool = True
    """B3 is understood."""
    propagate: frozenset[str] = frozenset()
    """``b3`` and ``b3multi`` beside W3C."""
    baggage: frozenset[str] = frozenset()
    request_headers: tuple[str, ...] = ()
    response_headers: tuple[str, ...] = ()
    spans: int = 128
    """Of one exchange."""
    routes: Mapping[str, RouteTracing] = field(default_factory=dict)
