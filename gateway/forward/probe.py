"""Active health: each target is asked at an interval, over a connection of its own."""

# ruff: noqa: S311 - chance spreads load here and guards nothing

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final

from gateway.config.upstream import ActiveHealth, statuses
from gateway.errors import GatewayError
from gateway.forward.target import LiveTarget
from gateway.http import Request
from gateway.services.clock import Wheel
from gateway.transport.exchange import Timing, send
from gateway.transport.pool import Pool, PoolLimits

Report = Callable[[str, bool, str], None]
"""Takes a target's URL, whether it is healthy from now on, and why not."""

_FIELDS: Final = ((b"User-Agent", b"sidegate-health"), (b"Accept", b"*/*"))
_JITTER: Final = 0.1


class Streak:
    """Turns single results into a state: so many in a row against it change it."""

    __slots__ = ("_against", "_healthy", "_needed", "healthy")

    def __init__(self, healthy: int, unhealthy: int) -> None:
        self._needed = {True: healthy, False: unhealthy}
        self._against = 0
        self.healthy = True
        """A target is held healthy until probes say otherwise: a gateway that starts must not refuse meanwhile."""

    def follow(self, healthy: bool) -> None:
        """Begin anew from a state that was found elsewhere, such as before a reload."""
        if healthy is not self.healthy:
            self.healthy, self._against = healthy, 0

    def add(self, good: bool) -> bool:
        """Count a result. True if the state has changed by it."""
        self._against = 0 if good is self.healthy else self._against + 1
        if self._against < self._needed[good]:
            return False
        self.healthy, self._against = good, 0
        return True


class Prober:
    """The active checks of one upstream's targets."""

    def __init__(
        self, settings: ActiveHealth, targets: Sequence[LiveTarget], wheel: Wheel, buffer: memoryview, report: Report
    ) -> None:
        self._settings = settings
        self._targets = targets
        self._timing = Timing(wheel.of(settings.timeout), None, settings.timeout)
        self._limits = PoolLimits(connections=1, waiting=0, connect=settings.timeout)
        self._buffer = buffer
        self._report = report
        self._expected = statuses(settings.status)
        self._host = settings.host.encode("utf-8") if settings.host else b""
        self._tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Begin, spread over the first second so that not all targets are asked at once."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._watch(target), name=f"probe {target.name}") for target in self._targets]

    async def close(self) -> None:
        """Idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _watch(self, target: LiveTarget) -> None:
        settings = self._settings
        streak = Streak(settings.healthy, settings.unhealthy)
        await asyncio.sleep(random.uniform(0, min(1.0, settings.interval)))
        while True:
            why = await self.probe(target)
            streak.follow(target.probed)
            if streak.add(why is None):
                self._report(target.name, streak.healthy, why or "")
            await asyncio.sleep(settings.interval * random.uniform(1 - _JITTER, 1 + _JITTER))

    async def probe(self, target: LiveTarget) -> str | None:
        """Ask once; None if all is well, else what is not."""
        pool = Pool(target.endpoint, self._limits, self._buffer)
        request = Request("GET", self._settings.path, fields=_FIELDS)
        try:
            async with asyncio.timeout(self._settings.timeout):
                response = await send(pool, request, self._settings.path, self._host or target.authority, self._timing)
            response.body.close()
        except GatewayError as error:
            return error.reason
        except TimeoutError:
            return f"no answer within {self._settings.timeout:g}s"
        finally:
            pool.close()
        return None if response.status in self._expected else f"answered {response.status}"
