"""Time: a clock that tests can turn, and deadlines that cost no timer each.

A gateway's deadlines come in few durations and nearly all are met. `Deadlines` keeps everything that waits for one
duration in the order it was added, which is the order in which it falls due; one timer watches the first of them.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from typing import Final, Protocol

LONGEST: Final = 256
"""Distinct durations that share deadlines; a configuration has a dozen."""
TURNS: Final = 40
"""Turns of the loop that `ManualClock.elapse` gives to whoever has something to do at one moment."""


class Clock:
    """The monotonic clock of the running loop's kind, and the wall's."""

    def now(self) -> float:
        """Seconds on a clock that never jumps; the same as ``loop.time()``."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since 1970."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Until so much time has passed on this clock."""
        await asyncio.sleep(seconds)


class ManualClock(Clock):
    """A clock that stands still until a test moves it."""

    def __init__(self, now: float = 1000.0, wall: float = 1_800_000_000.0) -> None:
        self._now = now
        self._wall = wall
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._slept = 0

    def now(self) -> float:
        return self._now

    def time(self) -> float:
        return self._wall

    def advance(self, seconds: float) -> None:
        """Move both clocks, and wake who has slept long enough."""
        self._move(self._now + seconds)

    def _move(self, now: float) -> None:
        self._wall += now - self._now
        self._now = now
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, sleeper = heapq.heappop(self._sleepers)
            if not sleeper.done():
                sleeper.set_result(None)

    async def sleep(self, seconds: float) -> None:
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._slept += 1
        heapq.heappush(self._sleepers, (self._now + max(0.0, seconds), self._slept, sleeper))
        if seconds <= 0:
            self.advance(0)
        await sleeper

    async def elapse(self, seconds: float) -> None:
        """Let time pass as a running program sees it: from one sleeper's end to the next, with turns of the loop
        between, in which all that can go on without time and without a socket goes on.
        """
        until = self._now + seconds
        while True:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            while self._sleepers and self._sleepers[0][2].done():  # who was cancelled
                heapq.heappop(self._sleepers)
            following = min(until, self._sleepers[0][0] if self._sleepers else until)
            if self._now >= until and following >= until:
                return
            self._move(max(self._now, following))


class Expires(Protocol):
    """What can wait for a deadline; compared and hashed by identity."""

    def on_deadline(self) -> None:
        """The deadline passed; it is no longer waited for. Must not raise."""
        ...


class Deadlines:
    """All that must be done within the same number of seconds."""

    __slots__ = ("_loop", "_time", "_timer", "_waiting", "seconds")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self.seconds = seconds
        self._loop = loop
        self._time = loop.time
        self._waiting: dict[Expires, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, waiter: Expires) -> None:
        """Wait anew: call `Expires.on_deadline` unless `discard` comes first."""
        waiting = self._waiting
        if waiter in waiting:
            del waiting[waiter]  # it must move to the end: the order is that of falling due
        due = self._time() + self.seconds
        waiting[waiter] = due
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._fire)

    def discard(self, waiter: Expires) -> None:
        """Wait no longer; nothing happens if it was not waited for."""
        self._waiting.pop(waiter, None)

    def _fire(self) -> None:
        # The timer is left to run when what it was set for is discarded: setting it costs more than a look in vain.
        self._timer = None
        now = self._time()
        waiting = self._waiting
        try:
            # The head is looked up anew each time: a callback may discard, add or renew any other waiter. What is added
            # meanwhile falls due after `now` (or, with no seconds at all, waits for the next turn of the loop).
            for _ in range(len(waiting)):
                waiter, due = next(iter(waiting.items()), (None, now))
                if waiter is None or due > now:
                    break
                del waiting[waiter]
                waiter.on_deadline()
        finally:  # one that raises, against its contract, must not leave the others without a timer
            if waiting and self._timer is None:
                self._timer = self._loop.call_at(next(iter(waiting.values())), self._fire)

    def close(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Wheel:
    """The `Deadlines` of one loop, one for each duration in use."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._by_duration: dict[float, Deadlines] = {}

    def of(self, seconds: float) -> Deadlines:
        """The one for this duration; past a bound of distinct durations, idle ones are dropped first."""
        found = self._by_duration.get(seconds)
        if found is None:
            if len(self._by_duration) >= LONGEST:
                for duration in [each for each, deadlines in self._by_duration.items() if not len(deadlines)]:
                    self._by_duration.pop(duration).close()
            found = self._by_duration[seconds] = Deadlines(self._loop, seconds)
        return found

    def close(self) -> None:
        """Forget everything."""
        for deadlines in self._by_duration.values():
            deadlines.close()
        self._by_duration.clear()
