"""One target's circuit breaker: a state machine that is a table, and what it counts."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, Final

from gateway.services.clock import Clock

if TYPE_CHECKING:
    from plugins.circuit_breaker import CircuitBreakerSettings


class State(IntEnum):
    """Of a breaker; the numbers are the metric's."""

    CLOSED = 0
    """Requests pass, their ends are counted."""
    HALF_OPEN = 1
    """A few requests pass as probes."""
    OPEN = 2
    """None pass."""


class Event(StrEnum):
    """What can change it."""

    TRIPPED = "tripped"
    """A criterion is met."""
    WAITED = "waited"
    """The open time is over, and somebody asks."""
    FAILED = "failed"
    """A probe failed."""
    RECOVERED = "recovered"
    """All probes succeeded."""
    RESET = "reset"
    """An operator closes it."""


TRANSITIONS: Final[Mapping[State, Mapping[Event, State]]] = {
    State.CLOSED: {Event.TRIPPED: State.OPEN},
    State.OPEN: {Event.WAITED: State.HALF_OPEN, Event.RESET: State.CLOSED},
    State.HALF_OPEN: {Event.FAILED: State.OPEN, Event.RECOVERED: State.CLOSED, Event.RESET: State.CLOSED},
}
"""What is not here changes nothing."""

_SLICES: Final = 10
"""Parts of the window for shares: what is older leaves it a tenth at a time."""


class Tally:
    """Ends of attempts while closed, as far as the criteria need them."""

    __slots__ = ("_failed", "_recent", "_row", "_settings", "_slices", "_slow", "_total")

    def __init__(self, settings: CircuitBreakerSettings) -> None:
        self._settings = settings
        self._row = 0
        self._recent: deque[float] = deque(maxlen=settings.most_failures or 1)
        self._slices: deque[list[int]] = deque()
        """[number, attempts, failed, slow], oldest first; at most `_SLICES`."""
        self._total = self._failed = self._slow = 0

    def add(self, now: float, *, failed: bool, slow: bool) -> str | None:
        """Count one; returns the criterion that is met now, in words."""
        settings = self._settings
        if settings.error_rate is not None or settings.slow is not None:
            self._share(now, failed=failed, slow=slow)
        if failed:
            self._row += 1
            if settings.consecutive is not None and self._row >= settings.consecutive:
                return f"{self._row} failures in a row"
            if (most := settings.most_failures) is not None:
                recent = self._recent
                recent.append(now)
                if len(recent) == most and now - recent[0] < settings.window:
                    return f"{most} failures within {settings.window:g}s"
        else:
            self._row = 0
        if self._total >= settings.min_requests:
            if settings.error_rate is not None and self._failed >= settings.error_rate * self._total:
                return f"{self._failed} of {self._total} attempts failed within {settings.window:g}s"
            if settings.slow is not None and self._slow >= settings.slow.rate * self._total:
                return f"{self._slow} of {self._total} answers took longer than {settings.slow.over:g}s"
        return None

    def _share(self, now: float, *, failed: bool, slow: bool) -> None:
        number = int(now / self._settings.window * _SLICES)
        slices = self._slices
        while slices and slices[0][0] <= number - _SLICES:
            _, total, bad, late = slices.popleft()
            self._total -= total
            self._failed -= bad
            self._slow -= late
        if not slices or slices[-1][0] != number:
            slices.append([number, 0, 0, 0])
        newest = slices[-1]
        newest[1] += 1
        newest[2] += failed
        newest[3] += slow
        self._total += 1
        self._failed += failed
        self._slow += slow


class Breaker:
    """One target's breaker, and the gate that the balancer reads. Knows no requests, only their ends."""

    __slots__ = (
        "__weakref__",
        "_changed",
        "_clock",
        "_settings",
        "_shadow",
        "_tally",
        "opens",
        "probing",
        "proved",
        "since",
        "state",
        "target",
        "turn",
        "until",
    )

    def __init__(
        self,
        target: str,
        settings: CircuitBreakerSettings,
        clock: Clock,
        changed: Callable[[Breaker, str], None],
        *,
        shadow: bool = False,
    ) -> None:
        """``changed`` is told of each change of state and why."""
        self.target = target
        self._settings = settings
        self._clock = clock
        self._changed = changed
        self._shadow = shadow
        self._tally = Tally(settings)
        self.state = State.CLOSED
        self.since = clock.now()
        self.until = 0.0
        """When the open time is over."""
        self.opens = 0
        """How often it opened since it was last closed."""
        self.probing = self.proved = 0
        self.turn = 0
        """Counts changes: what began before one has no say after it."""

    def admits(self) -> bool:
        """Whether a request sent now would pass; in shadow all do, so the balancer must not be steered."""
        if self.state is State.CLOSED or self._shadow:
            return True
        if self.state is State.OPEN:
            return self._clock.now() >= self.until
        return self._room()

    def _room(self) -> bool:
        return self.probing + self.proved < self._settings.probes

    def enter(self) -> int | None:
        """A request wants to pass. None if it may not, else what to give back to `leave` or `ended`."""
        if self.state is State.CLOSED:
            return self.turn
        if self.state is State.OPEN and self._clock.now() >= self.until:
            self.step(Event.WAITED, "the open time is over")
        if self.state is State.HALF_OPEN and self._room():
            self.probing += 1
            return self.turn
        return None

    def leave(self, turn: int) -> None:
        """It ended in a way that says nothing about the target."""
        if turn == self.turn and self.state is State.HALF_OPEN:
            self.probing -= 1

    def ended(self, turn: int, *, failed: bool, slow: bool) -> None:
        """It ended well or badly."""
        if turn != self.turn:
            return
        if self.state is State.HALF_OPEN:
            self.probing -= 1
            if failed or slow:
                self.step(Event.FAILED, "a probe failed" if failed else "a probe was slow")
            else:
                self.proved += 1
                if self.proved >= self._settings.probes:
                    self.step(Event.RECOVERED, "it answers again")
        elif (why := self._tally.add(self._clock.now(), failed=failed, slow=slow)) is not None:
            self.step(Event.TRIPPED, why)

    def broke_off(self) -> None:
        """An answer that had begun well was cut off by the target."""
        if self.state is State.CLOSED:
            self.ended(self.turn, failed=True, slow=False)

    def step(self, event: Event, why: str) -> None:
        """Change state as `TRANSITIONS` says."""
        state = TRANSITIONS[self.state].get(event)
        if state is None:
            return
        now = self._clock.now()
        self.state, self.since = state, now
        self.turn += 1
        self.probing = self.proved = 0
        if state is State.OPEN:
            self.until = now + self._open_time()
            self.opens += 1
        elif state is State.CLOSED:
            self.opens = 0
            self._tally = Tally(self._settings)
        self._changed(self, why)

    def adopt(self, state: State, wait: float, opens: int) -> bool:
        """Take over what another gateway found. Returns whether it changed anything.

        ``wait`` is in seconds and cut to what is possible here: who writes to the store must not close a target off.
        """
        now = self._clock.now()
        if state is State.HALF_OPEN or (state is State.CLOSED and self.state is State.CLOSED):
            return False
        changed = state is not self.state
        self.state = state
        self.turn += changed
        if state is State.OPEN:
            self.until = now + min(max(wait, 0.0), self._settings.open.max)
            self.opens = opens
        else:
            self.opens = 0
            self._tally = Tally(self._settings)
        if changed:
            self.since = now
            self.probing = self.proved = 0
        return changed

    def postpone(self, seconds: float) -> None:
        """Another gateway probes: ask again after so long, unless it tells before."""
        if self.state is State.OPEN:
            self.until = self._clock.now() + seconds

    @property
    def due(self) -> bool:
        """It is open, and its open time is over: the next request would be a probe."""
        return self.state is State.OPEN and self._clock.now() >= self.until

    def _open_time(self) -> float:
        settings = self._settings.open
        # The exponent is bounded: a target may stay away for weeks, and floats end at 2**1024.
        seconds = min(settings.max, settings.base * 2.0 ** min(self.opens, 60))
        return seconds * (1 - settings.jitter * random.random())  # noqa: S311 - spreads load, guards nothing

    @property
    def wait(self) -> float:
        """Seconds until a request may pass: none known while probes are out."""
        return max(0.0, self.until - self._clock.now()) if self.state is State.OPEN else 0.0

    def snapshot(self) -> dict[str, Any]:
        """For people."""
        return {
            "target": self.target,
            "state": self.state.name.lower(),
            "seconds": round(self._clock.now() - self.since, 1),
            "retry_in": round(self.wait, 1),
            "opens": self.opens,
            "probing": self.probing,
        }
