"""Copies of a queue, what is wrong with one, and a copy put in its place."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.services.queue.contract import QueueError, QueueUnavailable
from gateway.services.queue.sqlite import schema

STEP_PAGES: Final = 256
"""Copied in one step: 2 MiB."""
PAUSE: Final = 0.002
"""Seconds between two steps, for whoever waits for the disk."""
_FAULTS: Final = 20
"""Lines of each kind that are worth reading."""


class InUse(QueueError):
    """Some process has the queue open."""


def enter(path: Path) -> int:
    """Say that the file is in use: a handle for `leave`. Waits for a restore that is under way."""
    handle = os.open(f"{path}-use", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
    except BaseException:
        os.close(handle)
        raise
    return handle


def leave(handle: int) -> None:
    os.close(handle)


def copy(source: sqlite3.Connection, destination: Path) -> None:
    """One moment's state of the queue as one file, readable by its owner only; appears under its name when it is whole.

    Writers go on: the copy reads a snapshot, step by step, while the log keeps what is written meanwhile.
    """
    partial = destination.with_name(f".{destination.name}.{os.getpid()}.partial")
    try:
        schema.make_place(partial)
        try:
            # Without a transaction of its own around it a copy begins anew whenever somebody commits, for ever.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM fact").fetchone()
            with contextlib.closing(sqlite3.connect(partial, isolation_level=None)) as target:
                source.backup(target, pages=STEP_PAGES, sleep=PAUSE)
                target.execute("PRAGMA journal_mode = DELETE").fetchone()  # one file, with nothing beside it
                wrong = sound(target)
                if wrong:
                    raise QueueUnavailable(f"the copy is not sound: {wrong[0]}")
        finally:
            if source.in_transaction:
                source.execute("ROLLBACK")
        _sync_file(partial)
        partial.replace(destination)
        schema.sync_folder(destination.parent)
    except OSError as error:
        raise QueueUnavailable(f"{destination} cannot be written: {error.strerror}") from error
    finally:
        for name in (partial, Path(f"{partial}-journal")):
            with contextlib.suppress(OSError):
                name.unlink()


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sound(connection: sqlite3.Connection) -> Sequence[str]:
    """What SQLite finds wrong with the file itself."""
    lines = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({_FAULTS})")]
    return [] if lines == ["ok"] else lines


_CHECKS: Final = (
    ("{} items without a payload", "SELECT count(*) FROM item WHERE seq NOT IN (SELECT seq FROM payload)"),
    ("{} payloads of no item", "SELECT count(*) FROM payload WHERE seq NOT IN (SELECT seq FROM item)"),
    ("{} attempts of no item", "SELECT count(*) FROM attempt WHERE seq NOT IN (SELECT seq FROM item)"),
    ("{} items of no topic", "SELECT count(*) FROM item WHERE topic NOT IN (SELECT id FROM topic)"),
    (
        "{} orders in which all wait and nothing goes on",
        (
            "SELECT count(DISTINCT ord) FROM item AS w WHERE state = 2 AND NOT EXISTS "
            "(SELECT 1 FROM item AS i WHERE i.ord = w.ord AND i.state IN (0, 1, 3))"
        ),
    ),
    (
        "{} topics whose tally is not what is there",
        (
            "SELECT count(*) FROM tally AS t WHERE t.topic <> 0 AND (ready, leased, dead, done, size) <> (SELECT "
            "count(*) FILTER (WHERE state IN (0, 2)), count(*) FILTER (WHERE state = 1), "
            "count(*) FILTER (WHERE state IN (3, 4)), count(*) FILTER (WHERE state = 5), coalesce(sum(size), 0) "
            "FROM item AS i WHERE i.topic = t.topic)"
        ),
    ),
)


def faults(connection: sqlite3.Connection) -> Sequence[str]:
    """What is wrong, for people."""
    connection.execute("BEGIN")  # one moment's state throughout
    try:
        lines = list(sound(connection))
        for text, question in _CHECKS:
            (count,) = connection.execute(question).fetchone()
            if count:
                lines.append(text.format(count))
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return lines


def validate(source: Path) -> None:
    """Raises QueueUnavailable if this is no sound copy of a queue that this program can read."""
    try:
        with contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            if not schema.version_of(connection, source, len(schema.MIGRATIONS)):
                raise QueueUnavailable(f"{source} is empty")
            wrong = faults(connection)
    except sqlite3.Error as error:
        raise QueueUnavailable(f"{source} cannot be read: {error}") from error
    if wrong:
        raise QueueUnavailable(f"{source} is not sound: {'; '.join(wrong)}")


def restore(source: Path, path: Path) -> Path | None:
    """Put a backup in the place of the queue at ``path``; returns where the one before is kept, None if there was none.

    Raises InUse while a process has that queue open, QueueUnavailable if the backup is not sound or a file cannot be
    written; nothing has changed then. A queue is there under its name at every moment, the old one or the new.
    """
    validate(source)
    partial = path.with_name(f".{path.name}.{os.getpid()}.restoring")
    try:
        schema.make_place(path.parent / partial.name)
        handle = os.open(f"{path}-use", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InUse(f"{path} is in use: stop the gateway first") from None
            shutil.copyfile(source, partial)
            _give_away(path, partial, handle)
            _sync_file(partial)
            kept = _set_aside(path) if path.exists() else None
            partial.replace(path)
            schema.sync_folder(path.parent)
        finally:
            os.close(handle)
    except OSError as error:
        raise QueueUnavailable(f"{path} cannot be restored: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    return kept


def _give_away(path: Path, *files: Path | int) -> None:
    """Root restores for the gateway's own user, who could not open what is root's."""
    if os.geteuid() == 0:
        owner = (path if path.exists() else path.parent).stat()
        for file in files:
            os.chown(file, owner.st_uid, owner.st_gid)


def _set_aside(path: Path) -> Path:
    """Give the old queue a second name, its log included."""
    moment = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    kept = path.with_name(f"{path.name}.before-restore-{moment}")
    log = Path(f"{path}-wal")
    if log.exists():
        # SQLite throws a log away that it cannot make sense of; somebody may.
        shutil.copyfile(log, f"{kept}-wal")
        Path(f"{kept}-wal").chmod(0o600)
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=1)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE").fetchone()  # moves the log into the file
        Path(f"{kept}-wal").unlink(missing_ok=True)
    except sqlite3.DatabaseError as error:
        # BUSY: a process that is not ours has it open. Anything else: it is broken, which is why somebody restores.
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            Path(f"{kept}-wal").unlink(missing_ok=True)
            raise InUse(f"{path} is in use by another program") from error
    os.link(path, kept)
    # Beside the restored file it would be taken for that one's.
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    return kept
