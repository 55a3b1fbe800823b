"""A limit that follows latency: how much slower than at rest answers are says how much too high it is."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any, Final

from plugins.concurrency_limit.settings import Adaptive

MOST: Final = 1000
"""Latencies kept of one window; beyond, newer ones take the places of older ones."""
NOISE: Final = 0.001
"""Seconds: what the event loop adds by chance must not look like a jam where answers take less than that."""
_LEAST: Final = 0.5
"""A window at most halves the limit: one bad second is not a collapse."""
_LONGEST_PROBE: Final = 10.0
"""A probe lasts at most so many baselines, and one window: a target that hangs must not keep the limit down."""
_JITTER: Final = 0.15


class Gradient:
    """One target's limit. Knows no requests, only how long answers took."""

    __slots__ = (
        "_began",
        "_chance",
        "_count",
        "_due",
        "_peak",
        "_probes",
        "_took",
        "baseline",
        "limit",
        "probing",
        "sample",
        "settings",
    )

    def __init__(
        self,
        settings: Adaptive,
        limit: float,
        now: float,
        *,
        probes: bool = True,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self.limit = min(max(limit, settings.min), settings.max)
        self.baseline: float | None = None
        """Seconds an answer takes at rest; None until something was measured."""
        self.sample = 0.0
        """What the last window came to."""
        self.probing = False
        self._probes = probes
        self._chance = chance
        self._due = math.inf
        self._begin(now)

    @property
    def allowed(self) -> int:
        """Requests that may be under way now."""
        return self.settings.min if self.probing else int(self.limit)

    def _begin(self, now: float) -> None:
        self._began = now
        self._took: list[float] = []
        self._count = 0
        self._peak = 0

    def began(self, in_flight: int) -> None:
        """A request is under way; with it so many are."""
        self._peak = max(self._peak, in_flight)

    def ended(self, now: float, seconds: float) -> bool:
        """An answer came after so long. Returns whether another number is allowed now."""
        if self.probing and now - seconds < self._began:
            return False  # it began when more were under way
        if self._count < MOST:
            self._took.append(seconds)
        else:
            self._took[self._count % MOST] = seconds
        self._count += 1
        before = self.allowed
        if self.probing:
            self._probe(now)
        elif self._count >= self.settings.samples and now - self._began >= self.settings.window:
            self._step(now)
        return self.allowed != before

    def overdue(self, now: float) -> bool:
        """End a probe that takes too long, its target being silent. Returns whether another number is allowed now."""
        longest = self.settings.window + _LONGEST_PROBE * (self.baseline or 0.0)
        if not self.probing or now - self._began < longest:
            return False
        if self._took:
            self._rest(now, self._quantile())
        self._end_probe(now)
        return True

    def _quantile(self) -> float:
        took = sorted(self._took)
        return took[min(int(len(took) * self.settings.quantile), len(took) - 1)]

    def _rest(self, now: float, seconds: float) -> None:
        """So long it takes at rest."""
        self.baseline = seconds
        self._due = now + self.settings.probe * (1 - _JITTER * self._chance())

    def _probe(self, now: float) -> None:
        if self._count >= self.settings.samples:
            self._rest(now, self._quantile())
            self._end_probe(now)

    def _end_probe(self, now: float) -> None:
        self.probing = False
        self._due = max(self._due, now + self.settings.probe * (1 - _JITTER * self._chance()))
        self._begin(now)

    def _step(self, now: float) -> None:
        settings = self.settings
        self.sample = sample = self._quantile()
        if self._peak <= settings.min:
            self._rest(now, sample)
        elif self.baseline is None or (not self._probes and sample < self.baseline):
            self.baseline, self._due = sample, now  # under load: a guess, to be probed at once
        assert self.baseline is not None, "it was set above"
        gradient = max(_LEAST, min(1.0, (self.baseline * (1 + settings.tolerance) + NOISE) / sample)) if sample else 1.0
        wanted = self.limit * gradient + math.sqrt(self.limit)
        # What nobody uses is not tried, so it must not grow: a burst would find a limit that means nothing.
        if wanted < self.limit or self._peak * 2 >= self.limit:
            self.limit = min(max(wanted, settings.min), settings.max)
        self._begin(now)
        if self._probes and now >= self._due:
            self.probing = True

    def snapshot(self) -> dict[str, Any]:
        """For people."""
        return {
            "baseline": None if self.baseline is None else round(self.baseline, 6),
            "sample": round(self.sample, 6),
            "probing": self.probing,
        }
