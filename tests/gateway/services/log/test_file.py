"""A log file that rotates itself: real files, several processes, faults made to order."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from gateway.services.log import FileSink, Rotation
from gateway.services.log import file as module
from gateway.services.log.file import expired

DAY = 86400


def moved(path: Path) -> list[Path]:
    return sorted(each for each in path.parent.iterdir() if each.name.startswith(path.name + "."))


def lines_of(path: Path) -> list[bytes]:
    return [line for each in (*moved(path), path) for line in each.read_bytes().splitlines(keepends=True)]


def test_it_is_moved_away_before_it_would_grow_beyond(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    sink = FileSink(path, Rotation(size=1000, every=None))
    for number in range(10):
        for _ in range(5):
            sink.write(b"%098d\n" % number)
        sink.flush()
    sink.close()
    assert all(each.stat().st_size <= 1000 for each in (*moved(path), path))
    assert len(moved(path)) == sink.rotations == 4
    assert len(lines_of(path)) == 50
    assert all(re.fullmatch(r"access\.log\.\d{8}T\d{6}Z(-\d+)?", each.name) for each in moved(path))


def test_a_batch_that_is_larger_than_a_file_goes_into_several(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = FileSink(path, Rotation(size=1000, every=None))
    for number in range(100):
        sink._lines.append(b"%098d\n" % number)
    sink.write(b"x" * 3000 + b"\n")
    sink.flush()
    sink.close()
    assert len(lines_of(path)) == 101
    assert sorted(each.stat().st_size for each in (*moved(path), path))[-2:] == [990, 3001]


def test_the_first_line_of_a_new_day_begins_a_new_file_whoever_wrote_the_last(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"yesterday\n")
    os.utime(path, (time.time() - DAY,) * 2)
    sink = FileSink(path, Rotation())
    sink.write(b"today\n")
    sink.flush()
    sink.write(b"still today\n")
    sink.close()
    assert [each.read_bytes() for each in moved(path)] == [b"yesterday\n"]
    assert path.read_bytes() == b"today\nstill today\n"


def test_what_a_link_leads_to_is_moved_away_and_deleted_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    link, real = tmp_path / "access.log", tmp_path / "data" / "a"
    link.symlink_to(real)
    ancient = tmp_path / "data" / "a.20000101T000000Z"
    ancient.write_bytes(b"x\n")
    os.utime(ancient, (0, 0))
    sink = FileSink(link, Rotation(size=1000, every=None))
    for number in range(30):
        sink.write(b"%098d\n" % number)
        sink.flush()
    sink.tick()
    sink.close()
    assert link.is_symlink() and sink.rotations == 2
    assert len(moved(real)) == 2 and ancient not in moved(real)
    assert lines_of(real) == [b"%098d\n" % number for number in range(30)]


WRITES: Final = """
import sys
from pathlib import Path
from gateway.services.log import FileSink, Rotation
sink = FileSink(Path(sys.argv[1]), Rotation(size=1000, every=None))
for number in range(30):
    sink.write(b"%098d\\n" % number)
    sink.flush()
sink.close()
assert sink.rotations == 0
"""


def test_another_name_of_standard_output_is_not_moved_away(tmp_path: Path) -> None:
    link, out = tmp_path / "access.log", tmp_path / "out"
    link.symlink_to("/dev/stdout")  # as images do it
    with out.open("wb") as stdout:
        subprocess.run([sys.executable, "-c", WRITES, link], stdout=stdout, check=True, timeout=60)
    assert sorted(tmp_path.iterdir()) == [link, out]
    assert len(out.read_bytes().splitlines()) == 30


@pytest.mark.parametrize(
    ("every", "one", "other", "same"),
    [
        pytest.param("day", 10 * DAY, 11 * DAY - 1, True, id="the same day to its last second"),
        pytest.param("day", 10 * DAY - 1, 10 * DAY, False, id="midnight in UTC"),
        pytest.param("hour", 7200, 10799, True, id="the same hour"),
        pytest.param("hour", 7199, 7200, False, id="the next hour"),
        pytest.param(None, 0, 400 * DAY, True, id="never"),
    ],
)
def test_periods(every: object, one: float, other: float, same: bool) -> None:
    rotation = Rotation(every=every)  # type: ignore[arg-type]
    assert (rotation.period(one) == rotation.period(other)) is same


@pytest.mark.parametrize(
    ("rotation", "files", "gone"),
    [
        pytest.param(Rotation(), [("a", 29.9, 1), ("b", 30.1, 1)], ["b"], id="thirty days"),
        pytest.param(Rotation(keep=None), [("a", 9000, 1)], [], id="for ever"),
        pytest.param(
            Rotation(keep=None, keep_size=25), [("a", 1, 10), ("b", 2, 10), ("c", 3, 10)], ["c"], id="so many bytes"
        ),
        pytest.param(Rotation(keep_size=5), [("a", 1, 10)], ["a"], id="one that is larger than all may be"),
        pytest.param(Rotation(), [], [], id="none"),
    ],
)
def test_what_is_deleted(rotation: Rotation, files: list[tuple[str, float, int]], gone: list[str]) -> None:
    now = time.time()
    found = expired([(Path(name), now - age * DAY, size) for name, age, size in files], rotation, now)
    assert [str(each) for each in found] == gone


def test_old_files_go_and_nothing_else_does(tmp_path: Path) -> None:
    path = tmp_path / "log"
    ours = [tmp_path / "log.20260101T000000Z", tmp_path / "log.20260101T000000Z-1"]
    others = [tmp_path / name for name in ("log.1", "log.20260101T000000Z.gz", "log.20260101T000000Zx", "other.log")]
    young = tmp_path / "log.20260102T000000Z"
    for each in (*ours, *others, young):
        each.write_bytes(b"x\n")
        if each is not young:
            os.utime(each, (time.time() - 31 * DAY,) * 2)
    (tmp_path / "log.20260103T000000Z").mkdir()
    sink = FileSink(path, Rotation())
    sink.tick()
    sink.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(
        ["log", young.name, "log.20260103T000000Z", *(each.name for each in others)]
    )


def test_it_follows_its_name(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = FileSink(path)
    sink.write(b"one\n")
    sink.flush()
    path.rename(tmp_path / "elsewhere")
    sink.write(b"two\n")
    sink.flush()
    path.unlink()
    sink.write(b"three\n")
    sink.close()
    assert ((tmp_path / "elsewhere").read_bytes(), path.read_bytes()) == (b"one\n", b"three\n")


def test_what_is_no_file_is_never_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with pytest.raises(OSError, match="No such device"):
        FileSink(path, Rotation())
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = FileSink(path, Rotation(size=10))
    sink.write(b"x" * 30 + b"\n")
    sink.flush()
    sink.write(b"y\n")
    sink.close()
    assert os.read(reader, 100) == b"x" * 30 + b"\ny\n"
    assert list(tmp_path.iterdir()) == [path]
    os.close(reader)


def test_while_another_process_rotates_lines_go_on_to_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 99 + b"\n")
    other = os.open(path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    sink = FileSink(path, Rotation(size=100, every=None))
    sink.write(b"more\n")
    sink.flush()
    assert path.read_bytes().endswith(b"more\n")
    assert sink.rotations == 0
    os.close(other)
    sink.write(b"new\n")
    sink.close()
    assert (path.read_bytes(), sink.rotations) == (b"new\n", 1)


def test_a_folder_that_cannot_be_changed_costs_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 99 + b"\n")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    sink = FileSink(path, Rotation(size=100, every=None))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            sink.write(b"more\n")
            sink.flush()
    sink.close()
    assert path.read_bytes().count(b"more\n") == 3
    assert [each.getMessage() for each in caplog.records] == [f"{path} cannot be rotated: Permission denied"]


def test_a_disk_that_is_full_loses_lines_and_says_so_and_tears_none_that_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "log"
    sink = FileSink(path)
    real, room = os.write, [25]

    def full(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        taken = real(descriptor, bytes(data)[: room[0]])
        room[0] -= taken
        return taken

    monkeypatch.setattr("gateway.services.log.sink.os.write", full)
    with caplog.at_level(logging.WARNING):
        for number in range(5):
            sink.write(b"line %04d\n" % number)  # ten bytes: two fit, the third is torn
        sink.flush()
        assert (sink.dropped, sink.failures >= 1) == (3, True)
        sink.write(b"gone\n")
        sink.flush()
        assert (sink.dropped, sink.failures >= 2) == (4, True)
        room[0] = 10**6
        sink.write(b"back\n")
        sink.flush()
    sink.close()
    assert path.read_bytes() == b"line 0000\nline 0001\nline \nback\n"
    assert [each.getMessage() for each in caplog.records] == [
        f"log sink {path} fails: No space left on device; lines are dropped",
        f"log sink {path} works again; 4 lines were dropped",
    ]


WRITER = """
import sys
from pathlib import Path
from gateway.services.log import FileSink, Rotation
sink = FileSink(Path(sys.argv[1]), Rotation(size=20_000, every=None))
for number in range(4000):
    sink.write(b"%s-%d-%s\\n" % (sys.argv[2].encode(), number, b"x" * (number % 50)))
    if number % 40 == 0:
        sink.flush()
sink.close()
print(sink.rotations, sink.dropped)
"""


def test_several_processes_rotate_once_each_time_and_lose_or_tear_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], stdout=subprocess.PIPE) for name in "abc"
    ]
    said = [writer.communicate(timeout=60)[0].split() for writer in writers]
    assert sum(int(rotations) for rotations, _ in said) == len(moved(path)) > 10
    assert [dropped for _, dropped in said] == [b"0"] * 3
    wanted = {b"%s-%d-%s\n" % (name, n, b"x" * (n % 50)) for name in (b"a", b"b", b"c") for n in range(4000)}
    found = lines_of(path)
    assert len(found) == len(wanted)
    assert set(found) == wanted


def test_a_layout_is_made_and_a_line_that_has_none_is_counted(tmp_path: Path) -> None:
    def layout(record: object) -> bytes:
        assert isinstance(record, dict)
        return json.dumps({"is": record["a"]}).encode() + b"\n"

    sink = FileSink(tmp_path / "log", layout=layout)
    sink.write(b'{"a":1}\n')
    sink.write(b'{"b":1}\n')
    sink.write(b"no json\n")
    sink.close()
    assert (tmp_path / "log").read_bytes() == b'{"is": 1}\n'
    assert sink.dropped == 2


def test_housekeeping_is_not_done_for_each_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    sink = FileSink(tmp_path / "log", Rotation())
    monkeypatch.setattr(sink, "_moved", lambda: looks.append(1) or [])
    sink._tidy_at = 0.0
    for _ in range(10):
        sink.tick()
    sink.close()
    assert len(looks) == 1
    assert module.HOUSEKEEPING <= 3600
