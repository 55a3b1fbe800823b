"""The durable queue of a worker: opened when something needs it, over reloads, and never one file twice."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from gateway.config.model import Config
from gateway.config.operation import mask_url
from gateway.services.clock import Clock
from gateway.services.metrics import Metrics
from gateway.services.queue import Queue
from gateway.services.queue.backups import Backups, Plan
from gateway.services.queue.opening import QueueSettings, open_queue
from gateway.services.queue.upkeep import Upkeep

log = logging.getLogger("gateway.queue")


class Kept:
    """One queue by its URL, open as soon as somebody has asked for it."""

    def __init__(self, url: str, name: str, settings: QueueSettings, clock: Clock) -> None:
        self.url = url
        self.name = name
        """The URL without its password."""
        self.queue: Queue | None = None
        self._settings = settings
        self._clock = clock
        self._turn = asyncio.Lock()
        self._closed = False

    async def open(self) -> Queue:
        """The queue. Raises QueueUnavailable or QueueUrlError."""
        async with self._turn:
            if self._closed:
                raise RuntimeError(f"the queue {self.name} is closed")
            if self.queue is None:
                self.queue = await open_queue(self.url, self._settings, self._clock)
            return self.queue

    def exists(self) -> bool:
        """Whether there may be something in it."""
        scheme, _, rest = self.url.partition("://")
        return scheme != "sqlite" or Path(rest.partition("?")[0]).exists()

    def configure(self, settings: QueueSettings) -> None:
        """Take up what a reload has changed."""
        if settings != self._settings:
            self._settings = settings
            if self.queue is not None:
                self.queue.configure(settings)

    async def close(self) -> None:
        """Idempotent."""
        async with self._turn:
            self._closed = True
            queue, self.queue = self.queue, None
        if queue is not None:
            await queue.close()


_building: ContextVar[Kept | None] = ContextVar("queue of the configuration that is being built", default=None)


class Durable:
    """The queue in force, the one to follow, and those that old configurations still use."""

    def __init__(self, clock: Clock, metrics: Metrics, *, owner: bool) -> None:
        self._clock = clock
        self.upkeep = Upkeep(clock, metrics) if owner else None
        """Of the queue in force; once a gateway."""
        self.backups = Backups(clock, metrics) if owner else None
        self._current: Kept | None = None
        self._next: tuple[Kept | None, QueueSettings] | None = None
        self._plan: Plan | None = None
        """When the next one is copied."""
        self._replaced: list[Kept] = []

    @property
    def current(self) -> Kept | None:
        """The one in force."""
        return self._current

    def snapshot(self) -> dict[str, Any] | None:
        """How the queue in force stands; None where there is none, or another process looks after it."""
        return self.upkeep.snapshot() if self.upkeep is not None else None

    async def prepare(self, config: Config) -> None:
        """Have what ``config`` names at hand, until `commit` or `abandon`. Nothing is opened."""
        await self.abandon()
        url = config.stores.durable.get_secret_value() if config.stores.durable is not None else None
        settings = config.queue.settings(f"{socket.gethostname()}:{os.getpid()}")
        if url is None or config.stores.durable is None:
            self._next = (None, settings)
        elif self._current is not None and self._current.url == url:
            self._next = (self._current, settings)
        else:
            # One that an old configuration still has open is not opened beside it.
            again = next((each for each in self._replaced if each.url == url), None)
            made = again or Kept(url, mask_url(config.stores.durable), settings, self._clock)
            self._next = (made, settings)
        backup = config.queue.backup
        self._plan = backup.plan() if backup is not None else None

    @contextmanager
    def building(self) -> Iterator[None]:
        """What asks inside, and the tasks that it starts, get the prepared one."""
        token = _building.set(self._next[0] if self._next is not None else self._current)
        try:
            yield
        finally:
            _building.reset(token)

    def commit(self, topics: Collection[str]) -> None:
        """What was prepared is in force. ``topics`` are those that somebody delivers from now on."""
        if self._next is None:
            return
        (kept, settings), self._next = self._next, None
        before, self._current = self._current, kept
        if before is not None and before is not kept:
            self._replaced.append(before)
            log.warning("%s is not used any more; what it still holds stays there", before.name)
        if kept is not None:
            self._replaced = [each for each in self._replaced if each is not kept]
            kept.configure(settings)
        if self.upkeep is not None:
            self.upkeep.tend(kept, topics)
        if self.backups is not None:
            self.backups.tend(kept, self._plan)

    async def abandon(self) -> None:
        """Close what was prepared and is not wanted."""
        unwanted, self._next = self._next, None
        kept = unwanted[0] if unwanted is not None else None
        if kept is not None and kept is not self._current and kept not in self._replaced:
            await kept.close()

    async def settle(self) -> None:
        """Close what only old configurations had; nobody may be using it."""
        replaced, self._replaced = self._replaced, []
        for each in replaced:
            await each.close()

    async def get(self) -> Queue:
        """The queue of whoever asks. Raises RuntimeError if its configuration names none, or what opening raises."""
        kept = _building.get()
        alive = [self._current, *([self._next[0]] if self._next is not None else []), *self._replaced]
        if kept is None or not any(kept is each for each in alive):
            kept = self._current
        if kept is None:
            raise RuntimeError("the configuration names no `stores.durable`")
        return await kept.open()

    async def close(self) -> None:
        """Close everything. Idempotent."""
        if self.upkeep is not None:
            await self.upkeep.close()
        if self.backups is not None:
            await self.backups.close()
        await self.abandon()
        await self.settle()
        kept, self._current = self._current, None
        if kept is not None:
            await kept.close()
