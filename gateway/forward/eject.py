"""Passive health: a target on which requests fail in a row is left out for a while.

    well ──failures in a row──▶ ejected ──time──▶ well, starting slowly
                                   ▲                 │
                                   └── each further time longer, unless it did well meanwhile

Not more than a share of the targets is out at once (one always may be, where there are two or more).
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.config.upstream import PassiveHealth
from gateway.errors import GatewayError, Source
from gateway.forward.target import LiveTarget

FAILING: frozenset[int] = frozenset({502, 503, 504})
"""Statuses that count against a target: what a service says when it, or what it needs, is not there. A 500 is about one
request."""


def counts(error: GatewayError) -> bool:
    """Whether an error is held against the target: not what the client did, nor our own limits and bugs."""
    return error.source is Source.UPSTREAM and error.code != "connection_reset"


class Ejector:
    """The rules of ejection over an upstream's targets. Knows the time only from its callers."""

    __slots__ = ("_settings", "_targets")

    def __init__(self, settings: PassiveHealth, targets: Sequence[LiveTarget]) -> None:
        self._settings = settings
        self._targets = targets

    def failed(self, target: LiveTarget, now: float) -> bool:
        """Count a failure. True if the target is ejected by it."""
        target.failures += 1
        if target.ejected or target.failures < self._settings.failures or not self._room():
            return False
        calm = min(now - target.returned, 1e9)  # a base time without ejection takes one step of the lengthening back
        target.ejections = max(0, target.ejections - int(calm / self._settings.base_ejection))
        target.ejections += 1
        target.ejected = True
        length = min(self._settings.base_ejection * target.ejections, self._settings.max_ejection)
        target.ejected_until = now + length
        return True

    def _room(self) -> bool:
        out = sum(target.ejected for target in self._targets)
        count = len(self._targets)
        allowed = max(1, int(self._settings.max_ejected * count)) if count > 1 else 0
        return out < allowed

    def expire(self, now: float) -> list[LiveTarget]:
        """Take back the targets whose time is over, and return them."""
        back = [target for target in self._targets if target.ejected and target.ejected_until <= now]
        for target in back:
            target.ejected = False
            target.failures = 0
            target.returned = target.started = now
        return back

    def due(self) -> float | None:
        """When `expire` has something to do next."""
        return min((target.ejected_until for target in self._targets if target.ejected), default=None)
