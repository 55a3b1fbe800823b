"""One target made live: its address, its connections, and what is known of how it does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from gateway.plugin import Gate
from gateway.services.metrics import Counter, Histogram
from gateway.transport.endpoint import Endpoint
from gateway.transport.pool import Pool

_SMOOTHING: Final = 0.1
"""Weight of the newest answer in a target's latency."""
SLOW_START_FLOOR: Final = 0.1
"""Share of its weight with which a target begins a slow start: enough to be measured, too little to be hurt."""


@dataclass(slots=True)
class Tally:
    """A target's counters; they belong to the worker's metrics and outlive a reload."""

    ok: Counter
    """Answers that count as success."""
    bad: Counter
    """Answers that count against the target (502, 503, 504)."""
    failed: Counter
    """No answer: not connected, reset, malformed, too late."""
    durations: Histogram
    """Seconds to the head of an answer; of the upstream, not of this target alone."""


class LiveTarget:
    """A target of an upstream. What is read or written once per request is a plain attribute."""

    __slots__ = (
        "active",
        "authority",
        "durations",
        "ejected",
        "ejected_until",
        "ejections",
        "endpoint",
        "failures",
        "gate",
        "latency",
        "name",
        "ok",
        "order",
        "passed",
        "pool",
        "priority",
        "probed",
        "returned",
        "seed",
        "started",
        "tally",
        "weight",
    )

    def __init__(self, endpoint: Endpoint, pool: Pool, tally: Tally, *, weight: int = 1, priority: int = 0) -> None:
        self.name = endpoint.url
        self.endpoint = endpoint
        self.pool = pool
        self.tally = tally
        self.ok = tally.ok
        self.durations = tally.durations
        self.weight = weight
        self.priority = priority
        self.authority = endpoint.authority
        """What Host says to it unless a route wants otherwise."""
        digest = blake2b(self.name.encode(), digest_size=8).digest()
        self.seed = int.from_bytes(digest, "big")
        """Its place in consistent hashing; depends on nothing but its URL, so all workers and replicas agree."""
        self.active = 0
        """Exchanges under way."""
        self.latency = 0.0
        """Seconds to the head of an answer, moving average over about ten."""
        self.failures = 0
        """Failures in a row."""
        self.passed = 0
        """Probes in a row that say the opposite of ``probed``."""
        self.probed = True
        """What active checks found last; true where there are none."""
        self.ejected = False
        self.ejected_until = 0.0
        self.ejections = 0
        """How often ejected of late: the next ejection is this much longer."""
        self.returned = -math.inf
        """When the last ejection ended."""
        self.started = -math.inf
        """When a slow start began."""
        self.gate: Gate | None = None

    @property
    def well(self) -> bool:
        """Neither found ill by probes nor ejected."""
        return self.probed and not self.ejected

    def share(self, now: float, slow_start: float) -> float:
        """Its weight at this moment: growing from a tenth while it starts slowly (``slow_start`` seconds)."""
        grown = (now - self.started) / slow_start if slow_start > 0 else 1.0
        return self.weight * min(1.0, max(SLOW_START_FLOOR, grown))

    def resume(self, known: LiveTarget) -> None:
        """Go on with what is known of the same target from before a reload."""
        self.probed = known.probed
        self.ejected, self.ejected_until = known.ejected, known.ejected_until
        self.ejections, self.returned, self.failures = known.ejections, known.returned, known.failures
        self.started, self.latency = known.started, known.latency

    def timed(self, seconds: float) -> None:
        """The head of an answer came after so many seconds."""
        self.latency += (seconds - self.latency) * _SMOOTHING
        self.durations.observe(seconds)

    def release(self) -> None:
        """An exchange with it has ended."""
        self.active -= 1

    def snapshot(self) -> dict[str, Any]:
        """For people: state, load and connections."""
        return {
            "target": self.name,
            "state": "ejected" if self.ejected else "well" if self.probed else "ill",
            "admitted": self.gate is None or self.gate.admits(),
            "weight": self.weight,
            "priority": self.priority,
            "active": self.active,
            "answers": {"ok": self.ok.value, "bad": self.tally.bad.value, "failed": self.tally.failed.value},
            "latency_ms": round(self.latency * 1000, 3),
            "failures_in_a_row": self.failures,
            "ejections": self.ejections,
            "pool": {
                "open": self.pool.total,
                "idle": self.pool.idle,
                "waiting": self.pool.waiting,
                "opened": self.pool.opened,
                "overran": self.pool.overran,
            },
        }
