"""How late the event loop is: the measure of a worker that has too much to do, or that something holds up."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

from gateway.services.metrics import Metrics

PERIOD: Final = 0.1
"""Seconds between two looks: whatever holds the loop up for longer than this is seen."""
_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class LoopLag:
    """Watches the running loop, from when it is made until `close`."""

    def __init__(self, metrics: Metrics) -> None:
        self._lag = metrics.histogram(
            "event_loop_lag_seconds",
            "How much later than it was due a timer ran, ten times a second: requests wait as long.",
            bounds=_BOUNDS,
        ).child()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._look_again()

    def _look_again(self) -> None:
        self._due = monotonic() + PERIOD
        self._timer = self._loop.call_later(PERIOD, self._look)

    def _look(self) -> None:
        # A loop's own clock counts in milliseconds, so that a timer may also be early by as much.
        self._lag.observe(max(0.0, monotonic() - self._due))
        self._look_again()

    def close(self) -> None:
        """Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
