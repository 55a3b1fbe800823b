"""Counters of a worker: plain numbers on the path of a request, Prometheus only when somebody asks.

prometheus-client's multiprocess mode has no custom collectors and cannot remove labels, so each worker keeps plain
numbers, whoever answers ``/metrics`` gathers a `Snapshot` of each, adds them up and renders them through one collector.
Every metric has a bounded number of children; what comes after shares one whose labels are `OTHER`.
"""

from __future__ import annotations

import gc
import os
import resource
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

PREFIX: Final = "sidegate_"
OTHER: Final = "__other__"
CHILDREN: Final = 1000
DURATIONS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Bucket bounds in seconds: from what a hit in memory takes to the longest usual deadline."""

AWAITED: Final = (200, 500, 502, 503, 504)
"""Statuses that a route's `requests_total` shows before there is one of them."""

Snapshot = list[dict[str, Any]]
"""Families: ``{name, kind, help, labels, rule, bounds, samples}``; a sample is ``[[label values], value]``,
of a histogram ``[[label values], [count, sum, buckets]]``."""


class Counter:
    """One child of a counter or gauge. ``value`` may be written directly."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, by: float = 1) -> None:
        """Add."""
        self.value += by

    def set(self, value: float) -> None:
        """Replace; for gauges."""
        self.value = value


class Histogram:
    """One child of a histogram."""

    __slots__ = ("_bounds", "buckets", "count", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self.buckets = [0] * (len(bounds) + 1)
        self.count = 0
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.count += 1
        self.sum += value
        self.buckets[bisect_left(self._bounds, value)] += 1


class RequestStats:
    """What is known of one route's exchanges with one status; one object so that an exchange touches one."""

    __slots__ = ("buckets", "count", "received", "seconds", "sent")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(DURATIONS) + 1)
        self.received = 0
        self.sent = 0

    def record(self, seconds: float, received: int, sent: int) -> None:
        """Count an exchange."""
        self.count += 1
        self.seconds += seconds
        self.buckets[bisect_left(DURATIONS, seconds)] += 1
        self.received += received
        self.sent += sent


class RouteMetrics:
    """A route's exchanges by status, and how many are under way."""

    __slots__ = ("by_status", "in_flight")

    def __init__(self) -> None:
        self.by_status: dict[int, RequestStats] = {}
        self.in_flight = 0

    def of(self, status: int) -> RequestStats:
        """The counters of a status; one that is none of HTTP's is counted as 0."""
        known = status if 100 <= status <= 599 else 0
        stats = self.by_status.get(known)
        if stats is None:
            stats = self.by_status[known] = RequestStats()
        return stats


class Family:
    """A metric with all its children."""

    __slots__ = ("_limit", "_make", "bounds", "children", "folded", "help", "kind", "labels", "name", "read", "rule")

    def __init__(
        self,
        name: str,
        kind: str,
        help: str,  # noqa: A002 - Prometheus' word
        labels: Sequence[str],
        make: Callable[[], Any],
        *,
        rule: str = "sum",
        bounds: Sequence[float] = (),
        limit: int = CHILDREN,
    ) -> None:
        self.name = name
        self.kind = kind
        self.help = help
        self.labels = tuple(labels)
        self.rule = rule
        self.bounds = tuple(bounds)
        self.children: dict[tuple[str, ...], Any] = {}
        self.folded = 0
        self.read: Callable[[], Iterable[tuple[tuple[str, ...], Any]]] | None = None
        self._make = make
        self._limit = limit

    def child(self, *values: str) -> Any:
        """The child with these label values, made if need be. Bind it at load where you can."""
        found = self.children.get(values)
        if found is None:
            if len(values) != len(self.labels):
                raise ValueError(f"{self.name} has the labels {self.labels}")
            if len(self.children) >= self._limit:
                self.folded += 1
                values = (OTHER,) * len(self.labels)
                found = self.children.get(values)
                if found is not None:
                    return found
            found = self.children[values] = self._make()
        return found

    def remove(self, *values: str) -> None:
        """Forget a child, or all whose first labels are these: a route or target is gone."""
        for key in [key for key in self.children if key[: len(values)] == values]:
            del self.children[key]

    def samples(self) -> list[list[Any]]:
        """Label values and what was counted."""
        if self.read is not None:
            return [[list(values), value] for values, value in self.read()]
        if self.kind == "histogram":
            return [[list(v), [c.count, c.sum, list(c.buckets)]] for v, c in self.children.items()]
        return [[list(values), child.value] for values, child in self.children.items()]


class Metrics:
    """All metrics of a worker."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}
        self._routes: dict[str, RouteMetrics] = {}
        self._started = time.time()
        self.gauge("process_start_time_seconds", "When the oldest worker started, since 1970.", rule="min").child().set(
            self._started
        )

    def counter(self, name: str, help: str, labels: Sequence[str] = (), *, limit: int = CHILDREN) -> Family:  # noqa: A002
        """A counter; ``name`` without prefix, ending in ``_total``. The same name gives the same family."""
        return self._family(Family(name, "counter", help, labels, Counter, limit=limit))

    def gauge(
        self,
        name: str,
        help: str,  # noqa: A002
        labels: Sequence[str] = (),
        *,
        rule: str = "sum",
        limit: int = CHILDREN,
        read: Callable[[], Iterable[tuple[tuple[str, ...], Any]]] | None = None,
    ) -> Family:
        """A gauge. ``rule`` says what several workers' values make: sum, max or min. ``read`` is asked at a look.

        With the rule ``ratio`` a value is ``[part, whole]``: each adds up, and what is shown is the one by the other.
        """
        family = self._family(Family(name, "gauge", help, labels, Counter, rule=rule, limit=limit))
        if read is not None:
            family.read = read
        return family

    def histogram(
        self,
        name: str,
        help: str,  # noqa: A002
        labels: Sequence[str] = (),
        *,
        bounds: Sequence[float] = DURATIONS,
        limit: int = CHILDREN,
    ) -> Family:
        """A histogram with these upper bounds."""
        made = Family(name, "histogram", help, labels, lambda: Histogram(bounds), bounds=bounds, limit=limit)
        return self._family(made)

    def _family(self, family: Family) -> Family:
        found = self._families.setdefault(family.name, family)
        if (found.kind, found.labels) != (family.kind, family.labels):
            raise ValueError(f"{family.name} is declared twice and differently")
        return found

    def route(self, name: str) -> RouteMetrics:
        """A route's counters; a changed route of the same name keeps them."""
        found = self._routes.get(name)
        if found is None:
            if len(self._routes) >= 10 * CHILDREN:
                name = OTHER
            found = self._routes.setdefault(name, RouteMetrics())
        return found

    def retain_routes(self, names: Collection[str]) -> None:
        """Forget what was counted for any other route, in every metric with the label ``route``."""
        kept = {*names, OTHER}
        for name, route in list(self._routes.items()):
            if name not in kept and not route.in_flight:
                del self._routes[name]
        for family in self._families.values():
            if "route" in family.labels:
                at = family.labels.index("route")
                for values in [values for values in family.children if values[at] not in kept]:
                    del family.children[values]

    def remove_route(self, name: str) -> None:
        """The route is gone, and nothing is under way on it."""
        self._routes.pop(name, None)

    def snapshot(self) -> Snapshot:
        """Everything counted so far, as JSON can hold it."""
        families = [*self._requests(), *_process()]
        families += [
            {
                "name": family.name,
                "kind": family.kind,
                "help": family.help,
                "labels": list(family.labels),
                "rule": family.rule,
                "bounds": list(family.bounds),
                "samples": family.samples(),
            }
            for family in self._families.values()
        ]
        folded = sum(family.folded for family in self._families.values())
        families.append(
            alone("metrics_folded_total", "counter", "Look-ups of label values beyond a metric's bound.", folded)
        )
        return families

    def _requests(self) -> Snapshot:
        rows = [
            (name, str(status or "other"), stats)
            for name, route in self._routes.items()
            for status, stats in route.by_status.items()
        ]
        labels = ["route", "status"]

        def family(name: str, kind: str, text: str, value: Callable[[RequestStats], Any]) -> dict[str, Any]:
            samples = [[[route, status], value(stats)] for route, status, stats in rows]
            bounds = list(DURATIONS) if kind == "histogram" else []
            made = {"name": name, "kind": kind, "help": text, "labels": labels, "rule": "sum"}
            return {**made, "bounds": bounds, "samples": samples}

        requests = family("requests_total", "counter", "Exchanges that ended, by route and status.", lambda s: s.count)
        # From nothing: a rate does not see the first error of a series that begins with it.
        requests["samples"] += [
            [[name, str(status)], 0]
            for name, route in list(self._routes.items())[:CHILDREN]
            for status in AWAITED
            if status not in route.by_status
        ]
        return [
            requests,
            family(
                "request_duration_seconds",
                "histogram",
                "From the whole head of a request to the last byte of its answer.",
                lambda s: [s.count, s.seconds, list(s.buckets)],
            ),
            family("request_bytes_total", "counter", "Bytes of requests' bodies.", lambda s: s.received),
            family("response_bytes_total", "counter", "Bytes of answers' bodies.", lambda s: s.sent),
            {
                "name": "requests_in_flight",
                "kind": "gauge",
                "help": "Exchanges under way.",
                "labels": ["route"],
                "rule": "sum",
                "bounds": [],
                "samples": [[[name], route.in_flight] for name, route in self._routes.items()],
            },
        ]


def alone(name: str, kind: str, text: str, value: float, rule: str = "sum") -> dict[str, Any]:
    """A family of a snapshot that has one value and no labels."""
    return {
        "name": name,
        "kind": kind,
        "help": text,
        "labels": [],
        "rule": rule,
        "bounds": [],
        "samples": [[[], value]],
    }


def _process() -> Snapshot:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - asked often, and a plain read is all it takes
            resident = int(file.read().split()[1]) * resource.getpagesize()
        descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    except OSError:  # no /proc: the peak is the best there is
        resident, descriptors = usage.ru_maxrss * 1024, 0
    collections = sum(each["collections"] for each in gc.get_stats())
    return [
        alone(
            "process_cpu_seconds_total", "counter", "Processor time of all workers.", usage.ru_utime + usage.ru_stime
        ),
        alone("process_resident_memory_bytes", "gauge", "Resident memory of all workers.", resident),
        alone("process_open_fds", "gauge", "Open file descriptors of all workers.", descriptors),
        alone(
            "process_max_fds",
            "gauge",
            "File descriptors that all workers together may open.",
            resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        ),
        alone("process_gc_collections_total", "counter", "Runs of the garbage collector.", collections),
    ]


def merge(snapshots: Sequence[Snapshot]) -> Snapshot:
    """Several workers' numbers as one: counters and histograms add up, gauges by their rule."""
    if len(snapshots) == 1:
        return snapshots[0]
    families: dict[str, dict[str, Any]] = {}
    for snapshot in snapshots:
        for family in snapshot:
            merged = families.setdefault(family["name"], {**family, "samples": {}})
            for values, value in family["samples"]:
                _add(merged["samples"], tuple(values), value, family["rule"])
    return [
        {**family, "samples": [[list(values), value] for values, value in family["samples"].items()]}
        for family in families.values()
    ]


def _add(samples: dict[tuple[str, ...], Any], values: tuple[str, ...], value: Any, rule: str) -> None:
    before = samples.get(values)
    if before is None:
        samples[values] = value
    elif rule == "ratio":
        samples[values] = [before[0] + value[0], before[1] + value[1]]
    elif isinstance(value, list):
        count, total, buckets = before
        samples[values] = [count + value[0], total + value[1], [a + b for a, b in zip(buckets, value[2], strict=True)]]
    else:
        samples[values] = {"sum": before + value, "max": max(before, value), "min": min(before, value)}[rule]


def render(snapshot: Snapshot, accept: str = "") -> tuple[bytes, str]:
    """The exposition text and its media type: OpenMetrics if ``accept`` asks for it, else Prometheus' own."""
    import prometheus_client  # noqa: PLC0415 - its memory is paid by who renders, not by every worker
    import prometheus_client.core as core  # noqa: PLC0415, PLR0402
    from prometheus_client import exposition  # noqa: PLC0415

    class Gathered:
        def collect(self) -> Iterable[Any]:
            for family in snapshot:
                yield _metric(core, family)

    registry = prometheus_client.CollectorRegistry(auto_describe=False)
    registry.register(Gathered())
    encode, media_type = exposition.choose_encoder(accept)
    return encode(registry), media_type


def _metric(core: Any, family: dict[str, Any]) -> Any:
    name, labels = PREFIX + family["name"], family["labels"]
    if family["kind"] == "counter":
        metric = core.CounterMetricFamily(name.removesuffix("_total"), family["help"], labels=labels)
    elif family["kind"] == "gauge":
        metric = core.GaugeMetricFamily(name, family["help"], labels=labels)
    else:
        metric = core.HistogramMetricFamily(name, family["help"], labels=labels)
    for values, value in family["samples"]:
        if family["kind"] == "histogram":
            metric.add_metric(values, _cumulative(family["bounds"], value[2]), value[1])
        elif family["rule"] == "ratio":
            if value[1]:  # of nothing there is no share
                metric.add_metric(values, value[0] / value[1])
        else:
            metric.add_metric(values, value)
    return metric


def _cumulative(bounds: Sequence[float], buckets: Sequence[int]) -> list[tuple[str, float]]:
    total = 0
    rows: list[tuple[str, float]] = []
    for bound, count in zip([*(str(bound) for bound in bounds), "+Inf"], buckets, strict=True):
        total += count
        rows.append((bound, total))
    return rows
