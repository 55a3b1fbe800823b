"""When an item that failed is tried again, and when no more."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

SPREAD: Final = 0.1
"""A step of a given schedule may take this share longer, by chance, so that what failed together comes apart."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Spans are seconds."""

    base: float = 1.0
    max: float = 3600.0
    """The wait before retry ``n`` is drawn from 0 to ``min(max, base * 2^(n-1))`` (full jitter)."""
    max_age: float = 259_200.0
    """An item that fails at this age, or is older, is given up. The last try is made when it is reached."""
    attempts: int | None = None
    """Most attempts; None: as many as `max_age` allows."""
    steps: Sequence[float] = ()
    """Instead of base and max: the waits one by one. After the last of them there is no more."""

    def due(
        self,
        failures: int,
        accepted: float,
        now: float,
        draw: Callable[[], float],
        *,
        after: float | None = None,
        replayed: bool = False,
    ) -> float | None:
        """When the next attempt may be made, after so many that failed; None: there is none.

        ``after`` is what the target asked for; it is obeyed up to ``max``. How long ago an item was ``replayed`` is not
        known: its age is then what its failures should have taken.
        """
        if self.attempts is not None and failures >= self.attempts:
            return None
        if self.steps and failures > len(self.steps):
            return None
        end = now + self.max_age - self._spent(failures) if replayed else accepted + self.max_age
        if now >= end:
            return None
        wait = draw() * self._ceiling(failures) if not self.steps else self.steps[failures - 1] * (1 + SPREAD * draw())
        if after is not None:
            wait = max(wait, min(after, self.longest))
        return min(now + wait, end)

    @property
    def longest(self) -> float:
        """The longest wait."""
        return max(self.steps) if self.steps else self.max

    def _ceiling(self, failures: int) -> float:
        return min(self.max, self.base * 2.0 ** min(failures - 1, 60))

    def _spent(self, failures: int) -> float:
        """About what the waits between so many attempts come to."""
        if self.steps:
            return math.fsum(self.steps[: failures - 1])
        doubling = max(0, math.ceil(math.log2(self.max / self.base))) if self.max > self.base else 0
        short = min(failures - 1, doubling)
        return (self.base * (2.0**short - 1) + self.max * (failures - 1 - short)) / 2
