"""The embedded queue: SQLite, one file, no other service."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from urllib.parse import unquote

from gateway.services.clock import Clock
from gateway.services.queue.contract import QueueUnavailable, QueueUrlError
from gateway.services.queue.opening import QueueSettings
from gateway.services.queue.sqlite import schema
from gateway.services.queue.sqlite.backup import InUse, enter, leave, restore, validate
from gateway.services.queue.sqlite.queue import SqliteQueue

__all__ = ["InUse", "SqliteQueue", "open_sqlite", "path_of", "restore", "validate"]


def path_of(rest: str) -> Path:
    """The file meant by what stands behind ``sqlite://``. Raises QueueUrlError."""
    text = unquote(rest)
    if not text.startswith("/") or text.endswith("/") or "?" in rest or "#" in rest or "\0" in text:
        raise QueueUrlError("a queue on SQLite is named by an absolute path: sqlite:///var/lib/sidegate/queue.db")
    return Path("/" + text.lstrip("/"))


async def open_sqlite(rest: str, settings: QueueSettings, clock: Clock) -> SqliteQueue:
    """Make or open the queue behind ``sqlite://``, and bring it to this version.

    Raises QueueUrlError for what is no path, QueueUnavailable for what cannot be opened or is newer than this program.
    """
    path = path_of(rest)
    connection, lock = await asyncio.to_thread(_open, path)
    try:
        return SqliteQueue(path, settings, clock, connection, lock)
    except BaseException:
        connection.close()
        leave(lock)
        raise


def _open(path: Path) -> tuple[sqlite3.Connection, int]:
    try:
        schema.make_place(path)
        lock = enter(path)
    except OSError as error:
        raise QueueUnavailable(f"{path} cannot be opened: {error.strerror}") from error
    try:
        return schema.open_file(path), lock
    except BaseException:
        leave(lock)
        raise
