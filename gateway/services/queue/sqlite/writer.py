"""The one thread of a process that writes: whatever arrived while a commit was under way goes into the next one.

A commit costs a wait for the disk, whether it carries one item or a thousand. So nothing waits for company: an idle
queue commits at once, and the busier it gets the more share a commit.

Other processes write to the same file. SQLite's own lock has no queue: who waits for it sleeps and looks again, and a
busy process would starve the others. So writers that are not alone take turns on a lock of the operating system first.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from gateway.services.clock import Clock
from gateway.services.queue.contract import QueueError, QueueFull, QueueUnavailable
from gateway.services.queue.sqlite import schema
from gateway.services.queue.sqlite.transaction import Topics, Transaction, Work

POLL: Final = 0.05
"""Seconds between two looks at whether another process has written, while somebody waits for work."""
LOOK: Final = 1.0
"""Seconds between two looks at whether the file is still the one that was opened."""
COMPANY: Final = 10.0
"""Seconds for which another process's write makes this one take turns."""
BUSY: Final = 8
"""Pieces of work in the last commit from which on many are at it, and"""
GATHERING: Final = 0.0005
"""seconds are spent on letting more of them come: a commit costs half a millisecond, however small it is."""
BATCH: Final = 512
"""Pieces of work in one commit."""
BATCH_BYTES: Final = 16 * 1024 * 1024
PENDING: Final = 20_000
"""Pieces of work that wait for their commit; more are refused."""
PENDING_BYTES: Final = 128 * 1024 * 1024
WATCHED: Final = 10.0
"""Seconds for which it goes on looking when nobody waits any more: who delivers waits again soon."""
IDLE: Final = 1.0
"""Seconds without work after which the log is emptied."""

_log: Final = logging.getLogger(__name__)


class _Job:
    __slots__ = ("future", "orphaned", "result", "work")

    def __init__(self, work: Work, future: asyncio.Future[Any], orphaned: Callable[[Any], None] | None) -> None:
        self.work = work
        self.future = future
        self.orphaned = orphaned
        self.result: Any = None


class _Nudge:
    """No work, but a reason to look around."""

    __slots__ = ()


_NUDGE: Final = _Nudge()


class Writer:
    """Used from one loop; its thread alone touches the connection."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        clock: Clock,
        *,
        limits: tuple[int, int],
        wake: Callable[[Iterable[str] | None], None],
    ) -> None:
        """``limits``: items and bytes; may be changed. ``wake`` is called on the loop with topics; None: all."""
        self._path = path
        self._connection: sqlite3.Connection | None = connection
        self._clock = clock
        self.limits = limits
        self._wake = wake
        (self._secret,) = connection.execute(schema.SECRET).fetchone()
        self._loop = asyncio.get_running_loop()
        self._inbox: queue.SimpleQueue[_Job | _Nudge | None] = queue.SimpleQueue()
        self._pending = 0
        self._pending_bytes = 0
        self._closing = False
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._topics = Topics()
        self._file = _identity(path)
        self._turn = os.open(f"{path}-turn", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._version = 0
        self._company = 0.0
        self._looked = 0.0
        self._polled = 0.0
        self._dirty = False
        self._busy = False
        self._watchers = 0
        self._watched_until = 0.0
        self.commits = 0
        self.commit_seconds = 0.0
        self._thread = threading.Thread(target=self._run, name="queue writer", daemon=True)
        self._thread.start()

    # ---- on the loop -------------------------------------------------------------------------------------------

    def submit(self, work: Work, orphaned: Callable[[Any], None] | None = None) -> asyncio.Future[Any]:
        """Its result once it is committed. ``orphaned`` gets the result if nobody waits for it any more."""
        if self._closing:
            raise QueueUnavailable("the queue is closed")
        if work.adds and (self._pending >= PENDING or self._pending_bytes + work.cost > PENDING_BYTES):
            raise QueueFull("too much waits to be written")
        self._pending += 1
        self._pending_bytes += work.cost
        future: asyncio.Future[Any] = self._loop.create_future()
        self._inbox.put(_Job(work, future, orphaned))
        return future

    def watch(self) -> None:
        """Somebody waits for what other processes write, until `unwatch`."""
        self._watchers += 1
        if time.monotonic() >= self._watched_until and not self._closing:
            self._inbox.put(_NUDGE)  # it may be sleeping for longer than that
        self._watched_until = time.monotonic() + WATCHED

    def unwatch(self) -> None:
        self._watchers -= 1

    async def close(self) -> None:
        """Commit what was handed in, and end."""
        if not self._closing:
            self._closing = True
            self._inbox.put(None)
        await asyncio.shield(self._closed)

    def _settle(self, jobs: Sequence[_Job], woken: Iterable[str]) -> None:
        """Results to those who wait for them."""
        for job in jobs:
            self._pending -= 1
            self._pending_bytes -= job.work.cost
            failed = isinstance(job.result, BaseException)
            if job.future.done():
                if job.orphaned is not None and not failed:
                    job.orphaned(job.result)
            elif failed:
                job.future.set_exception(job.result)
            else:
                job.future.set_result(job.result)
        if woken:
            self._wake(woken)

    def _finish(self) -> None:
        if not self._closed.done():
            self._closed.set_result(None)

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        """Call on the loop; a loop that has ended hears nothing more."""
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            _log.debug("the loop ended before its queue was closed")

    # ---- on the thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            open_for_more = True
            while open_for_more:
                jobs, open_for_more = self._gather()
                self._busy = len(jobs) >= BUSY
                if jobs:
                    self._commit(jobs)
                self._look_around()
        finally:
            self._drop()
            os.close(self._turn)
            self._tell(self._finish)

    def _gather(self) -> tuple[list[_Job], bool]:
        """What is there, as much as one commit takes; and whether there will be more."""
        inbox = self._inbox
        jobs: list[_Job] = []
        watched = self._watchers or time.monotonic() < self._watched_until
        try:
            job = inbox.get(timeout=POLL if watched else IDLE)
        except queue.Empty:
            return jobs, True
        if self._busy:
            time.sleep(GATHERING)
        size = 0
        while job is not None:
            if not isinstance(job, _Nudge):
                jobs.append(job)
                size += job.work.cost
            if len(jobs) >= BATCH or size >= BATCH_BYTES:
                return jobs, True
            try:
                job = inbox.get_nowait()
            except queue.Empty:
                return jobs, True
        return jobs, False

    def _commit(self, jobs: list[_Job]) -> None:
        began = time.monotonic()
        try:
            woken = self._attempt(jobs)
        except QueueUnavailable as error:
            woken = set()
            for job in jobs:
                job.result = error
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the thread
            if len(jobs) > 1:  # one of them cannot be done: the others shall not suffer
                for job in jobs:
                    self._commit([job])
                return
            _log.exception("queue: a piece of work failed")
            woken = set()
            jobs[0].result = QueueError(f"it could not be done: {type(error).__name__}")
        self.commits += 1
        self.commit_seconds += time.monotonic() - began
        self._dirty = True
        self._tell(self._settle, jobs, woken)

    def _attempt(self, jobs: Sequence[_Job]) -> set[str]:
        """All of it in one transaction, or nothing. Raises QueueUnavailable."""
        groups: dict[type[Work], list[_Job]] = {}
        for job in jobs:
            groups.setdefault(type(job.work), []).append(job)
        try:
            connection = self._connected()
            taking_turns = time.monotonic() < self._company
            if taking_turns:
                fcntl.flock(self._turn, fcntl.LOCK_EX)
            try:
                return self._transact(connection, groups)
            finally:
                if taking_turns:
                    fcntl.flock(self._turn, fcntl.LOCK_UN)
        except sqlite3.OperationalError as error:
            self._drop_if_broken(error)
            raise QueueUnavailable(reason_of(error)) from error
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError | sqlite3.ProgrammingError):
                raise
            self._drop()
            raise QueueUnavailable(reason_of(error)) from error
        except OSError as error:
            self._drop()
            raise QueueUnavailable(f"the queue's file cannot be used: {error.strerror}") from error

    def _transact(self, connection: sqlite3.Connection, groups: dict[type[Work], list[_Job]]) -> set[str]:
        for kind in [kind for kind in groups if kind.alone]:
            for job in groups.pop(kind):
                job.result = job.work.run_alone(connection)
        if not groups:
            return set()
        connection.execute("BEGIN IMMEDIATE")
        try:
            tx = Transaction(connection, self._topics, self._clock.time(), *self.limits)
            for kind, jobs in groups.items():
                results = kind.apply(tx, [job.work for job in jobs])
                for job, result in zip(jobs, results, strict=True):
                    job.result = result
            tx.finish()
            connection.execute("COMMIT")
        except BaseException:
            self._topics.clear()
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return tx.woken

    def _connected(self) -> sqlite3.Connection:
        """The connection; after a failure, a new one, if the same queue is still there."""
        if self._connection is None:
            connection = schema.open_file(self._path, make=False)
            if connection.execute(schema.SECRET).fetchone() != (self._secret,):
                connection.close()
                raise QueueUnavailable(f"{self._path} is another queue than the one that was opened")
            self._connection = connection
            self._file = _identity(self._path)
            self._version = 0
            self._topics.clear()
        return self._connection

    def _drop_if_broken(self, error: sqlite3.Error) -> None:
        """Full and busy pass by themselves; whatever else may have left the connection in a state of its own."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL):
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error as error:
                _log.warning("queue: closing failed: %s", error)

    def _look_around(self) -> None:
        """What is not anybody's work: other processes' writes, the file itself, the log."""
        now = time.monotonic()
        if self._connection is None:
            return
        try:
            if now >= self._polled + POLL:
                self._polled = now
                self._notice_others(now)
            if now >= self._looked + LOOK:
                self._looked = now
                if _identity(self._path) != self._file:
                    _log.error("queue: %s was removed or replaced while it was in use", self._path)
                    self._drop()
                elif self._dirty and self._inbox.empty():
                    self._dirty = False
                    self._empty_log()
        except sqlite3.Error as error:
            _log.warning("queue: %s", reason_of(error))
            self._drop()

    def _notice_others(self, now: float) -> None:
        assert self._connection is not None
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            if self._version:
                self._company = now + COMPANY
                self._tell(self._wake, None)
            self._version = version

    def _empty_log(self) -> None:
        """Move it into the file and cut it to nothing; somebody who reads it is not waited for."""
        assert self._connection is not None
        self._connection.execute("PRAGMA busy_timeout = 0")
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {schema.BUSY_MS}")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def reason_of(error: sqlite3.Error) -> str:
    """For people: SQLite's own words, which name no content, and its code."""
    name = getattr(error, "sqlite_errorname", "")
    return f"{error} ({name})" if name else str(error)
