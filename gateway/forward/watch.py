"""An upstream's metrics: counters bound at load, gauges read when somebody looks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from gateway.forward.target import Tally
from gateway.services.metrics import Metrics

if TYPE_CHECKING:
    from gateway.forward.upstream import LiveUpstream

_TARGET: Final = ("upstream", "target")
_LIMIT: Final = 1000
"""Rows that a gauge shows; upstreams beyond are left out."""

_open: Final[WeakKeyDictionary[Metrics, list[LiveUpstream]]] = WeakKeyDictionary()
"""The upstreams that a worker's gauges show. During a reload two may have the same name: the newer one is shown."""

Rows = Iterator[tuple[tuple[str, ...], float]]


class Watch:
    """What is counted about one upstream."""

    __slots__ = ("_attempts", "_durations", "_ejections", "_metrics", "_name", "_retries", "_skipped")

    def __init__(self, metrics: Metrics, name: str) -> None:
        self._metrics = metrics
        self._name = name
        self._attempts = metrics.counter(
            "upstream_attempts_total",
            "Attempts by what came of them: ok, bad (502, 503, 504) or failed (no answer).",
            (*_TARGET, "outcome"),
        )
        self._durations = metrics.histogram(
            "upstream_attempt_duration_seconds", "From the choice of a target to the head of its answer.", ("upstream",)
        )
        self._retries = metrics.counter("upstream_retries_total", "Attempts after the first of a request.", _TARGET)
        self._ejections = metrics.counter("upstream_ejections_total", "Targets left out after failures.", _TARGET)
        self._skipped = metrics.counter(
            "upstream_retry_skipped_total",
            "Failed attempts that were not followed by another, by reason.",
            ("upstream", "reason"),
        )

    def tally(self, target: str) -> Tally:
        """A target's counters; the same ones after a reload."""
        ok, bad, failed = (self._attempts.child(self._name, target, outcome) for outcome in ("ok", "bad", "failed"))
        return Tally(ok, bad, failed, self._durations.child(self._name))

    def retried(self, target: str) -> None:
        self._retries.child(self._name, target).inc()

    def skipped(self, reason: str) -> None:
        self._skipped.child(self._name, reason).inc()

    def ejected(self, target: str) -> None:
        self._ejections.child(self._name, target).inc()

    def open(self, upstream: LiveUpstream) -> None:
        """Show the upstream's gauges."""
        shown = _open.get(self._metrics)
        if shown is None:
            shown = _open[self._metrics] = []
            _gauges(self._metrics, shown)
        shown.append(upstream)

    def close(self, upstream: LiveUpstream) -> None:
        """Show them no more, and forget the counters of targets that nobody has now."""
        shown = _open.get(self._metrics, [])
        if upstream in shown:
            shown.remove(upstream)
        left = {(each.name, target.name) for each in shown for target in each.targets}
        for target in upstream.targets:
            if (self._name, target.name) not in left:
                for family in (self._attempts, self._retries, self._ejections):
                    family.remove(self._name, target.name)
        if all(each.name != self._name for each in shown):
            self._skipped.remove(self._name)
            self._durations.remove(self._name)


def _gauges(metrics: Metrics, shown: list[LiveUpstream]) -> None:
    def latest() -> list[LiveUpstream]:
        return list({each.name: each for each in shown}.values())

    def health() -> Rows:
        return _first((u.name, t.name, float(t.well)) for u in latest() for t in u.targets)

    def active() -> Rows:
        return _first((u.name, t.name, float(t.active)) for u in latest() for t in u.targets)

    def latency() -> Rows:
        return _first((u.name, t.name, t.latency) for u in latest() for t in u.targets)

    def connections() -> Iterator[tuple[tuple[str, ...], float]]:
        rows = ((u.name, t) for u in latest() for t in u.targets)
        for _, (name, target) in zip(range(_LIMIT), rows, strict=False):
            pool = target.pool
            yield (name, target.name, "idle"), pool.idle
            yield (name, target.name, "busy"), pool.total - pool.idle
            yield (name, target.name, "waiting"), pool.waiting

    def overruns() -> Rows:
        return _first((u.name, t.name, float(t.pool.overran)) for u in latest() for t in u.targets)

    metrics.counter(
        "upstream_overruns_total",
        "Connections closed because the target sent more than it had declared, or than was asked for.",
        _TARGET,
    ).read = overruns
    metrics.gauge(
        "upstream_target_healthy",
        "1 if the target is well, 0 if checks find it ill or it is ejected.",
        _TARGET,
        rule="min",
        read=health,
    )
    metrics.gauge(
        "upstream_attempts_in_flight", "Attempts under way, their answers' bodies included.", _TARGET, read=active
    )
    metrics.gauge(
        "upstream_latency_seconds", "To the answer's head, moving average.", _TARGET, rule="max", read=latency
    )
    metrics.gauge(
        "upstream_connections",
        "Connections by state; waiting are requests without one.",
        (*_TARGET, "state"),
        read=connections,
    )


def _first(rows: Iterator[tuple[str, str, float]]) -> Rows:
    for _, (upstream, target, value) in zip(range(_LIMIT), rows, strict=False):
        yield (upstream, target), value
