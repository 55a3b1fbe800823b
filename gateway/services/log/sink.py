"""Where lines go: batched in memory, written by a thread.

The loop only appends to a list. A thread takes what has gathered every 100 ms, or at once when 64 KB have. When the
sink is stuck the list is bounded: lines are then dropped and counted, and requests go on. Lines come as JSON with the
gateway's own field names; a sink that wants another layout makes it in its thread.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import logging
import os
import select
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final, Protocol

from gateway.services.log.layout import Layout, laid_out

log = logging.getLogger("gateway.log")

INTERVAL: Final = 0.1
"""Seconds between writes."""
EAGER: Final = 64 * 1024
"""Bytes that are written without waiting for the interval."""
PATIENCE: Final = 5.0
"""Seconds that `Sink.close` waits for a stuck sink."""
MOST: Final = 16 * 1024 * 1024
"""Bytes that may wait for a stuck sink."""
SHORTEST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
"""Seconds between two tries of a sink that keeps what it could not write."""
QUIET: Final = 30.0
"""Seconds between two messages that a sink fails."""

REOPEN: Final = b""
"""Among lines: what came before belongs to the file that was open, what comes after to a new one."""


class Outlet(Protocol):
    """What a log writes to: one sink, or several."""

    @property
    def dropped(self) -> int:
        """Lines that were given up."""
        ...

    def write(self, line: bytes) -> None:
        """Add a line, its line break included. Never blocks."""
        ...

    def hurry(self) -> None:
        """Write soon."""
        ...

    def flush(self) -> None:
        """Write what has gathered; blocks."""
        ...

    def reopen(self) -> None:
        """Begin new files; does not block."""
        ...

    def close(self) -> None:
        """Write what is left and stop; blocks. Idempotent."""
        ...


class Unwritten(Exception):
    """Some lines of a batch could not be written."""

    def __init__(self, lines: Sequence[bytes], reason: str) -> None:
        super().__init__(reason)
        self.lines = list(lines)
        """Those that are left."""
        self.reason = reason


class Sink:
    """Lines on their way to one place."""

    keeps: ClassVar[bool] = False
    """What could not be written is tried again, after a pause that grows; else it is dropped."""

    def __init__(self, layout: Layout | None = None, *, name: str = "") -> None:
        """``layout`` makes of a line what is written; unset: the line itself. ``name`` is what messages call it."""
        self.name = name
        self.dropped = 0
        """Lines that were given up: too many waited, or they could not be written."""
        self.failures = 0
        """Writes that failed."""
        self.layout = layout
        self._lines: list[bytes] = []
        self._size = 0
        self._room = -1
        """Bytes that may wait beside those that are being written; none before the thread is there."""
        self._unwritten: list[bytes] = []
        self._pause = 0.0
        self._again_at = 0.0
        self._failing = False
        self._overflowing = False
        self._dropped_before = 0
        self._said = False
        self._say_after = 0.0
        self._notes: list[str] = []
        """What is to be said of this sink in the gateway's own log."""
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._closed = False
        self._close_by = 0.0
        self._thread: threading.Thread | None = None
        atexit.register(self.close)

    def write(self, line: bytes) -> None:
        """Add a line, its line break included. Never blocks; cheap."""
        before = self._size
        size = before + len(line)
        if size > self._room and not self._has_room(size):
            return
        self._lines.append(line)
        self._size = size
        if size >= EAGER > before:
            self._wake.set()

    def _has_room(self, size: int) -> bool:
        """Asked for the first line, and when it seems that there is none."""
        if self._thread is None and not self._closed:
            self._begin()
        if size <= self._room:
            return True
        self.dropped += 1
        if not self._overflowing and not self._closed:
            self._overflowing = True
            if self._may_say():
                log.warning("log sink %s takes no lines in time; what does not fit in %d bytes is dropped", self, MOST)
        return False

    def _begin(self) -> None:
        self._room = MOST
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(INTERVAL)
            self._wake.clear()
            self._write()
            with contextlib.suppress(OSError):
                self.tick()
        self._write()  # here and not in `close`, which must not be held up by a sink that is stuck only now

    def tick(self) -> None:
        """Called by the thread some ten times a second, after it has written."""

    def flush(self) -> None:
        """Write what has gathered; blocks, but does not wait for a sink that was given up when it was closed."""
        thread = self._thread
        if not self._closed or thread is None or not thread.is_alive() or thread is threading.current_thread():
            self._write()

    def _write(self) -> None:
        with self._lock:
            self._flush()
        # Not within the lock: whoever ends the log holds logging's own lock while it waits for this one.
        while self._notes:
            log.warning("%s", self._notes.pop(0))

    def _flush(self) -> None:
        if self._again_at and not self._closed and time.monotonic() < self._again_at:
            return
        # Taken from the front of the same list: a line that the loop appends at this moment is in it or stays for
        # the next turn; with an exchange of lists it could land in the one already written.
        lines = self._lines[:]
        del self._lines[: len(lines)]
        self._size = 0
        if self._unwritten:
            lines, self._unwritten = self._unwritten + lines, []
        if not lines:
            return
        self._occupied(lines)
        try:
            self._part(lines)
        except Unwritten as left:
            self._failed(left.lines, left.reason)
        else:
            self._occupied(())
            self._works()

    def _occupied(self, lines: Sequence[bytes]) -> None:
        if not self._closed:
            self._room = MOST - sum(map(len, lines))

    def _part(self, lines: list[bytes]) -> None:
        while REOPEN in lines:
            at = lines.index(REOPEN)
            before, lines = lines[:at], lines[at + 1 :]
            try:
                self._try(before)
            except Unwritten as left:
                raise Unwritten([*left.lines, *lines], left.reason) from None
            self._reopen()
        self._try(lines)

    def _try(self, lines: list[bytes]) -> None:
        try:
            if lines:
                self._deliver(lines)
        except Unwritten:
            raise
        except Exception as error:  # a bug, too: the thread must go on, and what it could not write be counted
            raise Unwritten(lines, getattr(error, "strerror", None) or str(error) or type(error).__name__) from error

    def _deliver(self, lines: list[bytes]) -> None:
        """Write lines. Raises Unwritten, or OSError if none was written."""
        made = lines if self.layout is None else laid_out(lines, self.layout)
        self.dropped += len(lines) - len(made)
        self._put(b"".join(made))

    def _put(self, data: bytes) -> None:
        raise NotImplementedError

    def _reopen(self) -> None:
        """Begin a new file of the same name; in the thread."""

    def _failed(self, left: list[bytes], reason: str) -> None:
        self.failures += 1
        if self.keeps and not self._closed:
            self._unwritten = left
            self._occupied(left)
            self._pause = min(max(self._pause * 2, SHORTEST_PAUSE), LONGEST_PAUSE)
            self._again_at = time.monotonic() + self._pause
        else:
            self._occupied(())
            self.dropped += len(left)
        if not self._failing:
            self._failing = True
            what = "lines wait for it" if self._unwritten else "lines are dropped"
            if self._may_say():
                self._notes.append(f"log sink {self} fails: {reason}; {what}")

    def _works(self) -> None:
        self._pause = self._again_at = 0.0
        if self._failing or self._overflowing:
            lost = self.dropped - self._dropped_before
            self._failing = self._overflowing = False
            self._dropped_before = self.dropped
            if self._said:
                self._said = False
                self._notes.append(f"log sink {self} works again; {lost} lines were dropped")

    def _may_say(self) -> bool:
        """Now and then: a sink that fails and works in turns, and carries what is said of it, must not feed itself."""
        now = time.monotonic()
        if now < self._say_after:
            return False
        self._say_after = now + QUIET
        self._said = True
        return True

    @property
    def too_late(self) -> bool:
        """The sink is being closed, and has had its time to write what was left."""
        return self._closed and time.monotonic() > self._close_by

    def __str__(self) -> str:
        return self.name or type(self).__name__

    def hurry(self) -> None:
        """Write what has gathered now and not after the interval; does not block."""
        self._wake.set()

    def reopen(self) -> None:
        """Begin a new file of the same name, after the old one was moved away. Does not block: the thread does it."""
        self._lines.append(REOPEN)
        self._wake.set()
        if self._thread is None and not self._closed:
            self._begin()

    def close(self) -> None:
        """Write what is left and stop. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._close_by = time.monotonic() + PATIENCE
        self._room = -1
        atexit.unregister(self.close)
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=PATIENCE)
            if thread.is_alive():  # the sink is stuck; waiting for its lock would hold up the end of the process
                self.dropped += len(self._lines)
                return
        self.flush()


class Fan:
    """Several sinks as one: each gets every line, and one that is stuck does not hold up the others."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self.sinks = tuple(sinks)

    @property
    def dropped(self) -> int:
        """Lines given up by any of them."""
        return sum(each.dropped for each in self.sinks)

    def write(self, line: bytes) -> None:
        """Add a line to each."""
        for each in self.sinks:
            each.write(line)

    def hurry(self) -> None:
        """As `Sink.hurry`."""
        for each in self.sinks:
            each.hurry()

    def flush(self) -> None:
        """As `Sink.flush`."""
        for each in self.sinks:
            each.flush()

    def reopen(self) -> None:
        """As `Sink.reopen`."""
        for each in self.sinks:
            each.reopen()

    def close(self) -> None:
        """As `Sink.close`."""
        for each in self.sinks:
            each.close()


class StreamSink(Sink):
    """Standard output or error."""

    def __init__(self, descriptor: int, layout: Layout | None = None, *, name: str = "") -> None:
        super().__init__(layout, name=name or f"descriptor {descriptor}")
        self._descriptor = descriptor
        self._shared = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        """Other processes write into the same pipe, which keeps only small writes in one piece."""

    def _put(self, data: bytes) -> None:
        if not self._shared:
            write_all(self._descriptor, data)
            return
        with alone(self._descriptor):
            for piece in pieces(data):
                write_all(self._descriptor, piece)


_PIPES: Final[dict[tuple[int, int], threading.Lock]] = {}
"""Of this process, for pipes that several of its sinks write into."""


@contextlib.contextmanager
def alone(descriptor: int) -> Iterator[None]:
    """While no other sink, of this process or of another worker, writes into the same pipe.

    A traceback is longer than what a pipe takes in one piece, and a line of another worker would land in its middle.
    The lock goes when its process dies. Who shares the pipe and knows nothing of it (a child's own output) may still
    come in between.
    """
    found = os.fstat(descriptor)
    with _PIPES.setdefault((found.st_dev, found.st_ino), threading.Lock()):
        locked = False
        with contextlib.suppress(OSError):  # a system that locks no pipes
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
            locked = True
        try:
            yield
        finally:
            if locked:
                fcntl.lockf(descriptor, fcntl.LOCK_UN)


def pieces(data: bytes) -> Iterator[bytes]:
    """Whole lines, as many at a time as a pipe takes in one piece (POSIX ``PIPE_BUF``); a longer line by itself."""
    at = 0
    while at < len(data):
        end = data.rfind(b"\n", at, at + select.PIPE_BUF) + 1 or data.find(b"\n", at) + 1 or len(data)
        yield data[at:end]
        at = end


class Interrupted(OSError):
    """A write ended before its data did."""

    def __init__(self, error: OSError, written: int) -> None:
        super().__init__(error.errno, error.strerror)
        self.written = written
        """Bytes."""


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, waiting where the descriptor does not block. Raises Interrupted."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # whoever shares standard output may have made it non-blocking
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll(1000)
        except OSError as error:
            raise Interrupted(error, len(data) - len(view)) from error
