"""Copies of a queue that the gateway makes by itself, at intervals, and of which it keeps the newest."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from gateway.services.clock import Clock
from gateway.services.metrics import Metrics
from gateway.services.queue.contract import Queue, QueueError, QueueUrlError

log = logging.getLogger("gateway.queue")

AGAIN: Final = 300.0
"""Seconds until a copy that failed is tried again, if the next one is not due before."""
_NAME: Final = re.compile(r"queue-([0-9]{8}T[0-9]{6}Z)\.db")
_FORMAT: Final = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Plan:
    """When copies are made, and how many are kept."""

    folder: Path
    every: float
    """Seconds from the beginning of one to the beginning of the next; over restarts too."""
    keep: int


class Openable(Protocol):
    """A queue that may not be open yet."""

    async def open(self) -> Queue:
        """The queue. Raises QueueUnavailable or QueueUrlError."""
        ...


class Backups:
    """Copies the queue in force."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self.last = 0.0
        """When the newest copy that is whole was begun; 0: there is none."""
        self.error = ""
        """Why the last one failed; empty: it did not."""
        self._clock = clock
        self._kept: Openable | None = None
        self._plan: Plan | None = None
        self._task: asyncio.Task[None] | None = None
        text = "When the newest copy of the durable queue was begun that is whole, since 1970; 0 if there is none."
        metrics.gauge("queue_backup_last_success_timestamp_seconds", text, rule="max", read=self._lasts)
        made = metrics.counter("queue_backups_total", "Copies of the durable queue.", ("outcome",))
        self._made, self._failed = made.child("made"), made.child("failed")

    def tend(self, kept: Openable | None, plan: Plan | None) -> None:
        """Copy this queue by this plan from now on; None: none, or by no plan."""
        if (kept, plan) == (self._kept, self._plan):
            return
        self._kept, self._plan = kept, plan
        self._stop()
        self.error = ""
        if kept is not None and plan is not None:
            self._task = asyncio.get_running_loop().create_task(self._run(kept, plan), name="backups of the queue")

    def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """A copy that is under way is given up; nothing of it is left. Idempotent."""
        task = self._task
        self._stop()
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self, kept: Openable, plan: Plan) -> None:
        made = 0.0
        while True:
            copies = await asyncio.to_thread(found, plan.folder)
            self.last = max(copies, default=0.0)
            # One that was just made counts even where the folder cannot be listed, or somebody took it away.
            wait = max(self.last, made) + plan.every - self._clock.time() if self.last or made else 0.0
            if wait > 0:
                await self._clock.sleep(min(wait, plan.every))
            elif await self._copy(kept, plan):
                made = self.last
            else:
                await self._clock.sleep(min(AGAIN, plan.every))

    async def _copy(self, kept: Openable, plan: Plan) -> bool:
        began = self._clock.time()
        destination = plan.folder / f"queue-{datetime.fromtimestamp(began, UTC).strftime(_FORMAT)}.db"
        try:
            queue = await kept.open()
            await queue.backup(destination)
            await asyncio.to_thread(prune, plan.folder, plan.keep)
        except (QueueError, QueueUrlError, OSError, RuntimeError) as error:
            self._failed.inc()
            self.error = str(error) or type(error).__name__
            log.error("the durable queue could not be copied to %s: %s", plan.folder, self.error)
            return False
        self._made.inc()
        self.error, self.last = "", began
        log.info("the durable queue was copied to %s", destination)
        return True

    def snapshot(self) -> dict[str, Any] | None:
        """For ``/readyz``; None where no copies are made."""
        if self._plan is None:
            return None
        return {"last": self.last, **({"error": self.error} if self.error else {})}

    def _lasts(self) -> list[tuple[tuple[str, ...], float]]:
        return [((), self.last)] if self._plan is not None else []


def found(folder: Path) -> dict[float, Path]:
    """The copies in a folder by when they were begun; none if it cannot be read."""
    copies: dict[float, Path] = {}
    try:
        for path in folder.iterdir():
            name = _NAME.fullmatch(path.name)
            if name is not None:
                with contextlib.suppress(ValueError):  # digits that are no date
                    copies[datetime.strptime(name[1], _FORMAT).replace(tzinfo=UTC).timestamp()] = path
    except OSError:
        return {}
    return copies


def prune(folder: Path, keep: int) -> None:
    """Delete all but the newest ``keep`` copies. Raises OSError."""
    copies = found(folder)
    for moment in sorted(copies)[:-keep]:
        copies[moment].unlink(missing_ok=True)
