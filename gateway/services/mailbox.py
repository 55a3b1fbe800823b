"""A queue from the event loop to a thread: bounded, never waited for, drained in batches.

For what goes to a service outside (spans, error reports) through libraries that block. Whoever puts something in goes
on at once; what finds no room is counted as dropped.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

log = logging.getLogger("gateway.mailbox")

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Items on their way to ``deliver``, which runs in a thread of its own and may block. The thread starts with the
    first item.
    """

    def __init__(
        self, name: str, deliver: Callable[[list[T]], None], *, room: int, batch: int, interval: float = 1.0
    ) -> None:
        """``room``: items that may wait. A batch goes when ``batch`` items wait, or ``interval`` seconds after the last
        one went.
        """
        self.name = name
        self.dropped = 0
        """Items that found no room, or were left when it was closed."""
        self.failed = 0
        """Items whose delivery raised. Counted apart, as the thread does it."""
        self._deliver = deliver
        self._room = room
        self._batch = batch
        self._interval = interval
        self._items: deque[T] = deque()
        self._wake = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._late = False
        """The time to deliver what waits at the end is over."""

    @property
    def waiting(self) -> int:
        """Items that wait."""
        return len(self._items)

    def put(self, items: Iterable[T]) -> None:
        """Take what there is room for. From one thread, the loop's; never blocks."""
        queue, room = self._items, self._room
        for item in items:
            if len(queue) >= room or self._closing:
                self.dropped += 1
            else:
                queue.append(item)
        if not queue:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            self._idle.clear()
            self._thread.start()
        if len(queue) >= self._batch and not self._wake.is_set():
            self._wake.set()

    def _run(self) -> None:
        while not self._closing:
            if len(self._items) < self._batch:
                self._wake.wait(self._interval)
            self._wake.clear()
            self._drain()
        self._drain()
        self._idle.set()

    def _drain(self) -> None:
        while self._items and not self._late:
            batch = [self._items.popleft() for _ in range(min(self._batch, len(self._items)))]
            try:
                self._deliver(batch)
            except Exception:
                self.failed += len(batch)
                log.exception("%s could not be delivered", self.name)
            if len(self._items) < self._batch and not self._closing:
                return  # less than a batch waits for more

    def close(self, seconds: float) -> None:
        """Deliver what waits, for at most so long; blocks, so call it in a thread. Idempotent."""
        self._closing = True
        self._wake.set()
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        until = time.monotonic() + seconds
        self._idle.wait(max(0.0, until - time.monotonic()))
        if not self._idle.is_set():
            self._late = True
            self.dropped += len(self._items)
