"""Spans as they are noted on the path of a request: plain objects, made into OpenTelemetry's only when they are sent.

A span of the SDK costs more to make than this gateway takes for a request. So an exchange notes what it sees in these,
decides at its end whether they are wanted, and a thread does the rest.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class Kind(IntEnum):
    """As numbered in OpenTelemetry's protocol."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    CONSUMER = 5


class Span:
    """Something that took time."""

    __slots__ = (
        "attributes",
        "ended",
        "error",
        "flags",
        "id",
        "kind",
        "link",
        "name",
        "parent",
        "remote",
        "route",
        "started",
        "state",
        "trace",
    )

    def __init__(self, name: str, kind: Kind, trace: bytes, id: bytes, parent: bytes, started: int) -> None:  # noqa: A002
        self.name = name
        self.kind = kind
        self.trace = trace
        """32 hex digits, as the next three have 16, or none."""
        self.id = id
        self.parent = parent
        self.link: bytes = b""
        """The ``traceparent`` of what this follows from, in another trace."""
        self.started = started
        """Nanoseconds since the epoch, as `ended`, which is 0 while it is open."""
        self.ended = 0
        self.attributes: dict[str, Any] = {}
        self.error = ""
        """A code of the catalogue, a status, or nothing if all went well."""
        self.remote = False
        """Its parent is not the gateway's."""
        self.flags = 1
        self.state = ""
        """``tracestate`` as it came."""
        self.route: str | None = None
        """For whose data it is masked."""
