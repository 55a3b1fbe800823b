"""Appending: one chain whoever writes, whatever is found when it is opened, and what is past its retention."""

from __future__ import annotations

import errno
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.services.audit import Ledger
from gateway.services.audit import ledger as module

DAY = 86400.0
WRITER = """
import sys
from pathlib import Path
from gateway.services.audit import Event, Keys, Kind, Ledger, Result, Writer
from gateway.services.masking import Masking

folder, name, batches, size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
writer = Writer(name, Masking())
ledger = Ledger(folder, Keys((b"k" * 32,)), writer, fsync=False)
ledger.open()
print("open", flush=True)
sys.stdin.readline()
for batch in range(batches):
    ledger.append([
        writer(Event(Kind.REQUEST, "GET", f"/{name}/{batch}/{number}", Result.SUCCESS, "alice" * 50))
        for number in range(size)
    ])
"""


def start(folder: Path, name: str, batches: int, size: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITER, str(folder), name, str(batches), str(size)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    return process


def go(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


def told(place: Any, day: str = "2026-11-21") -> list[dict[str, Any]]:
    return [json.loads(line) for line in place.lines(day)]


def test_the_first_record_says_which_file_it_is(place: Any):
    place.write(2)
    first, *others = told(place)
    assert (first["seq"], first["kind"], first["action"], first["resource"]) == (
        1,
        "chain",
        "begin",
        "2026-11-21.jsonl",
    )
    assert (first["prev"], first["format"]) == ("0" * 64, 1)
    assert [record["seq"] for record in others] == [2, 3]
    assert [record["prev"] for record in others] == [first["hash"], others[0]["hash"]]
    assert place.verify().ok
    assert {path.stat().st_mode & 0o777 for path in (place.file(), place.head)} <= {0o640, 0o600}


def test_nobody_else_may_read_it(tmp_path: Path, make_place: Any):
    made = make_place(tmp_path / "a" / "b")
    ledger = made.ledger()
    ledger.open()
    assert made.folder.stat().st_mode & 0o007 == 0
    assert made.head.stat().st_mode & 0o007 == 0


def test_three_processes_write_one_chain(place: Any):
    processes = [start(place.folder, f"w{number}", 40, 5) for number in range(3)]
    for process in processes:
        go(process)
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    for process in processes:
        process.stdin.close()
        process.stdout.close()
    verdict = place.verify()
    assert verdict.ok, verdict.breaks
    (day,) = place.folder.glob("*.jsonl")
    records = [json.loads(line) for line in day.read_bytes().splitlines()]
    assert len(records) == 1 + 3 * 40 * 5 == verdict.records
    for number in range(3):
        own = [record["resource"] for record in records if record["instance"] == f"w{number}" and record["seq"] > 1]
        assert own == [f"/w{number}/{batch}/{each}" for batch in range(40) for each in range(5)]
    turns = [record["instance"] for record in records]
    assert sum(one != other for one, other in itertools.pairwise(turns)) > 2


def kill_again_and_again(place: Any, rounds: int) -> int:
    """Kill writers in the middle of their work; how often something was left to be repaired."""
    for number in range(rounds):
        process = start(place.folder, f"w{number}", 1_000_000, 50)
        go(process)
        seen = sum(path.stat().st_size for path in place.folder.glob("*.jsonl"))
        until = time.monotonic() + 60
        while sum(path.stat().st_size for path in place.folder.glob("*.jsonl")) <= seen and time.monotonic() < until:
            time.sleep(0.0005 * (number % 7))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdin.close()  # type: ignore[union-attr]
        process.stdout.close()  # type: ignore[union-attr]
    last = start(place.folder, "last", 1, 1)
    go(last)
    assert last.wait(60) == 0
    last.stdin.close()  # type: ignore[union-attr]
    last.stdout.close()  # type: ignore[union-attr]
    verdict = place.verify()
    assert verdict.ok, verdict.breaks
    assert verdict.records > rounds * 50
    return len(verdict.notes)


def test_writers_that_are_killed_leave_a_whole_chain(place: Any):
    kill_again_and_again(place, 4)


@pytest.mark.crash
@pytest.mark.timeout(600)
def test_writers_that_are_killed_a_hundred_times_leave_a_whole_chain(place: Any):
    kill_again_and_again(place, 100)


# -- what is found -------------------------------------------------------------------------------------------------


def test_a_torn_line_is_cut_off_and_told(place: Any):
    place.write(2)
    with place.file().open("ab") as file:
        file.write(b'{"seq":4,"prev":"')
    assert not place.verify().ok
    place.write(1)
    note = told(place)[3]
    assert (note["kind"], note["action"], note["why"], note["bytes"]) == ("chain", "repair", "torn", 17)
    verdict = place.verify()
    assert verdict.ok
    assert [each["action"] for each in verdict.notes] == ["repair"]
    assert not list(place.folder.glob("rejected-*"))


def test_records_behind_the_head_are_taken_over(place: Any):
    ledger = place.write(2)
    head = place.head.read_bytes()
    place.write(3, ledger)
    place.head.write_bytes(head)
    place.write(1)
    records = told(place)
    assert [record["seq"] for record in records] == list(range(1, 9))
    assert (records[6]["action"], records[6]["taken_over"]) == ("repair", 3)
    assert place.verify().ok


def test_what_does_not_follow_is_put_aside(place: Any, tmp_path: Path, make_place: Any):
    other = make_place(tmp_path / "other")
    other.folder.mkdir()
    other.write(5)
    place.write(2)
    foreign = b"".join(other.lines()[3:])
    with place.file().open("ab") as file:
        file.write(foreign)
    size = place.file().stat().st_size - len(foreign)
    place.write(1)
    note = told(place)[3]
    assert (note["result"], note["bytes"], note["kept"]) == ("failed", len(foreign), f"rejected-2026-11-21-{size}.bin")
    assert (place.folder / note["kept"]).read_bytes() == foreign
    assert place.verify().ok


@pytest.mark.parametrize("running", [pytest.param(True, id="under a running writer"), pytest.param(False, id="before")])
@pytest.mark.parametrize("cut", [pytest.param(0, id="at a line"), pytest.param(100, id="within a line")])
def test_what_was_cut_off_is_a_gap_for_ever(place: Any, running: bool, cut: int):
    ledger = place.write(5)
    lines = place.lines()
    size = len(b"".join(lines[:4])) + cut
    os.truncate(place.file(), size)
    place.write(1, ledger if running else None)
    records = told(place)
    assert [record["seq"] for record in records[:5]] == [1, 2, 3, 4, 7]
    assert (records[4]["action"], records[4]["why"]) == ("gap", "records were taken away")
    verdict = place.verify()
    assert str(verdict.breaks[0]) == "2026-11-21.jsonl:5: 2 records are missing before it"
    place.write(3)
    assert place.verify().breaks == verdict.breaks


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param("missing", id="taken away"),
        pytest.param("unreadable", id="changed"),
    ],
)
def test_a_head_that_is_gone_is_made_anew_and_told(place: Any, harm: str):
    place.write(3)
    if harm == "missing":
        place.head.unlink()
    else:
        place.head.write_bytes(b"x" * 512)
    assert place.verify().breaks[0].file == "head"
    place.write(1)
    note = told(place)[4]
    assert (note["seq"], note["action"], note["resource"], note["why"]) == (5, "repair", "head", harm)
    (found,) = place.verify().breaks
    assert str(found).startswith(f"2026-11-21.jsonl:5: the head was {harm} when this was written")


def test_a_tail_cut_off_with_its_head_is_found_though_a_gateway_went_on(place: Any):
    """Without a key anybody could do it who writes to the disk, and with one, too."""
    place.write(5)
    place.rewrite(place.lines()[:3])
    place.head.unlink()
    place.write(2)
    assert not place.verify().ok
    place.now += 86400
    place.write(1)
    assert not place.verify().ok


@pytest.mark.parametrize("name", [pytest.param("head", id="the head"), pytest.param("2026-11-21.jsonl", id="a day")])
def test_links_are_not_followed(place: Any, tmp_path: Path, name: str):
    """Who owns the folder must not have root's commands write, or give away, what lies elsewhere."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    (place.folder / name).symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        place.write(1)
    assert victim.read_bytes() == b"untouched"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_with_another_name_is_not_given_away(place: Any, tmp_path: Path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"")
    os.chown(place.folder, 12345, 12345)
    os.link(victim, place.head)
    with pytest.raises(PermissionError):
        place.write(1)
    assert victim.stat().st_uid == 0
    place.head.unlink()
    place.write(1)
    assert place.head.stat().st_uid == place.file().stat().st_uid == 12345


def test_what_is_put_aside_follows_no_link(place: Any, tmp_path: Path):
    place.write(2)
    size = place.file().stat().st_size
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    (place.folder / f"rejected-2026-11-21-{size}.bin").symlink_to(victim)
    with place.file().open("ab") as file:
        file.write(b"no record\n")
    place.write(1)
    assert victim.read_bytes() == b"untouched"
    assert (place.folder / f"rejected-2026-11-21-{size}.bin").read_bytes() == b"no record\n"


def test_a_head_that_vanishes_under_a_running_writer(place: Any):
    ledger = place.write(3)
    place.head.unlink()
    place.write(2, ledger)
    assert [record["seq"] for record in told(place)] == list(range(1, 8))
    assert place.verify().ok


def test_a_trail_that_is_set_back_under_a_running_writer(place: Any):
    ledger = place.write(2)
    head, lines = place.head.read_bytes(), place.lines()
    place.write(3, ledger)
    place.rewrite(lines)
    place.head.write_bytes(head)
    place.write(1, ledger)
    records = told(place)
    assert (records[3]["seq"], records[3]["why"]) == (7, "the head went back")
    assert "3 records are missing" in place.verify().breaks[0].what


def test_a_trail_that_is_wiped_under_a_running_writer(place: Any):
    ledger = place.write(2)
    for path in place.folder.iterdir():
        path.unlink()
    place.write(1, ledger)
    records = told(place)
    assert [record["seq"] for record in records] == [4, 5, 6]
    assert records[1]["why"] == "the whole trail is gone"
    assert "3 records before it are missing" in place.verify().breaks[0].what


def test_a_folder_that_is_gone_is_an_error_until_it_is_back(place: Any):
    ledger = place.write(2)
    away = place.folder.rename(place.folder.with_name("away"))
    with pytest.raises(FileNotFoundError):
        place.write(1, ledger)
    away.rename(place.folder)
    place.write(1, ledger)
    assert place.verify().ok
    assert len(place.lines()) == 4


# -- days and keys -------------------------------------------------------------------------------------------------


def test_a_day_begins_a_file_and_goes_on_with_the_chain(place: Any):
    ledger = place.write(2)
    other = place.ledger()
    place.now += DAY
    place.write(1, ledger)
    place.write(1, other)
    place.now -= 2 * DAY  # a clock that goes back begins nothing anew
    place.write(1, ledger)
    assert [record["seq"] for record in told(place, "2026-11-22")] == [4, 5, 6, 7]
    assert told(place, "2026-11-22")[0]["chain"] == told(place)[0]["chain"]
    assert place.verify().ok


def test_an_empty_file_of_a_new_day_is_begun_again(place: Any):
    ledger = place.write(2)
    place.now += DAY
    place.file("2026-11-22").touch()
    place.write(1, ledger)
    assert place.verify().ok


def test_a_new_key_goes_on_with_the_chain(place: Any, make_place: Any):
    place.write(2)
    ledger = place.ledger(b"n" * 32, b"k" * 32)
    place.write(2, ledger)
    kids = [record["kid"] for record in told(place)]
    assert len(set(kids)) == 2
    assert kids == [kids[0]] * 3 + [kids[4]] * 2
    both = make_place(place.folder, (b"n" * 32, b"k" * 32))
    assert both.verify().ok
    assert "is signed with the key" in place.verify().breaks[0].what


def test_a_key_that_was_swapped_without_keeping_the_old_one_is_told(place: Any, make_place: Any):
    place.write(2)
    place.write(1, place.ledger(b"n" * 32))
    records = told(place)
    assert [record["seq"] for record in records] == [1, 2, 3, 4, 5]
    assert records[3]["why"] == "unreadable"
    assert make_place(place.folder, (b"n" * 32, b"k" * 32)).verify().ok


# -- disks that fail -----------------------------------------------------------------------------------------------


def test_a_write_that_fails_half_way_leaves_nothing(place: Any, monkeypatch: pytest.MonkeyPatch):
    ledger = place.write(2)
    before = place.file().read_bytes()
    write = os.write

    def full(descriptor: int, data: Any) -> int:
        if len(data) > 100:
            return write(descriptor, bytes(data[:100]))
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "write", full)
        with pytest.raises(OSError, match="No space"):
            place.write(3, ledger)
    assert place.file().read_bytes() == before
    place.write(1, ledger)
    assert [record["seq"] for record in told(place)] == [1, 2, 3, 4]
    assert place.verify().ok


def test_a_head_that_cannot_be_written_takes_the_records_back(place: Any, monkeypatch: pytest.MonkeyPatch):
    ledger = place.write(2)
    before = place.file().read_bytes()

    def broken(*_: Any) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "pwrite", broken)
        with pytest.raises(OSError, match="Input/output"):
            place.write(3, ledger)
    assert place.file().read_bytes() == before
    place.write(1, ledger)
    assert place.verify().ok


def test_what_was_repaired_is_told_once_it_can_be(place: Any, monkeypatch: pytest.MonkeyPatch):
    ledger = place.write(2)
    with place.file().open("ab") as file:
        file.write(b"torn")

    def broken(*_: Any) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(module, "_write_all", broken)
        with pytest.raises(OSError, match="Input/output"):
            place.write(1, ledger)
    place.write(1, ledger)
    assert [record.get("why") for record in told(place)] == [None, None, None, "torn", None]


def test_records_are_forced_to_the_disk_before_the_head_tells_of_them(place: Any, monkeypatch: pytest.MonkeyPatch):
    ledger = Ledger(place.folder, place.keys, place.writer, now=lambda: place.now)
    place.opened.append(ledger)
    calls: list[str] = []
    sync, pwrite = os.fdatasync, os.pwrite
    monkeypatch.setattr(module.os, "fdatasync", lambda fd: (calls.append("sync"), sync(fd))[1])
    monkeypatch.setattr(module.os, "pwrite", lambda *given: (calls.append("head"), pwrite(*given))[1])
    place.write(2, ledger)
    assert calls == ["head", "sync", "head"], "one of no record at the very beginning"


# -- retention -----------------------------------------------------------------------------------------------------


def days(place: Any, count: int) -> Ledger:
    ledger: Ledger = place.ledger()
    for number in range(count):
        place.write(3, ledger)
        if number < count - 1:
            place.now += DAY
    return ledger


def test_old_files_go_and_the_rest_still_holds(place: Any):
    ledger = days(place, 5)
    (place.folder / "rejected-2026-11-21-7.bin").touch()
    assert ledger.retain(2 * DAY) == ["2026-11-21.jsonl", "2026-11-22.jsonl"]
    assert sorted(path.name for path in place.folder.glob("*.*")) == [
        "2026-11-23.jsonl",
        "2026-11-24.jsonl",
        "2026-11-25.jsonl",
    ]
    verdict = place.verify()
    assert verdict.ok, verdict.breaks
    assert verdict.first == 9
    assert ledger.retain(2 * DAY) == []
    place.now += DAY
    place.write(1, ledger)
    assert ledger.retain(2 * DAY) == ["2026-11-23.jsonl"]
    assert place.verify().ok


def test_a_removal_that_was_interrupted_can_be_verified(place: Any, monkeypatch: pytest.MonkeyPatch):
    ledger = days(place, 4)
    unlink = Path.unlink
    left = ["2026-11-21.jsonl"]

    def killed(path: Path, *given: Any) -> None:
        if path.name not in left:
            raise KeyboardInterrupt
        unlink(path, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            ledger.retain(DAY)
    assert not place.file().exists()
    assert place.file("2026-11-22").exists()
    assert place.verify().ok


def test_a_file_that_somebody_else_removed_is_missing(place: Any):
    ledger = days(place, 4)
    ledger.retain(2 * DAY)
    place.file("2026-11-22").unlink()
    assert "4 records before it are missing" not in str(place.verify().breaks[0])
    assert "records before it are missing" in str(place.verify().breaks[0])


def test_what_is_no_chain_is_not_removed(place: Any):
    ledger = days(place, 4)
    place.file().write_bytes(b"somebody's notes\n")
    assert ledger.retain(DAY) == []
    assert place.file().exists()
