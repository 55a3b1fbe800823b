"""Where lines go: batched in memory, written by a thread.

The loop only appends to a list. A thread takes what has gathered every 100 ms, or at once when 64 KB have. When the
sink is stuck the list is bounded: lines are then dropped and counted, and requests go on.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

INTERVAL: Final = 0.1
"""Seconds between writes."""
EAGER: Final = 64 * 1024
"""Bytes that are written without waiting for the interval."""
PATIENCE: Final = 5.0
"""Seconds that `Sink.close` waits for a stuck sink."""
MOST: Final = 16 * 1024 * 1024
"""Bytes that may wait for a stuck sink."""


class Sink:
    """Lines on their way to a file descriptor."""

    def __init__(self) -> None:
        self.dropped = 0
        """Lines that were given up because too many waited."""
        self.failures = 0
        """Writes that failed."""
        self._lines: list[bytes] = []
        self._size = 0
        self._writing = 0
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._closed = False
        self._thread: threading.Thread | None = None
        atexit.register(self.close)

    def write(self, line: bytes) -> None:
        """Add a line, its line break included. Never blocks; cheap."""
        size = self._size + len(line)
        if size + self._writing > MOST or self._closed:
            self.dropped += 1
            return
        self._lines.append(line)
        self._size = size
        if size >= EAGER:
            self._wake.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(INTERVAL)
            self._wake.clear()
            self.flush()

    def flush(self) -> None:
        """Write what has gathered; blocks."""
        with self._lock:
            # Taken from the front of the same list: a line that the loop appends at this moment is in it or stays for
            # the next turn; with an exchange of lists it could land in the one already written.
            lines = self._lines[:]
            del self._lines[: len(lines)]
            self._size = 0
            if not lines:
                return
            data = b"".join(lines)
            self._writing = len(data)
            try:
                self._put(data)
            except OSError:
                self.failures += 1
                self.dropped += len(lines)
            finally:
                self._writing = 0

    def _put(self, data: bytes) -> None:
        raise NotImplementedError

    def hurry(self) -> None:
        """Write what has gathered now and not after the interval; does not block."""
        self._wake.set()

    def reopen(self) -> None:
        """Begin a new file of the same name, after the old one was moved away."""

    def close(self) -> None:
        """Write what is left and stop. Idempotent."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=PATIENCE)
            if thread.is_alive():  # the sink is stuck; waiting for its lock would hold up the end of the process
                self.dropped += len(self._lines)
                return
        self.flush()


class StreamSink(Sink):
    """Standard output or error."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._shared = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        """Other processes write into the same pipe, which keeps only small writes in one piece."""

    def _put(self, data: bytes) -> None:
        for piece in pieces(data) if self._shared else (data,):
            _write_all(self._descriptor, piece)


def pieces(data: bytes) -> Iterator[bytes]:
    """Whole lines, as many at a time as a pipe takes in one piece (POSIX ``PIPE_BUF``); a longer line by itself."""
    at = 0
    while at < len(data):
        end = data.rfind(b"\n", at, at + select.PIPE_BUF) + 1 or data.find(b"\n", at) + 1 or len(data)
        yield data[at:end]
        at = end


class FileSink(Sink):
    """A file, appended to. Raises OSError if it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = self._open()
        super().__init__()  # after what can fail: from here on it is closed at the end of the process

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _put(self, data: bytes) -> None:
        _write_all(self._descriptor, data)

    def reopen(self) -> None:
        """Write to a new file of the same name. If it cannot be opened the old one stays."""
        self.flush()
        with self._lock, contextlib.suppress(OSError):
            opened = self._open()
            os.close(self._descriptor)
            self._descriptor = opened

    def close(self) -> None:
        """Write what is left and close the file. Idempotent."""
        if not self._closed:
            super().close()
            if self._thread is None or not self._thread.is_alive():  # else it still writes to this number
                os.close(self._descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # whoever shares standard output may have made it non-blocking
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll(1000)
