"""What lies in the folder of a trail: a file for each day, and the head.

2026-11-21.jsonl          records, one a line; the first says which file it is
head                      the end of the chain; whoever appends holds a lock on it
rejected-2026-11-21-….bin what was found behind the end and was no record of the chain
verified.json             when somebody last verified it, and what came of it
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from gateway.services.audit.chain import HEAD_SIZE, Head, Keys, unpack_head

HEAD: Final = "head"
VERIFIED: Final = "verified.json"
FILE_MODE: Final = 0o640
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\.jsonl")
_REJECTED: Final = re.compile(r"rejected-([0-9]{4}-[0-9]{2}-[0-9]{2})-[0-9]+\.bin")


def day_file(at: float) -> str:
    """The file of what is written at this time (UTC)."""
    return time.strftime("%Y-%m-%d.jsonl", time.gmtime(at))


def day_files(folder: Path) -> list[str]:
    """Names of the files with records, oldest first. Raises OSError."""
    return sorted(path.name for path in folder.iterdir() if _DAY.fullmatch(path.name))


def rejected_files(folder: Path, before: str) -> list[Path]:
    """What was rejected on days before that of a file's name."""
    found = ((path, _REJECTED.fullmatch(path.name)) for path in folder.iterdir())
    return [path for path, match in found if match is not None and match[1] < before[:10]]


@contextlib.contextmanager
def locked(descriptor: int, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    """The lock on an open head; blocks. It belongs to this descriptor, so it holds between threads, too."""
    fcntl.flock(descriptor, kind)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def made(path: Path, mode: int) -> BinaryIO:
    """A new file to write to. Raises FileExistsError where something stands under this name, even a link; OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    return os.fdopen(descriptor, "wb")


def is_open_as(descriptor: int, path: Path) -> bool:
    """The open file is the one that stands under this name now."""
    ours = os.fstat(descriptor)
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


class Standing:
    """A trail as it stood at one moment: its files, their sizes, its head."""

    __slots__ = ("head", "raw", "sizes")

    def __init__(self, raw: bytes, head: Head | None, sizes: dict[str, int]) -> None:
        self.raw = raw
        """The head file's bytes; empty if there is none."""
        self.head = head
        self.sizes = sizes


def standing(folder: Path, keys: Keys) -> Standing:
    """Look while nobody appends. Raises OSError, FileNotFoundError if the folder is not there."""
    try:
        descriptor = os.open(folder / HEAD, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return Standing(b"", None, _sizes(folder))
    try:
        with locked(descriptor, fcntl.LOCK_SH):
            raw = os.pread(descriptor, HEAD_SIZE + 1, 0)
            return Standing(raw, unpack_head(raw, keys), _sizes(folder))
    finally:
        os.close(descriptor)


def _sizes(folder: Path) -> dict[str, int]:
    return {name: (folder / name).stat().st_size for name in day_files(folder)}
