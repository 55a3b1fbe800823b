"""A power cut, approximated: of what was written and not synced, nobody knows what reached the disk.

strace records each write to the queue's files, each sync, and each promise, in their order. For any moment of that
record the files are built anew as a power cut may leave them: what a sync had covered is there; of the rest any part
may be, in any order, torn between sectors. What had been promised by then must hold. Not shown by this: a disk or a
file system that says a sync is done when it is not, and names in folders (they are synced when the queue is opened).
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.services.queue import Query, QueueError

CHILD = Path(__file__).with_name("killed.py")
SECTOR = 512
CALLS = "pwrite64,write,fdatasync,fsync,ftruncate"

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")

_CALL = re.compile(r'^(\d+) +(\w+)\(\d+<([^>]*)>(?:, (?:"((?:\\x..)*)"(?:, (\d+)(?:, (\d+))?)?|(\d+)))?')
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (?:fdatasync|fsync) resumed>.* = 0$")


@dataclass
class Record:
    """What happened, in order: ``("write", file, offset, data)``, ``("cut", file, length)``, ``("sync", file, count)``
    with how many changes of that file it covers, and ``("said", text)``.
    """

    events: list[tuple[Any, ...]] = field(default_factory=list)


def unescaped(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def parse(log: Path) -> Record:
    record, changes = Record(), defaultdict(int)
    syncing: dict[str, tuple[str, int]] = {}
    for line in log.read_text().splitlines():
        resumed = _RESUMED.match(line)
        if resumed and resumed[1] in syncing:
            record.events.append(("sync", *syncing.pop(resumed[1])))
        found = _CALL.match(line)
        if found is None:
            continue
        process, call, file, data, _, offset, length = found.groups()
        name = Path(unescaped(file).decode()).name
        if call in ("fdatasync", "fsync"):
            if line.endswith("= 0"):
                record.events.append(("sync", name, changes[name]))
            else:
                syncing[process] = (name, changes[name])
        elif call == "pwrite64":
            changes[name] += 1
            record.events.append(("write", name, int(offset), unescaped(data)))
        elif call == "ftruncate":
            changes[name] += 1
            record.events.append(("cut", name, int(length)))
        elif call == "write" and not name.startswith("queue"):
            record.events.append(("said", unescaped(data).decode().strip()))
    return record


def work_recorded(folder: Path, lines: int, *more: str) -> Record:
    """A process at work under strace, killed after so many promises."""
    log = folder / "log"
    process = subprocess.Popen(
        ["strace", "-f", "-y", "-xx", "-s", "1000000", "-e", f"trace={CALLS}", "-o", str(log),
         sys.executable, str(CHILD), str(folder / "queue" / "queue.db"), "8", *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    for _ in range(lines):
        if not process.stdout.readline():
            break
    os.killpg(process.pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    if not log.exists() or (b"ptrace" in errors and not log.stat().st_size):
        pytest.skip(f"strace may not look here: {errors.decode().strip()}")
    return parse(log)


def files_after_a_cut(record: Record, moment: int, chance: random.Random) -> dict[str, bytearray]:
    """As a power cut before the event of this number may leave them."""
    changes: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    covered: dict[str, int] = defaultdict(int)
    for event in record.events[:moment]:
        if event[0] == "sync":
            covered[event[1]] = max(covered[event[1]], event[2])
        elif event[0] in ("write", "cut"):
            changes[event[1]].append(event)
    files: dict[str, bytearray] = {}
    for name, done in changes.items():
        content = files[name] = bytearray()
        for number, change in enumerate(done):
            kept = number < covered[name]
            if not kept and chance.random() < 0.5:
                continue
            if change[0] == "cut":
                del content[change[2] :]
                content.extend(bytes(change[2] - len(content)))
                continue
            offset, data = change[2], change[3]
            if not kept and chance.random() < 0.3:
                data = data[: chance.randrange(0, len(data) + 1) // SECTOR * SECTOR]
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data
    return files


async def cuts(open_queue: Any, folder: Path, lines: int, count: int, *more: str) -> None:
    record = work_recorded(folder, lines, *more)
    opened = next(number for number, event in enumerate(record.events) if event == ("said", "O pen"))
    assert len(record.events) - opened > lines
    chance = random.Random(count)
    for number in range(count):
        moment = chance.randrange(opened, len(record.events) + 1)
        said: dict[str, set[str]] = defaultdict(set)
        for event in record.events[:moment]:
            if event[0] == "said":
                letter, _, name = event[1].partition(" ")
                said[letter].add(name)
        place = folder / f"cut-{number}"
        place.mkdir()
        for name, content in files_after_a_cut(record, moment, chance).items():
            if name in ("queue.db", "queue.db-wal"):
                (place / name).write_bytes(content)
        queue = await open_queue(place / "queue.db", real_clock=True)
        there = {item.id async for item in queue.export(Query())}
        assert said["P"] - said["?"] - there == set(), "what was promised is lost"
        assert said["D"] & there == set(), "what was settled came back"
        assert await queue.check() == []
        await queue.close()
        shutil.rmtree(place)


async def test_a_few_power_cuts(open_queue: Any, tmp_path: Path):
    await cuts(open_queue, tmp_path, 150, 8)


async def test_one_who_does_not_sync_is_found_out(open_queue: Any, tmp_path: Path):
    """Else the test above would show nothing."""
    with pytest.raises((AssertionError, QueueError)):
        await cuts(open_queue, tmp_path, 150, 20, "careless")


@pytest.mark.crash
async def test_three_hundred_power_cuts(open_queue: Any, tmp_path: Path):
    await cuts(open_queue, tmp_path, 1_500, 300)


@pytest.mark.parametrize("seed", range(3))
def test_a_cut_keeps_what_was_synced_and_loses_some_of_the_rest(seed: int):
    synced = [("write", "f", place * 4, b"good") for place in range(50)]
    record = Record([*synced, ("sync", "f", 50), *[("write", "f", 200 + place * 4, b"lost") for place in range(50)]])
    content = files_after_a_cut(record, len(record.events), random.Random(seed))["f"]
    assert content[:200] == b"good" * 50
    assert 5 < content.count(b"lost") < 45
