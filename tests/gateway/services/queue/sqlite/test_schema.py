from __future__ import annotations

import contextlib
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.services.clock import ManualClock
from gateway.services.queue import Query, QueueUnavailable, State
from gateway.services.queue.sqlite import schema

VERSION_1 = Path(__file__).with_name("version-1.sql")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folder_and_files_are_the_owners_alone(path: Path):
    with contextlib.closing(schema.open_file(path.parent / "deeper" / "queue.db")):
        assert mode(path.parent) == mode(path.parent / "deeper") == 0o700
        for file in (path.parent / "deeper").iterdir():
            assert mode(file) == 0o600, file


def test_a_folder_that_is_there_stays_as_it_is(path: Path):
    path.parent.mkdir(mode=0o750)
    schema.open_file(path).close()
    assert mode(path.parent) == 0o750


def test_every_commit_is_synced_and_the_log_is_written_ahead(path: Path):
    with contextlib.closing(schema.open_file(path)) as connection:

        def pragma(name: str) -> object:
            return connection.execute(f"PRAGMA {name}").fetchone()[0]

        assert (pragma("synchronous"), pragma("journal_mode"), pragma("auto_vacuum")) == (2, "wal", 2)
        assert pragma("user_version") == len(schema.MIGRATIONS)


def test_a_reader_cannot_write(path: Path):
    schema.open_file(path).close()
    with (
        contextlib.closing(schema.connect(path, read_only=True)) as connection,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        connection.execute("DELETE FROM item")


def newer(path: Path) -> None:
    with contextlib.closing(schema.open_file(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")


def foreign(path: Path) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE a (b)")


def text(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("This is no database at all. " * 100)


def folder(path: Path) -> None:
    path.mkdir(parents=True)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(newer, "written by a newer version", id="a newer schema"),
        pytest.param(foreign, "no queue of this program", id="another program's database"),
        pytest.param(text, "not a database", id="no database"),
        pytest.param(folder, "cannot be opened", id="a folder"),
        pytest.param(lambda path: path.parent.write_text(""), "cannot be opened", id="a file in the folder's place"),
    ],
)
async def test_what_cannot_be_opened_says_why(open_queue: Any, path: Path, make: Callable[[Path], None], words: str):
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(QueueUnavailable, match=words):
        await open_queue()
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_migrations_go_on_where_they_stopped_and_all_or_nothing(path: Path):
    schema.open_file(path).close()

    def second(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE item ADD COLUMN more INTEGER NOT NULL DEFAULT 7")

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half (a)")
        connection.execute("no SQL")

    with pytest.raises(QueueUnavailable, match="syntax error"):
        schema.open_file(path, (*schema.MIGRATIONS, second, broken))
    with contextlib.closing(schema.open_file(path, (*schema.MIGRATIONS, second))) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS) + 1,)
        assert "more" in {row[1] for row in connection.execute("PRAGMA table_info(item)")}
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'half'").fetchone() is None


async def test_a_queue_of_version_1_is_brought_up_to_date(open_queue: Any, path: Path, clock: ManualClock):
    """`version-1.sql` was written by the program of version 1 and is never written again."""
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1.read_text())
    clock.advance(3600)
    queue = await open_queue()
    items = {item.payload: item async for item in queue.export(Query())}
    assert {payload: item.state for payload, item in items.items()} == {
        b"ready": State.READY, b"waiting": State.WAITING, b"dead": State.DEAD, b"done": State.DONE,
        b"leased": State.READY,  # as long ago
    }  # fmt: skip
    assert items[b"dead"].labels == {"route": "stripe", "event": "invoice.paid"}
    assert [(each.number, each.status) for each in await queue.attempts(items[b"dead"].id)] == [(1, 503), (2, 410)]
    assert items[b"dead"].last.detail == "gone"
    assert await queue.check() == []
    assert await queue.erase("ada") == 2
    taken = await queue.take("inbox/stripe/inbox", 10, 30)
    assert [item.payload for item in taken] == [b"leased", b"ready"]


def test_a_name_with_signs_of_a_uri(path: Path):
    strange = path.parent / "a%20b?c#d" / "q%.db"
    schema.open_file(strange).close()
    assert strange.is_file()
