"""Appends to a trail: many processes, one chain.

Each process appends a batch while it holds a lock on the head file, so there is no process whose death stops the
others. Records go to the disk first and the head after them: what a killed process leaves behind the head is either
whole records, which are taken over, or torn bytes, which are cut off; a record says so. What the head names and is not
there was taken away: the chain goes on from the head, so that the gap stays for ever to be found.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.services.audit import chain, files
from gateway.services.audit.chain import Head, Keys
from gateway.services.audit.event import Event, Kind, Result, Writer

FORMAT: Final = 1
"""Of the trail: said at the beginning of each file."""


class Ledger:
    """The writing end of a trail, for one thread of one process. Everything blocks."""

    def __init__(
        self,
        folder: Path,
        keys: Keys,
        writer: Writer,
        *,
        fsync: bool = True,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self.head: Head | None = None
        """What this process wrote or found last."""
        self._keys = keys
        self._writer = writer
        self._fsync = fsync
        self._now = now
        self._descriptor = -1
        self._file = -1
        self._name = ""
        self._unsaid: list[Event] = []
        """What was found and repaired, and could not be written down yet."""

    # -- opening -----------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Make the folder if need be, and see that it can be written. Raises OSError."""
        with self._locked():
            return

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """The lock on the head that is in the folder now: somebody may have taken away the one that was."""
        path = self.folder / files.HEAD
        while True:
            if self._descriptor < 0:
                if self.head is None:  # later a folder that is gone is one that somebody took away, or not mounted
                    self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                self._descriptor = os.open(path, flags, files.FILE_MODE)
                self._hand_over(self._descriptor)
            with files.locked(self._descriptor):
                if files.is_open_as(self._descriptor, path):
                    yield
                    return
            self.close()

    def close(self) -> None:
        """Idempotent."""
        for descriptor in (self._descriptor, self._file):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._file = -1
        self._name = ""

    # -- appending ---------------------------------------------------------------------------------------------

    def append(self, bodies: Sequence[bytes]) -> Head:
        """Add records, on the disk when this returns if `fsync` is on. Raises OSError: then none was added."""
        with self._locked():
            return self._append(bodies)

    def _append(self, bodies: Sequence[bytes]) -> Head:
        end = self._end()
        notes = list(self._unsaid)
        name = max(files.day_file(self._now()), end.file)  # a clock that goes back begins no old file anew
        if name != self._name or self._file < 0:
            self._open_file(name)
        size = os.fstat(self._file).st_size
        if not size:
            notes.insert(0, self._begins(name, end.chain))
        seq, last = end.seq, end.hash
        lines = []
        for body in (*map(self._writer, notes), *bodies):
            seq += 1
            line, last = chain.forge(seq, last, body, self._keys)
            lines.append(line)
        data = b"".join(lines)
        head = Head(chain=end.chain, seq=seq, hash=last, file=name, size=size + len(data))
        try:
            _write_all(self._file, data)
            if self._fsync:
                os.fdatasync(self._file)
            self._write_head(head)
        except BaseException:
            with contextlib.suppress(OSError):  # else the next one finds it behind the head
                os.ftruncate(self._file, size)
            raise
        self._unsaid.clear()
        self.head = head
        return head

    def _open_file(self, name: str) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        new = not (self.folder / name).exists()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self.folder / name, flags, files.FILE_MODE)
        self._hand_over(self._file)
        self._name = name
        if new and self._fsync:
            _sync_folder(self.folder)

    def _hand_over(self, descriptor: int) -> None:
        """What a command of root's begins belongs to the gateway, or the gateway could not go on with it.

        Never a file that has another name elsewhere: that would be a gift to whoever may write to the folder.
        """
        if os.geteuid() == 0:
            owner, opened = self.folder.stat(), os.fstat(descriptor)
            if opened.st_uid != owner.st_uid:
                if opened.st_nlink > 1:
                    raise PermissionError(errno.EPERM, "a file of the trail has another name, too")
                os.fchown(descriptor, owner.st_uid, owner.st_gid)

    def _begins(self, name: str, chain_id: str) -> Event:
        return _note("begin", name, Result.SUCCESS, {"chain": chain_id, "format": FORMAT})

    def _write_head(self, head: Head) -> None:
        data = chain.pack_head(head, self._keys)
        before = os.fstat(self._descriptor).st_size
        if os.pwrite(self._descriptor, data, 0) != len(data):
            raise OSError("the head was written in part")
        if before != len(data):
            os.ftruncate(self._descriptor, len(data))
            if self._fsync:  # later ones are written in place, and a power cut leaves one or the other
                os.fsync(self._descriptor)

    # -- where the chain ends ----------------------------------------------------------------------------------

    def _end(self) -> Head:
        """The end of the chain. What has to be said of how it was found is in ``_unsaid`` then."""
        raw = os.pread(self._descriptor, chain.HEAD_SIZE + 1, 0)
        head = chain.unpack_head(raw, self._keys)
        if head is not None and head == self._known(head) and self._undisturbed(head):
            return head
        self._close_file()
        if head is None:
            head = self._rebuilt(raw)
        mine = self.head
        if mine is not None and (head.seq < mine.seq or head.chain != mine.chain):
            self._gap("the head went back", mine.seq, head.seq)
            head = msgspec.structs.replace(head, chain=mine.chain, seq=mine.seq, hash=mine.hash)
        return self._caught_up(head)

    def _known(self, head: Head) -> Head:
        """The head itself unless it lies before what this process knows."""
        mine = self.head
        return head if mine is None or (head.seq >= mine.seq and head.chain == mine.chain) else mine

    def _undisturbed(self, head: Head) -> bool:
        """The cheap look of every batch: the file that is open ends where the head says."""
        if self._file < 0 or self._name != head.file:
            return False
        if files.day_file(self._now()) > head.file:
            return False
        open_still = files.is_open_as(self._file, self.folder / self._name)
        return open_still and os.fstat(self._file).st_size == head.size

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file, self._name = -1, ""

    def _rebuilt(self, raw: bytes) -> Head:
        """An end to go on from where there is no head: the last record there is, or nothing at all."""
        names = files.day_files(self.folder)
        mine = self.head
        fresh = Head(chain=secrets.token_hex(8), seq=0, hash=chain.ZERO, file="", size=0)
        if not names and not raw:
            if mine is None:
                self._write_head(fresh)  # before any record, so that a head that is missing was taken away
                return fresh
            self._gap("the whole trail is gone", mine.seq, 0)
            return msgspec.structs.replace(fresh, chain=mine.chain, seq=mine.seq, hash=mine.hash)
        # What it was is for who verifies, perhaps with a key that is not among these.
        told: dict[str, Any] = {"why": "unreadable" if raw else "missing", "known": mine is not None}
        if raw.isascii() and len(raw) <= chain.HEAD_SIZE:
            told["was"] = raw.decode().rstrip()
        self._say("repair", files.HEAD, Result.FAILED, told)
        if mine is not None:
            fresh = msgspec.structs.replace(fresh, chain=mine.chain)
        for name in reversed(names):
            last, size = self._last(name)
            if last is not None:
                chain_id = self._chain_of(name) if mine is None else fresh.chain
                return msgspec.structs.replace(
                    fresh, chain=chain_id or fresh.chain, seq=last.seq, hash=last.hash, file=name, size=size
                )
        return fresh

    def _chain_of(self, name: str) -> str:
        """Of which chain a file says to be at its beginning."""
        with (self.folder / name).open("rb") as file:
            first = chain.parse(file.readline(chain.LONGEST).rstrip(b"\n"))
        return str(chain.members(first).get("chain", "")) if first is not None else ""

    def _caught_up(self, head: Head) -> Head:
        """Take over whole records that lie behind the head; cut off what is none."""
        names = [name for name in files.day_files(self.folder) if name >= head.file]
        if head.file and head.size and (head.file not in names or self._size(head.file) < head.size):
            left = self._size(head.file) if head.file in names else 0
            self._gap("records were taken away", head.seq, 0, file=head.file, bytes=left, were=head.size)
            head = msgspec.structs.replace(head, size=0)
            self._cut_line(head.file)
            names = [name for name in names if name > head.file]
        adopted = 0
        for name in names:
            start = head.size if name == head.file else 0
            found, size = self._followed(name, start, head)
            adopted += found.seq - head.seq
            if size < self._size(name):
                self._reject(name, size)
            if size:
                head = msgspec.structs.replace(found, file=name, size=size)
            elif name != head.file:
                (self.folder / name).unlink()
        if adopted:
            self._say("repair", files.HEAD, Result.SUCCESS, {"why": "behind", "taken_over": adopted})
        return head

    def _followed(self, name: str, start: int, head: Head) -> tuple[Head, int]:
        """How far the records of a file follow the end; the end then, and the size up to there."""
        size, seq, last = start, head.seq, head.hash
        with (self.folder / name).open("rb") as file:
            file.seek(start)
            while (line := file.readline(chain.LONGEST)).endswith(b"\n"):
                link = chain.parse(line[:-1])
                if link is None or (link.seq, link.prev) != (seq + 1, last):
                    break
                if not chain.holds(line[:-1], link, self._keys):
                    break
                size, seq, last = size + len(line), link.seq, link.hash
        return msgspec.structs.replace(head, seq=seq, hash=last), size

    def _size(self, name: str) -> int:
        return (self.folder / name).stat().st_size

    def _cut_line(self, name: str) -> None:
        """A file that was cut within a line ends with the one before."""
        path = self.folder / name
        if path.exists():
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - chain.LONGEST))
                rest = len(file.read().rpartition(b"\n")[2])
            if rest:
                self._reject(name, size - rest)

    def _reject(self, name: str, size: int) -> None:
        """Cut a file off at ``size``. What a write left torn is no loss; anything else is kept beside it."""
        path = self.folder / name
        aside = self.folder / f"rejected-{name[:10]}-{size}.bin"
        digest, length, torn = hashlib.sha256(), 0, True
        aside.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "r+b") as file, files.made(aside, files.FILE_MODE) as kept:
            file.seek(size)
            while part := file.read(chain.LONGEST):
                digest.update(part)
                length += len(part)
                torn = torn and b"\n" not in part and length < chain.LONGEST
                kept.write(part)
            os.ftruncate(descriptor, size)
        told = {"why": "torn" if torn else "no records of the chain", "bytes": length, "sha256": digest.hexdigest()}
        if torn:
            aside.unlink()
        else:
            told["kept"] = aside.name
        self._say("repair", name, Result.SUCCESS if torn else Result.FAILED, told)

    def _say(self, action: str, resource: str, result: Result, details: dict[str, Any]) -> None:
        self._unsaid.append(_note(action, resource, result, details))

    def _gap(self, why: str, after: int, found: int, **more: Any) -> None:
        """Behind record ``after`` something is missing."""
        self._say("gap", "trail", Result.FAILED, {"why": why, "after": after, "found": found, **more})

    # -- retention ---------------------------------------------------------------------------------------------

    def retain(self, seconds: float) -> list[str]:
        """Remove files of days that are longer ago; a record of each before that vouches for what it ended with.

        Returns their names. Raises OSError.
        """
        oldest = files.day_file(self._now() - seconds)
        with self._locked():
            end = self._append(())
            names = [name for name in files.day_files(self.folder) if name < min(oldest, end.file)]
            removed, vouched = [], []
            for name in names:
                last, _ = self._last(name)
                if last is None:
                    break  # what is no chain is not for us to judge, nor to remove
                removed.append(name)
                told = {"last_seq": last.seq, "last_hash": last.hash}
                vouched.append(self._writer(_note("remove", name, Result.SUCCESS, told)))
            if removed:
                self._append(vouched)
            for path in (*(self.folder / name for name in removed), *files.rejected_files(self.folder, oldest)):
                path.unlink()
            return removed

    def _last(self, name: str) -> tuple[chain.Link | None, int]:
        """The last whole record of a file, and the size up to its end."""
        with (self.folder / name).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - 2 * chain.LONGEST)
            file.seek(start)
            data = file.read()
        end = data.rfind(b"\n") + 1
        lines = data[:end].splitlines()
        return (chain.parse(lines[-1]) if lines else None), start + end


def _note(action: str, resource: str, result: Result, details: dict[str, Any]) -> Event:
    return Event(Kind.CHAIN, action, resource, result, actor="gateway", details=details)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
