"""A log file that several processes append to, and that one of them rotates.

Why not `logging.handlers`: its file handlers rotate by size or by time, not both, take a lock and make a system call
for each line in the thread that logs, and lose lines as soon as two processes share a file; libraries that mend the
last point lock a file of their own for every line. Here a batch is one write, and the right to rotate is a lock on the
file itself, so that it is done once, by whoever comes first, and goes on when one of them has died.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from gateway.services.log.layout import Layout
from gateway.services.log.sink import REOPEN, Interrupted, Sink, Unwritten, write_all

HOUSEKEEPING: Final = 600.0
"""Seconds between two looks for files that are too old: a gateway that writes nothing keeps its promise, too."""
RETRY: Final = 60.0
"""Seconds until a rotation that failed is tried again."""

_MOVED: Final = r"\.[0-9]{8}T[0-9]{6}Z(-[0-9]+)?"
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_DAY: Final = 86400


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a file is moved away, and how long what was moved is kept. Times are UTC, as in the lines."""

    size: int | None = 100_000_000
    """Bytes: before the file would grow beyond."""
    every: Literal["hour", "day"] | None = "day"
    keep: float | None = 30 * _DAY
    """Seconds after which a file that was moved away is deleted."""
    keep_size: int | None = None
    """Bytes of all files that were moved away; the oldest go."""

    def period(self, at: float) -> int:
        """The number of the hour or day that a time (seconds since 1970) lies in."""
        return 0 if self.every is None else int(at // (3600 if self.every == "hour" else _DAY))


class FileSink(Sink):
    """A file, appended to. Raises OSError if it cannot be opened.

    It follows its name: when the file was moved away or deleted, by our own rotation in another process or by somebody
    else's, the next lines go to a new one.
    """

    def __init__(self, path: Path, rotation: Rotation | None = None, layout: Layout | None = None) -> None:
        self.path = path
        self.rotations = 0
        """How often this process moved the file away."""
        rotation = self._rotation = None if _is_of_process(path) else rotation
        self._torn = False
        """A write ended in the middle of a line."""
        self._rotate_after = 0.0
        self._tidy_at = 0.0
        self._descriptor = self._open()
        super().__init__(layout, name=str(path))  # after what can fail: from here on it is closed at the process's end
        if rotation is not None and self._regular:
            self._begin()

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        # Not blocking while it is opened: a fifo that nobody reads is an error then, and does not hang a reload.
        opened = os.open(self.path, flags | os.O_NONBLOCK, 0o640)
        os.set_blocking(opened, True)
        found = os.fstat(opened)
        self._regular = stat.S_ISREG(found.st_mode)
        self._identity = (found.st_dev, found.st_ino)
        # An old file goes on with the period of its last line, so that a restart over midnight is no way around it.
        at = found.st_mtime if found.st_size else time.time()
        self._period = self._rotation.period(at) if self._rotation is not None else 0
        return opened

    def _part(self, lines: list[bytes]) -> None:
        if self._regular and REOPEN not in lines:
            self._follow()
        super()._part(lines)

    def _put(self, data: bytes) -> None:
        rotation = self._rotation
        if rotation is None or not self._regular:
            self._append(data)
            return
        at = 0
        for piece in pieces_of(data, rotation.size):
            at += len(piece)
            if self._due(len(piece)):
                self._rotate()
            try:
                self._append(piece)
            except Unwritten as left:
                raise Unwritten([*left.lines, *data[at:].splitlines(keepends=True)], left.reason) from left

    def _append(self, data: bytes) -> None:
        mended = int(self._torn)
        if mended:
            data = b"\n" + data
        try:
            write_all(self._descriptor, data)
        except Interrupted as error:
            whole = data[: error.written]
            if whole:
                self._torn = not whole.endswith(b"\n")
            lost = data[max(error.written, mended) :].splitlines(keepends=True)
            raise Unwritten(lost, error.strerror or "it cannot be written") from error
        self._torn = False

    # -- which file --------------------------------------------------------------------------------------------

    def _is_current(self) -> bool:
        try:
            found = self.path.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def _follow(self) -> None:
        if not self._is_current():
            self._reopen()

    def _reopen(self) -> None:
        """Write to a new file of the same name. If it cannot be opened the old one stays."""
        with contextlib.suppress(OSError):
            opened = self._open()
            os.close(self._descriptor)
            self._descriptor = opened
            self._torn = False

    # -- rotation ----------------------------------------------------------------------------------------------

    def _due(self, more: int) -> bool:
        rotation = self._rotation
        if rotation is None or time.monotonic() < self._rotate_after:
            return False
        size = os.fstat(self._descriptor).st_size
        if not size:
            self._period = rotation.period(time.time())
            return False
        return (rotation.size is not None and size + more > rotation.size) or (
            self._period != rotation.period(time.time())
        )

    def _rotate(self) -> None:
        """Move the file away and begin a new one, unless another process has done so or is about to."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # it is being done; what is written meanwhile stands at the end of the old file
        except OSError as error:  # a file system without locks
            self._not_rotated(error)
            return
        try:
            if self._is_current():
                real = Path(os.path.realpath(self.path))  # not a link, but what it leads to
                real.rename(_free_name(real))
                self.rotations += 1
                self._tidy_at = 0.0
            self._reopen()  # closes the old one, and with it the lock
        except OSError as error:
            self._not_rotated(error)
        finally:
            with contextlib.suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _not_rotated(self, error: OSError) -> None:
        self._rotate_after = time.monotonic() + RETRY
        self._notes.append(f"{self.path} cannot be rotated: {error.strerror}")

    def tick(self) -> None:
        """Delete what is too old or too much, now and then."""
        rotation, now = self._rotation, time.monotonic()
        if rotation is None or not self._regular or now < self._tidy_at:
            return
        self._tidy_at = now + HOUSEKEEPING
        for path in expired(self._moved(), rotation, time.time()):
            with contextlib.suppress(OSError):  # another process was faster
                path.unlink()

    def _moved(self) -> list[tuple[Path, float, int]]:
        found = []
        real = Path(os.path.realpath(self.path))
        old = re.compile(re.escape(real.name) + _MOVED)
        with contextlib.suppress(OSError):
            for entry in os.scandir(real.parent):
                if old.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(OSError):
                        seen = entry.stat()
                        found.append((Path(entry.path), seen.st_mtime, seen.st_size))
        return found

    def close(self) -> None:
        """Write what is left and close the file. Idempotent."""
        if not self._closed:
            super().close()
            if self._thread is None or not self._thread.is_alive():  # else it still writes to this number
                os.close(self._descriptor)


def _is_of_process(path: Path) -> bool:
    """It is another name for something that is open already, as /dev/stdout is: not ours to move away."""
    for _ in range(40):  # as many links as Linux follows
        if str(path).startswith(("/dev/std", "/dev/fd/", "/proc/")):
            return True
        if not path.is_symlink():
            return False
        path = path.parent / path.readlink()
    return False


def _free_name(path: Path) -> Path:
    name = f"{path.name}.{time.strftime(_STAMP, time.gmtime())}"
    free, number = path.with_name(name), 1
    while free.exists():
        free, number = path.with_name(f"{name}-{number}"), number + 1
    return free


def pieces_of(data: bytes, size: int | None) -> Iterator[bytes]:
    """Whole lines, as many at a time as a tenth of a file takes: a batch after a stall may be larger than a file."""
    if size is None or len(data) <= size // 10:
        yield data
        return
    at, most = 0, max(size // 10, 1)
    while at < len(data):
        end = data.rfind(b"\n", at, at + most) + 1 or data.find(b"\n", at) + 1 or len(data)
        yield data[at:end]
        at = end


def expired(moved: list[tuple[Path, float, int]], rotation: Rotation, now: float) -> list[Path]:
    """Which of the files (path, time of the last line, bytes) are to go."""
    gone, total = [], 0
    for path, at, size in sorted(moved, key=lambda each: each[1], reverse=True):
        total += size
        old = rotation.keep is not None and now - at > rotation.keep
        if old or (rotation.keep_size is not None and total > rotation.keep_size):
            gone.append(path)
    return gone
