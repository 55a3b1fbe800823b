"""The thread that writes: group commit, failures that hit one or all, room that comes back, and other processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.services.queue import Attempt, Done, Draft, Query, QueueError, QueueFull, QueueUnavailable
from gateway.services.queue.sqlite import schema, writer

PATIENCE = 60.0


@contextlib.contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """As a process that writes and takes its time."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    finally:
        connection.close()


async def put(queue: Any, payload: bytes = b"x" * 2000) -> str | QueueError:
    try:
        return str((await queue.put(Draft("t", payload))).id)
    except QueueError as error:
        return error


async def test_what_arrives_during_a_commit_shares_the_next_one(queue: Any, path: Path):
    await queue.ping()
    before = queue._writer.commits
    with locked(path):
        first = asyncio.ensure_future(put(queue))
        await asyncio.sleep(0.05)
        others = [asyncio.ensure_future(put(queue)) for _ in range(100)]
        await asyncio.sleep(0.05)
        assert not first.done()
    assert len(set(await asyncio.gather(first, *others))) == 101
    assert queue._writer.commits == before + 2


async def test_the_loop_goes_on_while_the_disk_is_waited_for(queue: Any, path: Path):
    with locked(path):
        pending = asyncio.ensure_future(put(queue))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not pending.done()
    assert isinstance(await pending, str)


async def test_one_that_cannot_be_done_does_not_hurt_the_others(queue: Any, path: Path, caplog: Any):
    with locked(path):
        first = asyncio.ensure_future(put(queue))
        await asyncio.sleep(0.02)
        good = [asyncio.ensure_future(put(queue)) for _ in range(3)]
        bad = asyncio.ensure_future(queue.put(Draft("t", b"x", labels={"a": object()})))  # type: ignore[dict-item]
        more = [asyncio.ensure_future(put(queue)) for _ in range(3)]
        await asyncio.sleep(0.02)
    results = await asyncio.gather(first, *good, *more)
    assert len(set(results)) == 7
    with pytest.raises(QueueError, match="it could not be done"):
        await bad
    assert await queue.count(Query()) == 7
    assert await queue.check() == []


async def test_too_much_that_waits_is_refused_and_taken_again_later(queue: Any, path: Path, monkeypatch: Any):
    monkeypatch.setattr(writer, "PENDING_BYTES", 10_000)
    with locked(path):
        results = [asyncio.ensure_future(put(queue)) for _ in range(10)]
        await asyncio.sleep(0.02)
    kinds = [type(result) for result in await asyncio.gather(*results)]
    assert kinds == [str] * 5 + [QueueFull] * 5
    assert isinstance(await put(queue), str)
    monkeypatch.setattr(writer, "PENDING", 2)
    with locked(path):
        results = [asyncio.ensure_future(put(queue)) for _ in range(3)]
        await asyncio.sleep(0.02)
        taking = asyncio.ensure_future(queue.take("t", 1, 30))  # what makes room is not refused
    assert [type(result) for result in await asyncio.gather(*results)] == [str, str, QueueFull]
    assert len(await taking) == 1


async def test_a_lock_that_is_not_given_back_is_unavailable(queue: Any, path: Path, monkeypatch: Any):
    await queue.ping()
    monkeypatch.setattr(schema, "BUSY_MS", 50)
    await queue._writer.submit(_Pragma())
    with locked(path), pytest.raises(QueueUnavailable, match="locked"):
        await queue.ping()
    await queue.ping()


class _Pragma(writer.Work):
    cost = 0

    def run(self, tx: Any) -> None:
        tx.run("PRAGMA busy_timeout = 50")


# --- no room --------------------------------------------------------------------------------------------------------


async def fill(queue: Any, acknowledged: list[str], refused: list[QueueError]) -> None:
    for _ in range(400):
        for result in await asyncio.gather(*[put(queue) for _ in range(16)]):
            (acknowledged if isinstance(result, str) else refused).append(result)  # type: ignore[arg-type]
        if refused:
            return
    pytest.fail("it never got full")


async def all_there(queue: Any, acknowledged: list[str]) -> None:
    items = [item async for item in queue.export(Query())]
    assert [item.id for item in items] == sorted(acknowledged)
    assert all(item.payload is not None for item in items)
    assert await queue.check() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
async def test_a_full_disk_refuses_and_recovers_with_nothing_half_kept(open_queue: Any, tmp_path: Path):
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount here: {mounted.stderr.strip()}")
    try:
        queue = await open_queue(place / "queue.db")
        acknowledged: list[str] = []
        refused: list[QueueError] = []
        await fill(queue, acknowledged, refused)
        assert {type(error) for error in refused} == {QueueUnavailable}
        assert "full" in str(refused[0])
        await all_there(queue, acknowledged)
        subprocess.run(["mount", "-o", "remount,size=10m", str(place)], check=True)
        again = await put(queue)
        assert isinstance(again, str)
        await all_there(queue, [*acknowledged, again])
        items = await queue.take("t", 10, 30)
        assert await queue.settle([Done(item, Attempt(1, 0, 0)) for item in items]) == [True] * 10
        await queue.close()
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


async def test_a_file_that_may_not_grow_refuses_and_recovers(queue: Any):
    """A quota, as the limit of the process's file sizes makes one; for whoever cannot mount."""
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    acknowledged: list[str] = []
    refused: list[QueueError] = []
    try:
        await queue.ping()
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, limits[1]))
        await fill(queue, acknowledged, refused)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert {type(error) for error in refused} == {QueueUnavailable}
    again = await put(queue)
    assert isinstance(again, str)
    await all_there(queue, [*acknowledged, again])


# --- the file -------------------------------------------------------------------------------------------------------


async def test_a_broken_file_is_unavailable_and_check_says_so(open_queue: Any, queue: Any, path: Path):
    id = await put(queue)  # noqa: A001
    await queue.close()
    with path.open("r+b") as file:
        file.seek(schema.PAGE)  # the first page stands: it is still a database
        file.write(b"\xff" * (path.stat().st_size - schema.PAGE))
    with pytest.raises(QueueUnavailable, match="malformed"):
        await open_queue()
    with contextlib.closing(schema.connect(path)) as connection, pytest.raises(sqlite3.DatabaseError):
        connection.execute("SELECT * FROM item").fetchall()
    assert id


async def test_one_that_breaks_while_it_is_open(queue: Any, path: Path, monkeypatch: Any):
    monkeypatch.setattr(writer, "LOOK", 0.0)
    monkeypatch.setattr(writer, "IDLE", 0.01)
    id = await put(queue)  # noqa: A001
    await asyncio.to_thread(_until, lambda: not Path(f"{path}-wal").stat().st_size)
    with path.open("r+b") as file:
        file.seek(schema.PAGE)
        file.write(b"\xff" * (path.stat().st_size - schema.PAGE))
    with pytest.raises(QueueUnavailable, match="malformed"):
        await queue.get(id)  # nothing of it is in the reader's memory yet
    with pytest.raises(QueueUnavailable, match="malformed"):
        await queue.find(Query())


@pytest.mark.parametrize("how", ["removed", "replaced"])
async def test_a_file_that_is_not_what_it_was_is_noticed(
    open_queue: Any, queue: Any, path: Path, tmp_path: Path, monkeypatch: Any, how: str
):
    monkeypatch.setattr(writer, "LOOK", 0.0)
    monkeypatch.setattr(writer, "IDLE", 0.01)
    await put(queue)
    if how == "removed":
        path.unlink()
    else:
        other = await open_queue(tmp_path / "other.db")
        await other.close()
        (tmp_path / "other.db").rename(path)
    async with asyncio.timeout(PATIENCE):
        while not isinstance(result := await put(queue), QueueUnavailable):
            await asyncio.sleep(0.01)
    assert isinstance(result, QueueUnavailable)
    with pytest.raises(QueueUnavailable):
        await queue.ping()
    assert how != "removed" or not path.exists()  # an empty queue in its place would hide the loss


def _until(condition: Any) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


async def test_the_log_is_emptied_when_nothing_is_to_be_done(queue: Any, path: Path, monkeypatch: Any):
    monkeypatch.setattr(writer, "LOOK", 0.0)
    monkeypatch.setattr(writer, "IDLE", 0.01)
    ids = await asyncio.gather(*[put(queue) for _ in range(50)])
    await asyncio.to_thread(_until, lambda: not Path(f"{path}-wal").stat().st_size)
    assert path.stat().st_size > 50 * 2000
    await all_there(queue, list(ids))


async def test_the_log_stays_bounded_under_load(queue: Any, path: Path):
    for _ in range(10):
        await asyncio.gather(*[put(queue, b"x" * 100_000) for _ in range(32)])
    assert path.stat().st_size > 10_000_000
    assert Path(f"{path}-wal").stat().st_size < schema.WAL_KEPT + 8 * 1024 * 1024


# --- other processes ------------------------------------------------------------------------------------------------

HAMMER = """
import asyncio, sys
from gateway.services.clock import Clock
from gateway.services.queue import Draft
from gateway.services.queue.opening import QueueSettings
from gateway.services.queue.sqlite import open_sqlite

async def main():
    queue = await open_sqlite(sys.argv[1], QueueSettings(), Clock())
    async def put():
        while True:
            await queue.put(Draft("theirs", b"x" * 100))
    print("open", flush=True)
    await asyncio.gather(*[put() for _ in range(8)])

asyncio.run(main())
"""


async def test_a_busy_process_does_not_starve_another(open_queue: Any, path: Path):
    queue = await open_queue(real_clock=True)
    process = subprocess.Popen([sys.executable, "-c", HAMMER, str(path)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        await asyncio.to_thread(process.stdout.readline)
        async with asyncio.timeout(PATIENCE):
            mine = 0
            while mine < 100 or not await queue.count(Query(topic="theirs")):
                assert isinstance(await put(queue), str)
                mine += 1
    finally:
        process.kill()
        process.communicate()
    assert await queue.count(Query(topic="t")) == mine
    assert await queue.check() == []


async def test_close_commits_what_was_handed_in(open_queue: Any):
    queue = await open_queue()
    results = [asyncio.ensure_future(put(queue)) for _ in range(20)]
    await asyncio.sleep(0)
    await queue.close()
    ids = await asyncio.gather(*results)
    again = await open_queue()
    await all_there(again, ids)
    assert not [thread for thread in threading.enumerate() if thread is queue._writer._thread and thread.is_alive()]
