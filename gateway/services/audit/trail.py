"""From an event to a record on the disk, without anybody waiting for the disk who does not want to.

Events go into a bounded queue; a thread encodes, masks and appends them in batches. While the trail cannot be written
they stay in the queue and are tried again each second. What no longer fits is counted, and a record says how many
were lost once records can be written again.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from gateway.services.audit.chain import Head
from gateway.services.audit.event import Event, Kind, Result, Writer
from gateway.services.audit.ledger import Ledger

log = logging.getLogger("gateway.audit")

QUEUE: Final = 10_000
"""Events that may wait."""
BATCH: Final = 1_000
"""Records in one append: others wait for the lock meanwhile."""
RETRY: Final = 1.0
PATIENCE: Final = 5.0
"""Seconds that `Trail.close` waits for a disk that hangs."""
STALLED: Final = 10.0
"""Seconds beyond `flush` after which a write that has not come back counts as failed."""
RETAIN_EVERY: Final = 3600.0


class Trail:
    """Writes events to a ledger. `record` belongs to one thread, the loop's; what blocks is for other threads."""

    def __init__(
        self,
        ledger: Ledger,
        writer: Writer,
        *,
        flush: float = 0.2,
        queue: int = QUEUE,
        retention: float | None = None,
        written: Callable[[Event], None] = lambda _event: None,
    ) -> None:
        """``retention`` in seconds: this process removes old files. ``written`` is told of each event on the disk."""
        self.ledger = ledger
        self.problem = ""
        """Why records cannot be written now; empty if they can."""
        self.failures = 0
        self.lost = 0
        """Events that were given up."""
        self.since = 0.0
        """When the oldest that waits came, on the monotonic clock; 0 if none waits."""
        self._writer = writer
        self._flush = flush
        self._most = queue
        self._retention = retention
        self._retained = 0.0
        self._written = written
        self._end = Head(chain="", seq=0, hash="", file="", size=0)
        self._queue: deque[Event] = deque()
        self._unsaid = 0
        """Of the lost, those that no record tells of yet."""
        self._put = self._on_disk = 0
        self._waiting: list[tuple[int, Callable[[bool], object]]] = []
        self._some = threading.Event()
        self._hurry = threading.Event()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._closed = False
        self._thread: threading.Thread | None = None
        atexit.register(self.close)

    @property
    def pending(self) -> int:
        """Events that wait for the disk."""
        return len(self._queue)

    @property
    def lag(self) -> float:
        """Seconds that the oldest event has waited."""
        since = self.since
        return time.monotonic() - since if since and self._queue else 0.0

    @property
    def refusing(self) -> str:
        """Why nothing more should be begun that has to be recorded; empty if it may.

        At half of the queue already: the other half is for what is under way.
        """
        if self.problem:
            return self.problem
        if self.lag > self._flush + STALLED:  # a disk that hangs fails nobody
            return "records have waited too long for the disk"
        return "too many records wait for the disk" if len(self._queue) * 2 > self._most else ""

    def record(self, event: Event) -> int:
        """Have an event written; 0 if it had to be given up, else its number. Never blocks."""
        if len(self._queue) >= self._most or self._closed:
            self.lost += 1
            self._unsaid += 1
            return 0
        self._queue.append(event)
        self._put += 1
        if not self._some.is_set():
            self._awake()
        return self._put

    def _awake(self) -> None:
        self.since = time.monotonic()
        self._some.set()
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
            self._thread.start()

    async def record_and_wait(self, event: Event, patience: float = PATIENCE) -> bool:
        """As `record`, and wait until it is on the disk.

        False if it is not after ``patience`` seconds, or as soon as a write has failed; it may get there later.
        """
        number = self.record(event)
        if not number:
            return False
        loop = asyncio.get_running_loop()
        done: asyncio.Future[bool] = loop.create_future()

        def tell(held: bool) -> None:
            if not done.done():
                done.set_result(held)

        with self._lock:
            if self._on_disk >= number:
                return True
            self._waiting.append((number, lambda held: loop.call_soon_threadsafe(tell, held)))
        self._hurry.set()
        try:
            async with asyncio.timeout(patience):
                return await done
        except TimeoutError:
            return False

    # -- the thread --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin with what is to be done without any event: retention."""
        self._awake()

    def _run(self) -> None:
        while not self._closed:
            self._some.wait(RETAIN_EVERY)
            self._hurry.wait(RETRY if self.problem else self._flush)
            self._hurry.clear()
            self.flush()
            if not self.problem:
                self._retain()

    def flush(self) -> bool:
        """Write all that waits; blocks. False if the trail cannot be written."""
        with self._writing:
            while True:
                batch = [self._queue[index] for index in range(min(BATCH, len(self._queue)))]
                if not batch and not self._unsaid:
                    self._some.clear()
                    if not self._queue:  # else one came in between
                        self.since = 0.0
                        return True
                    self._some.set()
                    continue
                if not self._append(batch):
                    return False

    def _append(self, batch: list[Event]) -> bool:
        lost = self._unsaid
        notes = [_lost(lost)] if lost else []
        try:
            head = self.ledger.append([self._writer(event) for event in (*notes, *batch)])
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread has to try again and not end
            self._failed(error)
            return False
        self._anchor(head)
        if self.problem:
            log.warning("the audit trail can be written again")
            self.problem = ""
        self._unsaid -= lost
        for event in batch:
            self._queue.popleft()
            self._written(event)
        self.since = time.monotonic()
        with self._lock:
            self._on_disk += len(batch)
            ready = [tell for number, tell in self._waiting if number <= self._on_disk]
            self._waiting = [each for each in self._waiting if each[0] > self._on_disk]
        _tell_all(ready, held=True)
        return True

    def _anchor(self, head: Head) -> None:
        """Tell the log how a day's file ended: who keeps logs elsewhere has what `verify --head` asks for."""
        if self._retention is not None and head.file != self._end.file and self._end.seq:
            log.info("%s of the audit trail ends with record %s", self._end.file, self._end)
        self._end = head

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.ledger.close()
        why = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        if not self.problem:
            log.error("the audit trail cannot be written: %s", why, exc_info=not isinstance(error, OSError))
        self.problem = why
        with self._lock:
            waiting, self._waiting = self._waiting, []
        _tell_all([tell for _, tell in waiting], held=False)

    def _retain(self) -> None:
        now = time.monotonic()
        if self._retention is None or (self._retained and now - self._retained < RETAIN_EVERY):
            return
        self._retained = now
        try:
            for name in self.ledger.retain(self._retention):
                log.info("%s of the audit trail is past its retention and was removed", name)
        except Exception as error:  # noqa: BLE001 - as for records
            log.error("old files of the audit trail could not be removed: %s", error)

    def left(self) -> list[Event]:
        """What could not be written until the end; for whoever writes instead."""
        return list(self._queue) if self._closed else []

    def close(self) -> None:
        """Write what waits, as far as that is possible, and stop. Blocks. Idempotent."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._some.set()
        self._hurry.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=PATIENCE)
            if thread.is_alive():  # the disk hangs; its lock would hang us, too
                log.error("%d records of the audit trail were not written", len(self._queue))
                return
        if not self.flush():
            log.error("%d records of the audit trail were not written: %s", len(self._queue), self.problem)
        elif self._retention is not None and self._end.seq:
            log.info("the audit trail ends with record %s", self._end)
        self.ledger.close()


def _tell_all(waiting: list[Callable[[bool], object]], *, held: bool) -> None:
    for tell in waiting:
        with contextlib.suppress(RuntimeError):  # its loop is closed: nobody waits any more
            tell(held)


def _lost(count: int) -> Event:
    return Event(Kind.CHAIN, "lost", "trail", Result.FAILED, actor="gateway", details={"events": count})


def state_of(trail: Trail) -> dict[str, Any]:
    """For reports, as JSON can hold it."""
    head = trail.ledger.head
    return {
        "ok": not trail.refusing,
        "pending": trail.pending,
        "lost": trail.lost,
        "failures": trail.failures,
        "lag_seconds": round(trail.lag, 3),
        "head": str(head) if head is not None else "",
        **({"error": trail.refusing} if trail.refusing else {}),
    }
