"""What a cache counts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from gateway.http import Response
from gateway.plugin import Context
from gateway.services.metrics import Metrics
from plugins.cache.entry import Entry
from plugins.cache.freshness import Unstored

if TYPE_CHECKING:
    from plugins.cache import Cache

WINDOW: Final = 300.0
"""Seconds over which the hit ratio is told."""
APART: Final = 5.0
"""Seconds between two looks that are remembered: with several who look, the window still reaches back."""
RESULTS: Final = ("hit", "stale", "miss", "revalidated", "collapsed", "pass", "error")
AGES: Final = (1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 21600.0, 86400.0, 604800.0)
"""Bucket bounds in seconds: from answers that hardly hold to those that hold a week."""
Samples = list[tuple[tuple[str, str], float]]
_shown: Final[WeakKeyDictionary[Metrics, dict[tuple[str, str], Cache]]] = WeakKeyDictionary()
"""The caches that are open, by route and id: gauges are read from them when somebody looks."""
_GAUGES: Final[tuple[tuple[str, str, Callable[[Cache], float]], ...]] = (
    ("cache_memory_bytes", "Bytes of answers kept in memory.", lambda cache: cache.shelf.memory.used),
    ("cache_entries", "Answers kept in memory.", lambda cache: len(cache.shelf.memory)),
    ("cache_fetches", "Fetches under way.", lambda cache: cache.counts.in_flight),
)


class Counts:
    """Metrics' children, bound once."""

    def __init__(self, context: Context) -> None:
        place = (context.route, context.id)
        labels = ("route", "plugin")
        metrics = context.metrics
        requests = metrics.counter(
            "cache_requests_total", "Requests by what the cache made of them.", (*labels, "outcome")
        )
        self.results: dict[str, Any] = {result: requests.child(*place, result) for result in RESULTS}
        self.hits = self.results["hit"]
        served = metrics.counter("cache_bytes_total", "Bytes of bodies served from the cache.", labels)
        self.hit_bytes = served.child(*place)
        self.age = metrics.histogram(
            "cache_age_seconds", "Age of answers served from the cache.", labels, bounds=AGES
        ).child(*place)
        unstored = metrics.counter(
            "cache_unstored_total", "Answers that were not kept, by the reason.", (*labels, "reason")
        )
        self._unstored = {reason: unstored.child(*place, reason.value) for reason in Unstored}
        self.purges = metrics.counter("cache_purges_total", "Purges and invalidations declared.", labels).child(*place)
        self.in_flight: int = 0
        self.buffered: int = 0
        """Bytes of bodies that are being fetched and may be kept: bounded by what memory may hold."""
        self._place = place
        self._clock = context.clock
        self._looks: deque[tuple[float, float, float]] = deque([(context.clock.now(), 0.0, 0.0)], maxlen=128)
        """When somebody looked, and what had been counted by then: hits, requests."""
        shown = _shown.setdefault(metrics, {})

        def read(value: Callable[[Cache], float]) -> Callable[[], Samples]:
            return lambda: [(place, value(each)) for place, each in shown.items()]

        for name, text, value in _GAUGES:
            metrics.gauge(name, text, labels, read=read(value))
        metrics.gauge(
            "cache_hit_ratio",
            "Share of requests answered from the cache, over the last five minutes or since the last look before.",
            labels,
            rule="ratio",
            read=lambda: [(place, each.counts.ratio()) for place, each in shown.items()],
        )
        evicted = metrics.counter("cache_evictions_total", "Answers that had to make room.", labels)
        evicted.read = read(lambda cache: cache.shelf.memory.evicted)

    def show(self, cache: Cache) -> None:
        """Let the gauges tell of it."""
        _shown[cache.context.metrics][self._place] = cache

    def hide(self, cache: Cache) -> None:
        """It is closed, or was never opened."""
        shown = _shown[cache.context.metrics]
        if shown.get(self._place) is cache:
            del shown[self._place]

    def asked(self) -> tuple[float, float]:
        """What was answered from the cache so far, and all that was asked."""
        results = self.results
        return results["hit"].value + results["stale"].value, sum([each.value for each in results.values()])

    def ratio(self) -> list[float]:
        """The same over the window."""
        now, (hits, requests), looks = self._clock.now(), self.asked(), self._looks
        while len(looks) > 1 and looks[1][0] <= now - WINDOW:
            looks.popleft()
        _, hits_then, requests_then = looks[0]
        if now - looks[-1][0] >= APART:
            looks.append((now, hits, requests))
        return [hits - hits_then, requests - requests_then]

    def hit(self, entry: Entry, now: float, result: str, response: Response) -> None:
        """An answer from what is stored."""
        self.results[result].value += 1
        self.hit_bytes.value += len(response.body.whole or b"")
        self.age.observe(now - entry.born)

    def unstored(self, reason: Unstored) -> None:
        """An answer that was not kept."""
        self._unstored[reason].value += 1
