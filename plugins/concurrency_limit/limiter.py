"""Places, and the line of those who wait for one. Knows no requests."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final

from gateway.services.clock import Clock, Deadlines
from gateway.services.metrics import Counter
from plugins.concurrency_limit.gradient import Gradient

CLASSES: Final = 8
_PACE: Final = 0.1
"""Weight of the newest answer in what is told as `Retry-After`."""


class Rules:
    """What an operator set, made ready. Those of a request go with it, so that a reload changes what comes after."""

    __slots__ = ("adaptive", "limit", "patience", "shares", "size")

    def __init__(
        self,
        limit: int,
        shares: tuple[float, ...] = (1.0,),
        size: int = 0,
        timeout: float = 1.0,
        *,
        adaptive: bool = False,
    ) -> None:
        """``shares`` of the limit by class, the highest class first; ``timeout`` in seconds."""
        self.limit = limit
        self.shares = shares
        self.size = size
        self.patience = timeout / 2
        self.adaptive = adaptive


class Watch:
    """The gauges of one limiter, or of all that share a label."""

    __slots__ = ("in_flight", "limit", "queued")

    def __init__(self, in_flight: Counter, queued: Counter, limit: Counter) -> None:
        self.in_flight = in_flight
        self.queued = queued
        self.limit = limit


class Waiter:
    """One that waits."""

    __slots__ = ("limiter", "outcome", "rank", "rules", "since")

    def __init__(self, limiter: Limiter, rules: Rules, rank: int, since: float) -> None:
        self.limiter = limiter
        self.rules = rules
        self.rank = rank
        self.since = since
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Nothing: it has a place. Else why it has none."""

    def on_deadline(self) -> None:
        self.limiter.dismiss(self, "timeout")


class Limiter:
    """The places of one route, target or caller in this worker."""

    __slots__ = ("_clock", "_idle", "_lines", "_watch", "gradient", "in_flight", "name", "pace", "queued")

    def __init__(self, name: str, clock: Clock, watch: Watch, idle: Callable[[], None] | None = None) -> None:
        """``idle`` is called whenever nobody is under way any more."""
        self.name = name
        self._clock = clock
        self._watch = watch
        self._idle = idle
        self._lines: tuple[OrderedDict[Waiter, None], ...] | None = None
        self.in_flight = 0
        self.queued = 0
        self.gradient: Gradient | None = None
        self.pace = 0.0
        """Seconds that an answer takes, smoothed."""

    def limit(self, rules: Rules) -> int:
        """Places that there are."""
        gradient = self.gradient
        return gradient.allowed if rules.adaptive and gradient is not None else rules.limit

    def has_room(self, rules: Rules, rank: int = 0) -> bool:
        """Whether a request of that class would get a place at once."""
        if self.in_flight >= max(1, int(self.limit(rules) * rules.shares[rank] + 1e-9)):
            return False
        return not self.queued or self._lines is None or not any(self._lines[: rank + 1])

    def enter(self, rules: Rules, rank: int) -> bool:
        """Take a place, if there is one."""
        gradient = self.gradient
        if gradient is not None and gradient.probing and gradient.overdue(self._clock.now()):
            self._watch.limit.value = gradient.allowed
            self._call()
        if not self.has_room(rules, rank):
            return False
        self.take()
        return True

    def take(self) -> None:
        """Take a place, whether there is one or not."""
        self.in_flight += 1
        self._watch.in_flight.value += 1
        if self.gradient is not None:
            self.gradient.began(self.in_flight)

    def leave(self) -> None:
        """Give a place back."""
        self.in_flight -= 1
        self._watch.in_flight.value -= 1
        if self.queued:
            self._call()
        if not self.in_flight and not self.queued and self._idle is not None:
            self._idle()

    def took(self, now: float, seconds: float) -> None:
        """An answer that says something of the target came after so long."""
        self.pace += (seconds - self.pace) * (_PACE if self.pace else 1.0)
        gradient = self.gradient
        if gradient is not None and gradient.ended(now, seconds):
            self._watch.limit.value = gradient.allowed
            self._call()

    # -- the line ------------------------------------------------------------------------------------------------------

    async def wait(self, rules: Rules, rank: int, deadlines: Deadlines) -> str:
        """Wait for a place; nothing if there is one now, else why not: ``full``, ``evicted`` or ``timeout``."""
        if self.queued >= rules.size and not self._evict(rank):
            return "full"
        if self._lines is None:
            self._lines = tuple(OrderedDict() for _ in range(CLASSES))
        waiter = Waiter(self, rules, rank, self._clock.now())
        self._lines[rank][waiter] = None
        self._count(1)
        deadlines.add(waiter)
        try:
            return await waiter.outcome
        except asyncio.CancelledError:
            # The client has left: out of the line or, if it was called in this very moment, from its place.
            if not waiter.outcome.done() or waiter.outcome.cancelled():
                self.dismiss(waiter, "left")
            elif not waiter.outcome.result():
                self.leave()
            raise
        finally:
            deadlines.discard(waiter)

    def dismiss(self, waiter: Waiter, why: str) -> None:
        """Out of the line without a place."""
        assert self._lines is not None, "somebody waits"
        if waiter in self._lines[waiter.rank]:
            del self._lines[waiter.rank][waiter]
            self._count(-1)
        if not waiter.outcome.done():
            waiter.outcome.set_result(why)

    def close(self) -> None:
        """Nobody will be called any more."""
        for line in self._lines or ():
            for waiter in list(line):
                self.dismiss(waiter, "closed")

    def _count(self, by: int) -> None:
        self.queued += by
        self._watch.queued.value += by

    def _evict(self, rank: int) -> bool:
        """Make room in a full line: the newest of the lowest class goes, if that class is lower."""
        if self._lines is not None and self.queued:
            for line in reversed(self._lines[rank + 1 :]):
                if line:
                    self.dismiss(next(reversed(line)), "evicted")
                    return True
        return False

    def _call(self) -> None:
        """Give the places that there are to those who wait, the highest class first."""
        if not self.queued or self._lines is None:
            return
        now = self._clock.now()
        for rank, line in enumerate(self._lines):
            while line:
                oldest = next(iter(line))
                rules = oldest.rules
                if self.in_flight >= max(1, int(self.limit(rules) * rules.shares[rank] + 1e-9)):
                    return
                waiter = next(reversed(line)) if now - oldest.since > rules.patience else oldest
                del line[waiter]
                self._count(-1)
                if not waiter.outcome.done():  # else its client left in this very moment
                    self.take()
                    waiter.outcome.set_result("")

    def snapshot(self, rules: Rules) -> dict[str, Any]:
        """For people."""
        made = {
            "of": self.name,
            "in_flight": self.in_flight,
            "queued": self.queued,
            "limit": self.limit(rules),
        }
        return made if self.gradient is None else {**made, **self.gradient.snapshot()}


class Limiters:
    """All of one plugin, kept over reloads: what is under way goes on being counted when a limit changes."""

    def __init__(self, forget: Callable[[], None]) -> None:
        """``forget`` is called at the end."""
        self.by_name: dict[Hashable, Limiter] = {}
        self._forget = forget

    async def close(self) -> None:
        """The last plugin that used them is gone."""
        for limiter in list(self.by_name.values()):
            limiter.close()
        self.by_name.clear()
        self._forget()
