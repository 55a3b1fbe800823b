"""From events to records: in batches, bounded, never in the way, and what is lost is told."""

from __future__ import annotations

import asyncio
import errno
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.services.audit import Event, Head, Trail
from gateway.services.audit.trail import state_of

FULL = OSError(errno.ENOSPC, "No space left on device")


class Disk:
    """A ledger whose disk fails, or hangs, when the test says so."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self.bodies: list[bytes] = []
        self.batches: list[int] = []
        self.error: OSError | None = None
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Event()
        self.closed = 0

    def append(self, bodies: list[bytes]) -> Head:
        self.entered.set()
        assert self.free.wait(60)
        if self.error is not None:
            raise self.error
        self.bodies += bodies
        self.batches.append(len(bodies))
        return Head(chain="c", seq=len(self.bodies), hash="0" * 64, file="f", size=0)

    def retain(self, _seconds: float) -> list[str]:
        return []

    def close(self) -> None:
        self.closed += 1

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(b"{" + body + b"}") for body in self.bodies]


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def make(place: Any, disk: Disk) -> Iterator[Any]:
    made: list[Trail] = []

    def trail(**options: Any) -> Trail:
        made.append(Trail(disk, place.writer, **{"flush": 0.01, **options}))  # type: ignore[arg-type]
        return made[-1]

    yield trail
    disk.error = None
    disk.free.set()
    for each in made:
        each.close()


async def test_whoever_waits_is_told_when_it_is_on_the_disk(make: Any, disk: Disk, event: Any):
    trail = make(flush=60.0)  # nobody who waits has to wait for that
    assert await trail.record_and_wait(event(), 60)
    assert [record["actor"] for record in disk.told] == ["alice"]


async def test_records_share_a_write(make: Any, disk: Disk, event: Any):
    trail = make()
    disk.free.clear()
    first = asyncio.ensure_future(trail.record_and_wait(event(), 60))
    await asyncio.to_thread(disk.entered.wait, 60)
    others = [asyncio.ensure_future(trail.record_and_wait(event(), 60)) for _ in range(50)]
    await asyncio.sleep(0)
    disk.free.set()
    assert all(await asyncio.gather(first, *others))
    assert disk.batches == [1, 50]


async def test_a_disk_that_hangs_holds_nobody_up(make: Any, disk: Disk, event: Any):
    trail = make()
    disk.free.clear()
    assert trail.record(event())
    await asyncio.to_thread(disk.entered.wait, 60)
    for _ in range(100):
        assert trail.record(event())
    assert await trail.record_and_wait(event(), 0.01) is False
    assert trail.pending == 102
    assert trail.lag > 0
    disk.free.set()
    assert await trail.record_and_wait(event(), 60)
    assert trail.pending == 0


async def test_a_disk_that_hangs_counts_as_failed(make: Any, disk: Disk, event: Any, monkeypatch: pytest.MonkeyPatch):
    trail = make(flush=0.0)
    disk.free.clear()
    trail.record(event())
    assert not trail.refusing
    with monkeypatch.context() as patch:
        patch.setattr("gateway.services.audit.trail.STALLED", -1.0)
        assert "waited too long" in trail.refusing
    disk.free.set()
    assert await trail.record_and_wait(event(), 60)
    assert not trail.refusing


async def test_what_finds_no_room_is_counted_and_a_record_tells_of_it(make: Any, disk: Disk, event: Any):
    trail = make(queue=4)
    disk.free.clear()
    trail.record(event())
    await asyncio.to_thread(disk.entered.wait, 60)
    kept = [trail.record(event()) for _ in range(6)]
    assert [bool(number) for number in kept] == [True, True, True, False, False, False]
    assert trail.lost == 3
    assert await trail.record_and_wait(event(), 60) is False
    disk.free.set()
    await asyncio.to_thread(trail.close)
    lost = [record for record in disk.told if record["kind"] == "chain"]
    assert [(record["action"], record["events"]) for record in lost] == [("lost", 4)]
    assert len(disk.told) == 5


async def test_a_full_disk_is_tried_again(make: Any, disk: Disk, event: Any):
    trail = make()
    disk.error = FULL
    assert await trail.record_and_wait(event(), 600) is False  # at once, not after ten minutes
    assert trail.refusing == "No space left on device"
    assert state_of(trail)["ok"] is False
    assert state_of(trail)["error"] == "No space left on device"
    disk.error = None
    assert await trail.record_and_wait(event(), 60)
    assert (trail.problem, trail.refusing, trail.lost) == ("", "", 0)
    assert len(disk.told) == 2
    assert state_of(trail)["ok"] is True


async def test_nothing_more_is_begun_when_half_of_the_queue_is_taken(make: Any, disk: Disk, event: Any):
    trail = make(queue=4)
    disk.free.clear()
    for _ in range(2):
        trail.record(event())
    assert not trail.refusing
    trail.record(event())
    assert trail.refusing


async def test_the_end_writes_what_waits(make: Any, disk: Disk, event: Any):
    trail = make(flush=60.0)
    for _ in range(2500):
        trail.record(event())
    await asyncio.to_thread(trail.close)
    await asyncio.to_thread(trail.close)
    assert disk.batches == [1000, 1000, 500]
    assert trail.record(event()) == 0


async def test_the_end_does_not_wait_for_ever(make: Any, disk: Disk, event: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.services.audit.trail.PATIENCE", 0.01)
    trail = make()
    disk.free.clear()
    trail.record(event())
    await asyncio.to_thread(disk.entered.wait, 60)
    await asyncio.to_thread(trail.close)
    assert trail.pending == 1


async def test_each_record_on_the_disk_is_told(make: Any, event: Any):
    seen: list[Event] = []
    trail = make(written=seen.append)
    await trail.record_and_wait(event(), 60)
    assert len(seen) == 1


async def test_files_past_their_retention_go_without_any_event(place: Any, until: Any):
    ledger = place.write(2)
    place.now += 10 * 86400
    place.write(2, ledger)
    trail = Trail(ledger, place.writer, flush=0.01, retention=86400.0)
    trail.start()
    await until(lambda: not place.file().exists(), 60)
    await asyncio.to_thread(trail.close)
    assert place.verify().ok


async def test_a_bug_does_not_end_the_thread(make: Any, disk: Disk, event: Any):
    trail = make()
    disk.error = RuntimeError("a bug")  # type: ignore[assignment]
    assert await trail.record_and_wait(event(), 60) is False
    assert trail.refusing == "RuntimeError"
    disk.error = None
    assert await trail.record_and_wait(event(), 60)


async def test_the_log_learns_how_each_day_ended(place: Any, caplog: pytest.LogCaptureFixture, event: Any):
    ledger = place.ledger()
    trail = Trail(ledger, place.writer, flush=0.01, retention=10 * 86400.0)
    with caplog.at_level("INFO", "gateway.audit"):
        await trail.record_and_wait(event(), 60)
        first = str(ledger.head)
        place.now += 86400
        await trail.record_and_wait(event(), 60)
        await asyncio.to_thread(trail.close)
    assert [record.getMessage() for record in caplog.records] == [
        f"2026-11-21.jsonl of the audit trail ends with record {first}",
        f"the audit trail ends with record {ledger.head}",
    ]


LIMITED = """
import asyncio, json, resource, sys
from pathlib import Path
from gateway.services.audit import Event, Keys, Kind, Ledger, Result, Trail, Writer, verify
from gateway.services.masking import Masking

async def main():
    folder, keys, writer = Path(sys.argv[1]), Keys((b"k" * 32,)), Writer("gw", Masking())
    trail = Trail(Ledger(folder, keys, writer), writer, flush=0.01)
    event = lambda: Event(Kind.REQUEST, "GET", "/" + "x" * 500, Result.SUCCESS, "alice")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert await trail.record_and_wait(event(), 60)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    held = 1
    while await trail.record_and_wait(event(), 60):
        held += 1
    problem = trail.problem
    whole = verify(folder, keys)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    again = await trail.record_and_wait(event(), 60)
    await asyncio.to_thread(trail.close)
    end = verify(folder, keys)
    print(json.dumps([held, problem, whole.ok, whole.records, again, end.ok, end.records, trail.lost]))

asyncio.run(main())
"""


def test_a_file_that_may_not_grow_any_more(place: Any):
    """As a full disk: the system takes a part of a write, then nothing."""
    command = [sys.executable, "-c", LIMITED, str(place.folder)]
    ended = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr.decode()
    held, problem, whole, records, again, ok, after, lost = json.loads(ended.stdout)
    assert (problem, whole, again, ok, lost) == ("File too large", True, True, True, 0)
    assert records == held + 1
    assert after == held + 3  # the beginning, the one that had to wait, and the last
