"""Copies, what is wrong with a queue, and a copy put in its place."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.services.queue import Attempt, Buried, Draft, Query, QueueError, QueueUnavailable
from gateway.services.queue.sqlite import InUse, backup, restore, schema, validate


async def fill(queue: Any, count: int, size: int = 2000) -> list[str]:
    return [each.id for each in await asyncio.gather(*[queue.put(Draft("t", bytes(size))) for _ in range(count)])]


async def everything(queue: Any) -> list[str]:
    return [item.id for item in (await queue.find(Query(), limit=100_000)).items]


async def test_a_copy_is_one_file_of_the_owners_with_all_of_one_moment(
    open_queue: Any, tmp_path: Path, monkeypatch: Any
):
    """While others write: neither does the copy begin anew for ever, nor do they wait for its end."""
    monkeypatch.setattr(backup, "STEP_PAGES", 8)
    queue = await open_queue()
    before = await fill(queue, 500)
    copying = asyncio.ensure_future(queue.backup(tmp_path / "copy.db"))
    during: list[str] = []
    while not copying.done():
        during += await fill(queue, 5)
    await copying
    assert during
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["copy.db"]
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    copy = await open_queue(tmp_path / "copy.db")
    there = await everything(copy)
    assert there == (before + during)[: len(there)]
    assert len(there) >= 500
    assert await copy.check() == []


async def test_a_copy_takes_the_place_of_an_older_one(queue: Any, open_queue: Any, tmp_path: Path):
    await fill(queue, 1)
    await queue.backup(tmp_path / "copy.db")
    ids = await fill(queue, 1)
    await queue.backup(tmp_path / "copy.db")
    assert (await everything(await open_queue(tmp_path / "copy.db")))[1:] == ids


async def test_a_queue_is_not_copied_onto_itself(queue: Any, path: Path):
    ids = await fill(queue, 1)
    with pytest.raises(QueueError, match="no backup of itself"):
        await queue.backup(path)
    assert await everything(queue) == ids


@pytest.mark.parametrize("where", ["missing/copy.db", "folder"])
async def test_a_copy_that_cannot_be_written(queue: Any, tmp_path: Path, where: str):
    (tmp_path / "folder").mkdir()
    (tmp_path / "missing").write_text("")
    with pytest.raises(QueueUnavailable, match="cannot be written"):
        await queue.backup(tmp_path / where)
    assert not list(tmp_path.rglob("*partial*"))
    await queue.ping()


# --- check ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param("DELETE FROM payload", "2 items without a payload", id="payloads"),
        pytest.param("INSERT INTO payload VALUES (1, x'')", "1 payloads of no item", id="items"),
        pytest.param("DELETE FROM topic", "2 items of no topic", id="topics"),
        pytest.param("UPDATE tally SET ready = 7", "1 topics whose tally", id="tally"),
        pytest.param("UPDATE item SET state = 2", "1 orders in which all wait", id="order"),
        pytest.param("DELETE FROM item", "1 attempts of no item", id="attempts"),
    ],
)
async def test_check_finds(queue: Any, path: Path, damage: str, words: str):
    for n in range(2):
        await queue.put(Draft("t", b"x", order="k"))
        if not n:
            items = await queue.take("t", 1, 30)
            await queue.settle([Buried(items[0], Attempt(1, 0, 0))])
    assert await queue.check() == []
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(damage)
        connection.commit()
    assert any(words in line for line in await queue.check())


# --- restore --------------------------------------------------------------------------------------------------------


async def test_what_was_copied_is_restored_and_what_was_there_is_kept(open_queue: Any, path: Path, tmp_path: Path):
    queue = await open_queue()
    ids = await fill(queue, 3)
    await queue.backup(tmp_path / "copy.db")
    more = await fill(queue, 2)
    await queue.close()
    kept = restore(tmp_path / "copy.db", path)
    assert kept is not None
    assert await everything(await open_queue()) == ids
    assert await everything(await open_queue(kept)) == ids + more
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    validate(tmp_path / "copy.db")  # it is still where it was


async def test_what_a_killed_process_left_in_the_log_is_kept(open_queue: Any, path: Path, tmp_path: Path):
    queue = await open_queue()
    await queue.backup(tmp_path / "copy.db")
    ids = await fill(queue, 3)
    left = tmp_path / "left"
    left.mkdir()
    for file in path.parent.iterdir():  # as after a kill: the log is not empty
        (left / file.name).write_bytes(file.read_bytes())
    kept = restore(tmp_path / "copy.db", left / path.name)
    assert await everything(await open_queue(left / path.name)) == []
    assert await everything(await open_queue(kept)) == ids


def test_nothing_need_be_there_before(path: Path, tmp_path: Path):
    schema.open_file(tmp_path / "a.db").close()
    assert restore(tmp_path / "a.db", path) is None
    schema.open_file(path).close()


async def test_a_queue_in_use_is_not_overwritten(open_queue: Any, path: Path, tmp_path: Path):
    queue = await open_queue()
    ids = await fill(queue, 2)
    await queue.backup(tmp_path / "copy.db")
    with pytest.raises(InUse, match="in use"):
        restore(tmp_path / "copy.db", path)
    assert await everything(queue) == ids
    await queue.close()
    with contextlib.closing(sqlite3.connect(path)) as foreign:  # a program that knows nothing of our locks
        foreign.execute("SELECT * FROM item").fetchone()
        foreign.execute("BEGIN")
        foreign.execute("SELECT * FROM item").fetchone()
        with pytest.raises(InUse, match="another program"):
            restore(tmp_path / "copy.db", path)
    assert await everything(await open_queue()) == ids
    assert sorted(file.name for file in path.parent.iterdir() if "restor" in file.name) == []


def no_database(copy: Path) -> None:
    copy.write_text("nothing" * 1000)


def truncated(copy: Path) -> None:
    copy.write_bytes(copy.read_bytes()[:8192])


def without_payloads(copy: Path) -> None:
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        connection.execute("DELETE FROM payload")
        connection.commit()


def newer(copy: Path) -> None:
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        connection.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize("damage", [Path.unlink, no_database, truncated, without_payloads, newer])
async def test_what_is_no_sound_copy_is_not_restored(
    open_queue: Any, path: Path, tmp_path: Path, damage: Callable[[Path], None]
):
    queue = await open_queue()
    ids = await fill(queue, 20)
    await queue.backup(tmp_path / "copy.db")
    await queue.close()
    damage(tmp_path / "copy.db")
    with pytest.raises(QueueUnavailable):
        restore(tmp_path / "copy.db", path)
    assert await everything(await open_queue()) == ids


async def test_a_broken_queue_is_put_aside_as_it_is(open_queue: Any, path: Path, tmp_path: Path):
    queue = await open_queue()
    ids = await fill(queue, 2)
    await queue.backup(tmp_path / "copy.db")
    await queue.close()
    path.write_bytes(b"broken" * 1000)
    Path(f"{path}-wal").write_bytes(b"a log of before")
    kept = restore(tmp_path / "copy.db", path)
    assert kept is not None
    assert kept.read_bytes() == b"broken" * 1000
    assert Path(f"{kept}-wal").read_bytes() == b"a log of before"
    assert await everything(await open_queue()) == ids


async def test_whoever_opens_waits_for_a_restore_that_is_under_way(open_queue: Any, path: Path):
    path.parent.mkdir()
    import fcntl
    import os

    handle = os.open(f"{path}-use", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    opening = asyncio.ensure_future(open_queue())
    done, _ = await asyncio.wait([opening], timeout=0.1)
    assert not done
    os.close(handle)
    queue = await opening
    await queue.ping()
    with pytest.raises(QueueError):
        restore(path, path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("there", [True, False], ids=["in an old one's place", "where there was none"])
async def test_what_root_restores_belongs_to_whom_it_belonged(queue: Any, tmp_path: Path, there: bool):
    source, path = tmp_path / "copy.db", tmp_path / "own" / "queue.db"
    await queue.backup(source)
    path.parent.mkdir()
    os.chown(path.parent, 4711, 4712)
    if there:
        shutil.copyfile(source, path)
        os.chown(path, 4711, 4712)
    restore(source, path)
    for name in ("queue.db", "queue.db-use"):
        made = path.with_name(name).stat()
        assert (made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode)) == (4711, 4712, 0o600)
