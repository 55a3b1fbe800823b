"""Where traffic and document differ: counted by operation, logged once in a while, shown by the admin API.

What the document lacks is found in traffic (shadow paths, unknown parameters, answers that nobody described), and what
traffic lacks in the document (operations that nobody calls). Names come from clients, so their number is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from gateway.plugin import Context

MOST: Final = 1000
"""Differences that are kept apart; what comes after is counted together by kind."""
KINDS: Final = ("operation", "query", "body", "media_type", "status", "invalid")
_OPAQUE: Final = re.compile(r"[0-9]+|[0-9a-fA-F]{8,}|[0-9a-fA-F-]{32,36}|[^/]*[0-9][^/]{11,}|[^/]{40,}")


class _Difference:
    __slots__ = ("count", "first", "last", "logged")

    def __init__(self, now: float) -> None:
        self.count = 0
        self.first = self.last = now
        self.logged = float("-inf")


class Drift:
    """The differences that one plugin instance saw, in one worker."""

    def __init__(self, context: Context, window: float) -> None:
        self._context = context
        self._window = window
        self._seen: dict[tuple[str, str, str], _Difference] = {}
        self._calls: dict[str, int] = {}
        family = context.metrics.counter(
            "request_validation_drift_total",
            "Differences between traffic and the API's description, by kind.",
            ("route", "plugin", "kind"),
        )
        self._counts = {kind: family.child(context.route, context.id, kind) for kind in KINDS}

    def called(self, operation: str) -> None:
        """An operation of the document, at most as many as it has."""
        self._calls[operation] = self._calls.get(operation, 0) + 1

    def note(self, kind: str, operation: str, what: str = "") -> None:
        """Count a difference."""
        self._counts[kind].value += 1
        now = self._context.clock.time()
        key = (kind, operation, what[:100])
        known = self._seen.get(key)
        if known is None:
            if len(self._seen) >= MOST:
                key = (kind, "", "")
            known = self._seen.setdefault(key, _Difference(now))
        known.count += 1
        known.last = now
        if now - known.logged >= self._window:
            known.logged = now
            self._context.log.info(
                "route %s: traffic differs from the API's description: %s %s %s",
                self._context.route,
                kind,
                key[1],
                _printable(key[2]),
            )

    def report(self, title: str, operations: Iterable[str]) -> dict[str, Any]:
        """For the admin API."""
        listed = sorted(self._seen.items(), key=lambda each: -each[1].count)
        return {
            "document": title,
            "differences": [
                {"kind": kind, "operation": operation, "what": what, "count": seen.count, "first": seen.first,
                 "last": seen.last}
                for (kind, operation, what), seen in listed
            ],
            "called": len(self._calls),
            "never_called": [name for name in operations if name not in self._calls][:MOST],
        }  # fmt: skip


def shape_of_path(path: str) -> str:
    """A path with what looks like an identifier left out: a thousand orders are one undocumented operation."""
    return "/".join("{}" if _OPAQUE.fullmatch(segment) else segment for segment in path[:200].split("/"))


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)
