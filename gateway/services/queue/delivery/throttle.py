"""How much may be sent to one upstream, by all who deliver to it: concurrency, rate, and care after an illness.

Every sign of illness (no connection, no answer in time, 429, 502, 503, 504) halves the *share* of concurrency and rate
that may be used; once the upstream answers again the share grows back over ``recovery`` seconds, so that what has piled
up does not flatten a service that has just come up. After `PATIENCE` such signs in a row nothing is sent for a while,
ever longer up to `LONGEST_PAUSE` or the longest wait that its owners allow, then one item at a time to see: what waits
does not burn its attempts meanwhile.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Hashable
from typing import Any, Final

from gateway.services.clock import Clock

PATIENCE: Final = 3
SHORTEST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
MOST_ASKED: Final = 300.0
"""Seconds that an upstream may ask all deliveries to wait for (``Retry-After``)."""
BURST: Final = 0.1
"""Seconds' worth of the rate that may go out at once."""


class Throttle:
    """One upstream's, in one process."""

    def __init__(self, clock: Clock, *, draw: Callable[[], float] = random.random) -> None:
        self.in_flight = 0
        self.share = 1.0
        """Of concurrency and rate."""
        self.concurrency = 1
        self.rate = math.inf
        """Items a second."""
        self.recovery = 30.0
        self._clock = clock
        self._draw = draw
        self.longest = math.inf
        """Seconds that a pause after illness may take, and one that the upstream asks for."""
        self._limits: dict[Hashable, tuple[int, float | None, float, float]] = {}
        self._tokens = 1.0
        self._counted_at = clock.now()
        self._ill = 0
        """Signs of illness since the last success."""
        self._paused_until = -math.inf
        self._failing = False
        self._grown_at = 0.0
        self._changed: asyncio.Future[None] | None = None

    async def close(self) -> None:
        """Nothing is held."""

    # -- limits ------------------------------------------------------------------------------------------------

    def limit(
        self, owner: Hashable, concurrency: int, rate: float | None, recovery: float, longest: float = math.inf
    ) -> None:
        """One who delivers here says how much may be, and how long it would wait; of several the least holds."""
        self._limits[owner] = (concurrency, rate, recovery, longest)
        self._least()

    def forget(self, owner: Hashable) -> None:
        """It delivers here no more."""
        self._limits.pop(owner, None)
        self._least()

    def _least(self) -> None:
        limits = self._limits.values()
        self.concurrency = min((each[0] for each in limits), default=1)
        self.rate = min((each[1] for each in limits if each[1] is not None), default=math.inf)
        self.recovery = max((each[2] for each in limits), default=30.0)
        self.longest = min((each[3] for each in limits), default=math.inf)
        self.wake()

    # -- room --------------------------------------------------------------------------------------------------

    @property
    def allowed(self) -> int:
        """Items under way at once, now."""
        return 1 if self._ill >= PATIENCE else max(1, int(self.concurrency * self.share))

    @property
    def paused(self) -> bool:
        """Nothing is sent for a while."""
        return self._clock.now() < self._paused_until

    def reserve(self, most: int) -> int:
        """Take up to ``most`` places; give back what is not used."""
        if self.paused:
            return 0
        room = min(most, self.allowed - self.in_flight)
        if self.rate < math.inf:
            self._count()
            room = min(room, int(self._tokens))
        if room <= 0:
            return 0
        self.in_flight += room
        self._tokens -= room
        return room

    def unused(self, places: int) -> None:
        """There was nothing to send."""
        if places:
            self._tokens += places
            self.release(places)

    def release(self, places: int = 1) -> None:
        """An item is no longer under way."""
        self.in_flight -= places
        self.wake()

    def wait(self) -> float:
        """Seconds after which `reserve` may give something, if nobody releases a place before."""
        left = self._paused_until - self._clock.now()
        if left > 0:
            return left
        if self.in_flight >= self.allowed or self.rate == math.inf:
            return math.inf
        self._count()
        # A hair more, as what is counted in floating point may fall short of a whole token.
        return max(0.0, (1.0 - self._tokens) / (self.rate * self.share)) + 1e-6

    def _count(self) -> None:
        now = self._clock.now()
        rate = self.rate * self.share
        self._tokens = min(max(1.0, rate * BURST), self._tokens + (now - self._counted_at) * rate)
        self._counted_at = now

    def wake(self) -> None:
        """Something has changed: who waits looks again."""
        changed, self._changed = self._changed, None
        if changed is not None and not changed.done():
            changed.set_result(None)

    def change(self) -> asyncio.Future[None]:
        """What is done when something changes. It is everybody's: ask in the same breath as `reserve`, never cancel."""
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        return self._changed

    # -- how it goes -------------------------------------------------------------------------------------------

    def succeeded(self) -> None:
        """The upstream has answered as one that is well."""
        self._ill = 0
        now = self._clock.now()
        if self._failing:
            self._failing, self._grown_at = False, now
        elif self.share < 1.0:
            self._count()
            grown = (now - self._grown_at) / self.recovery if self.recovery > 0 else 1.0
            self.share = min(1.0, self.share + grown)
            self._grown_at = now

    def failed(self, *, ill: bool, after: float | None = None) -> None:
        """An item failed. ``after``: the upstream asks to be left alone for so many seconds."""
        if not ill:
            return
        self._failing = True
        self._count()
        self.share = max(1.0 / self.concurrency, self.share / 2)
        self._ill += 1
        if self._ill >= PATIENCE:
            ceiling = min(LONGEST_PAUSE, self.longest, SHORTEST_PAUSE * 2.0 ** min(self._ill - PATIENCE, 20))
            self.pause(ceiling * (0.5 + 0.5 * self._draw()))
        if after is not None:
            self.pause(min(after, MOST_ASKED, self.longest))

    def pause(self, seconds: float) -> None:
        """Send nothing for so long."""
        self._paused_until = max(self._paused_until, self._clock.now() + seconds)

    def snapshot(self) -> dict[str, Any]:
        """For people."""
        return {
            "in_flight": self.in_flight,
            "allowed": self.allowed,
            "share": round(self.share, 3),
            "paused_seconds": round(max(0.0, self._paused_until - self._clock.now()), 3),
        }
