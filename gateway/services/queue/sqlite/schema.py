"""The file: how it is made, opened and brought up to date.

Small rows and large ones are kept apart: `item` is what moves between states and is listed, `payload` is written once
and deleted once. Partial indexes hold only what a question is asked about, so that a million ready items cost nothing
to whoever looks for dead letters. What `until` means depends on the state: the end of the lease, when it was buried, or
when a done item is deleted. Times are whole microseconds: they survive JSON and comparisons exactly. AUTOINCREMENT
remembers the highest number there ever was: an id that came back would be a duplicate to whoever does the work.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from gateway.services.queue.contract import QueueUnavailable

APPLICATION: Final = 0x53494447
"""``PRAGMA application_id``: the letters SIDG, so that another program's database is not taken for a queue."""
BUSY_MS: Final = 5_000
"""How long a statement waits for another process's write."""
CACHE_KIB: Final = 16_384
READER_CACHE_KIB: Final = 4_096
"""Of a connection's page cache: all the memory that a queue takes, however much is in it."""
PAGE: Final = 8_192
"""Bytes; three events of two kilobytes share one. With SQLite's own 4,096 each would have one to itself, half empty."""
WAL_PAGES: Final = 1_000
"""A commit that leaves more than these in the log moves them into the file: 8 MiB, some ten milliseconds' work."""
WAL_KEPT: Final = 32 * 1024 * 1024
"""Bytes; a log that grew beyond, behind a long reader, is cut back to this."""
LEAST_SQLITE: Final = (3, 33)
"""It brought UPDATE … FROM. JSON belongs to SQLite from 3.38 on; before, whoever built it may have left it out."""

READY: Final = 0
LEASED: Final = 1
WAITING: Final = 2
HELD: Final = 3
"""A dead letter that what has the same order waits for."""
DEAD: Final = 4
DONE: Final = 5

SECRET: Final = "SELECT value FROM fact WHERE name = 'secret'"  # noqa: S105 - a statement
"""What the ids of a queue are made with: no two queues have the same."""

_VERSION_1: Final = """
CREATE TABLE fact (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE topic (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE item (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, topic INTEGER NOT NULL, state INTEGER NOT NULL, due INTEGER NOT NULL,
    until INTEGER NOT NULL, lease INTEGER NOT NULL, attempts INTEGER NOT NULL, round INTEGER NOT NULL,
    replays INTEGER NOT NULL, size INTEGER NOT NULL, sealed INTEGER NOT NULL, ord INTEGER, subject INTEGER,
    info TEXT NOT NULL
);
CREATE INDEX item_ready ON item (topic, due) WHERE state = 0;
CREATE INDEX item_leased ON item (topic, until) WHERE state = 1;
CREATE INDEX item_order ON item (ord, state) WHERE ord IS NOT NULL;
CREATE INDEX item_kept ON item (seq) WHERE state >= 3;
CREATE INDEX item_end ON item (state, until) WHERE state >= 3;
CREATE INDEX item_subject ON item (subject) WHERE subject IS NOT NULL;
CREATE TABLE payload (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE attempt (
    seq INTEGER NOT NULL, number INTEGER NOT NULL, began INTEGER NOT NULL, seconds INTEGER NOT NULL,
    status INTEGER NOT NULL, error TEXT NOT NULL, detail TEXT NOT NULL, gateway TEXT NOT NULL,
    PRIMARY KEY (seq, number)
) WITHOUT ROWID;
CREATE TABLE dedup (key INTEGER PRIMARY KEY, rest INTEGER NOT NULL, seq INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE TABLE kept (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, value BLOB NOT NULL, until INTEGER NOT NULL,
    size INTEGER NOT NULL, sealed INTEGER NOT NULL, subject INTEGER
);
CREATE INDEX kept_until ON kept (until);
CREATE INDEX kept_subject ON kept (subject) WHERE subject IS NOT NULL;
CREATE TABLE tally (
    topic INTEGER PRIMARY KEY, ready INTEGER NOT NULL, leased INTEGER NOT NULL, dead INTEGER NOT NULL,
    done INTEGER NOT NULL, size INTEGER NOT NULL, replays INTEGER NOT NULL
);
"""


def _first(connection: sqlite3.Connection) -> None:
    _run(connection, _VERSION_1)
    connection.execute("INSERT INTO fact VALUES ('secret', ?)", (secrets.token_bytes(32),))


def _run(connection: sqlite3.Connection, script: str) -> None:
    """One statement after the other: ``executescript`` would commit what stands before it."""
    for statement in script.split(";"):
        if statement.strip():
            connection.execute(statement)


Migrations = Sequence[Callable[[sqlite3.Connection], None]]

MIGRATIONS: Final[Migrations] = (_first,)
"""The n-th makes version n out of the one before. One that was released is never changed."""


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection as ours are, to a queue that exists. Raises sqlite3.Error."""
    connection = sqlite3.connect(
        f"file:{_quoted(path)}?mode=rw", uri=True, isolation_level=None, timeout=BUSY_MS / 1000, cached_statements=256,
        check_same_thread=False,
    )  # fmt: skip
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone leaves it in the drive's cache
        connection.execute(f"PRAGMA cache_size = -{READER_CACHE_KIB if read_only else CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")
        # Some builds overwrite all that is deleted, at twice the cost; whoever erases asks for it.
        connection.execute("PRAGMA secure_delete = FAST")
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT}")
        if read_only:
            connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _quoted(path: Path) -> str:
    """In a URI of SQLite ``%``, ``?`` and ``#`` mean something."""
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def make_place(path: Path) -> None:
    """Folder and file, readable by their owner only, if they are not there yet. Raises OSError."""
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


def sync_folder(folder: Path) -> None:
    """Make names in it durable: what fsync of a file does not do."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_file(path: Path, migrations: Migrations = MIGRATIONS, *, make: bool = True) -> sqlite3.Connection:
    """Open the queue, made if need be, and bring it to this version; the connection can write.

    Raises QueueUnavailable.
    """
    if sqlite3.sqlite_version_info < LEAST_SQLITE:
        raise QueueUnavailable(f"SQLite {sqlite3.sqlite_version} is too old, 3.33 is needed")
    try:
        if make:
            make_place(path)
        connection = connect(path)
    except OSError as error:
        raise QueueUnavailable(f"{path} cannot be opened: {error.strerror}") from error
    except sqlite3.Error as error:
        raise QueueUnavailable(f"{path} cannot be opened: {error}") from error
    try:
        _prepare(connection, path, migrations)
    except sqlite3.Error as error:
        connection.close()
        raise QueueUnavailable(f"{path} cannot be opened: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, migrations: Migrations) -> None:
    connection.execute("SELECT json_group_array(value) FROM json_each('[]')").fetchone()  # raises where it is absent
    version_of(connection, path, len(migrations))  # before anything of what is not ours is changed
    if not connection.execute("PRAGMA page_count").fetchone()[0]:
        connection.execute(f"PRAGMA page_size = {PAGE}")  # this and the next mean something only before the first table
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise QueueUnavailable(f"{path} cannot be opened: its file system does not do write-ahead logging")
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Looked at again under the lock: another process may have migrated it meanwhile.
        version = version_of(connection, path, len(migrations))
        for number, migrate in enumerate(migrations[version:], version + 1):
            migrate(connection)
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        # Something is always written, so that the log exists and its name is synced before anybody relies on it.
        connection.execute("INSERT OR REPLACE INTO fact VALUES ('opened', ?)", (secrets.token_bytes(8),))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    try:
        sync_folder(path.parent)
    except OSError as error:
        raise QueueUnavailable(f"{path.parent} cannot be synced: {error.strerror}") from error


def version_of(connection: sqlite3.Connection, path: Path, newest: int) -> int:
    """The schema's version; 0 for an empty file. Raises QueueUnavailable for what this program cannot read."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if (version or tables) and application != APPLICATION:
        raise QueueUnavailable(f"{path} is a database, but no queue of this program")
    if version > newest:
        raise QueueUnavailable(
            f"{path} was written by a newer version of this program (schema {version}, this one knows {newest}): "
            "run that version, or restore a backup from before it"
        )
    return int(version)
