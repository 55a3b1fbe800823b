"""What is done for a queue once a gateway, whoever uses it: sweeping, and knowing how it stands.

What nobody delivers any more, as its route is gone, is *stranded*: it stays, and it shows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, Protocol

from gateway.services.clock import Clock
from gateway.services.metrics import Metrics
from gateway.services.queue.contract import Queue, QueueError, QueueUrlError, Tally

log = logging.getLogger("gateway.queue")

LOOK: Final = 5.0
SWEEP: Final = 60.0
"""Seconds between two looks at how it stands, and between two sweeps."""
SHOWN: Final = 200
"""Topics that are shown."""


class Openable(Protocol):
    """A queue that may not be open yet."""

    queue: Queue | None

    async def open(self) -> Queue:
        """The queue. Raises QueueUnavailable or QueueUrlError."""
        ...

    def exists(self) -> bool:
        """Whether there may be something in it."""
        ...


class Upkeep:
    """Looks after the queue in force."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self.error = ""
        """Why the last look failed; empty: it did not."""
        self.tallies: Sequence[Tally] = ()
        self._clock = clock
        self._kept: Openable | None = None
        self._topics: frozenset[str] = frozenset()
        self._task: asyncio.Task[None] | None = None
        self._swept_at = -SWEEP
        self._told = asyncio.Event()
        self._metrics(metrics)

    def _metrics(self, metrics: Metrics) -> None:
        text = "Items in the durable queue by where they stand: ready (waiting to be done), leased, dead, done."
        metrics.gauge("queue_items", text, ("topic", "state"), rule="max", read=self._items)
        text = "Age of the oldest item that is neither done nor dead; 0 if there is none."
        metrics.gauge("queue_oldest_seconds", text, ("topic",), rule="max", read=self._ages)
        metrics.gauge("queue_bytes", "Bytes of all payloads.", ("topic",), rule="max", read=self._sizes)
        text = "Items that nobody delivers: no route of the configuration has their plugin."
        metrics.gauge("queue_stranded_items", text, ("topic",), rule="max", read=self._strandeds)
        text = "Whether the durable queue could be read and written at the last look."
        metrics.gauge("queue_up", text, rule="min", read=self._ups)
        self._swept = metrics.counter("queue_swept_total", "Items deleted as their time was over.").child()

    # -- life --------------------------------------------------------------------------------------------------

    def tend(self, kept: Openable | None, topics: Collection[str]) -> None:
        """Look after this queue from now on, or none. ``topics`` are those that somebody delivers."""
        if kept is not self._kept:
            self.tallies, self.error, self._swept_at = (), "", -SWEEP
        self._kept, self._topics = kept, frozenset(topics)
        self._told.set()
        if kept is not None and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="upkeep of the durable queue")

    async def close(self) -> None:
        """Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            kept = self._kept
            if kept is not None:
                await self._look(kept)
            await self._pause()

    async def _pause(self) -> None:
        """Until it is time for another look, or a reload has changed what there is to look at."""
        told = asyncio.ensure_future(self._told.wait())
        slept = asyncio.ensure_future(self._clock.sleep(LOOK))
        try:
            await asyncio.wait((told, slept), return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
            slept.cancel()
        self._told.clear()

    async def _look(self, kept: Openable) -> None:
        try:
            if kept.queue is None and not self._topics and not await asyncio.to_thread(kept.exists):
                return
            queue = await kept.open()
            await queue.ping()
            now = self._clock.now()
            if now - self._swept_at >= SWEEP:
                self._swept.inc(await queue.sweep())
                self._swept_at = now
            tallies = await queue.tally()
        except (QueueError, QueueUrlError, OSError, RuntimeError) as error:
            told = str(error) or type(error).__name__
            if not self.error and kept is self._kept:
                log.error("the durable queue cannot be used: %s", told)
            self._note(kept, told, self.tallies)
        except Exception as bug:
            log.exception("looking after the durable queue failed")
            self._note(kept, type(bug).__name__, self.tallies)
        else:
            if self.error and kept is self._kept:
                log.info("the durable queue can be used again")
            self._note(kept, "", tallies)

    def _note(self, kept: Openable, error: str, tallies: Sequence[Tally]) -> None:
        if kept is self._kept:  # not what a reload has just replaced
            self.error, self.tallies = error, tallies

    # -- how it stands -----------------------------------------------------------------------------------------

    def stranded(self) -> dict[str, int]:
        """Topic → items that nobody delivers."""
        return {
            tally.topic: tally.ready + tally.leased
            for tally in self.tallies
            if tally.ready + tally.leased and tally.topic not in self._topics
        }

    def snapshot(self) -> dict[str, Any] | None:
        """For ``/readyz``; None where there is no queue."""
        if self._kept is None:
            return None
        now = self._clock.time()
        warnings = self._kept.queue.warnings if self._kept.queue is not None else ()
        return {
            "ok": not self.error,
            **({"error": self.error} if self.error else {}),
            **({"warnings": list(warnings)} if warnings else {}),
            "stranded": dict(list(self.stranded().items())[:SHOWN]),
            "topics": {
                tally.topic: {
                    "ready": tally.ready,
                    "leased": tally.leased,
                    "dead": tally.dead,
                    "done": tally.done,
                    "bytes": tally.size,
                    "oldest_seconds": _age(tally, now),
                }
                for tally in self.tallies[:SHOWN]
            },
        }

    def _items(self) -> Iterable[tuple[tuple[str, ...], float]]:
        for tally in self.tallies[:SHOWN]:
            for state in ("ready", "leased", "dead", "done"):
                yield (tally.topic, state), getattr(tally, state)

    def _ages(self) -> Iterable[tuple[tuple[str, ...], float]]:
        now = self._clock.time()
        return [((tally.topic,), _age(tally, now)) for tally in self.tallies[:SHOWN]]

    def _sizes(self) -> Iterable[tuple[tuple[str, ...], float]]:
        return [((tally.topic,), tally.size) for tally in self.tallies[:SHOWN]]

    def _strandeds(self) -> Iterable[tuple[tuple[str, ...], float]]:
        return [((topic,), count) for topic, count in list(self.stranded().items())[:SHOWN]]

    def _ups(self) -> Iterable[tuple[tuple[str, ...], float]]:
        return [] if self._kept is None else [((), float(not self.error))]


def _age(tally: Tally, now: float) -> float:
    return 0.0 if tally.oldest is None else round(max(0.0, now - tally.oldest), 3)
