"""Copies that are made by themselves: when, how many are kept, and what is told when one cannot be made."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.services.clock import Clock, ManualClock
from gateway.services.metrics import Metrics
from gateway.services.queue import Draft, QueueUnavailable
from gateway.services.queue import backups as backups_module
from gateway.services.queue.backups import Backups, Plan, found, prune
from gateway.services.queue.opening import QueueSettings, open_queue

HOUR = 3600.0


class Copied:
    """A queue of which copies can be made, or not."""

    def __init__(self) -> None:
        self.made: list[Path] = []
        self.broken = False

    async def open(self) -> Any:
        return self

    async def backup(self, destination: Path) -> None:
        if self.broken:
            raise QueueUnavailable("no space left on device")
        destination.write_text("copy")
        self.made.append(destination)


def values(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(labels): value
        for family in metrics.snapshot()
        if family["name"] == name
        for labels, value in family["samples"]
    }


async def test_the_first_is_made_at_once_and_the_next_when_it_is_due(tmp_path: Path, until: Any) -> None:
    clock, metrics, queue = ManualClock(), Metrics(), Copied()
    backups = Backups(clock, metrics)
    backups.tend(queue, Plan(tmp_path, HOUR, keep=2))
    for number in (1, 2, 3):
        await until(lambda number=number: values(metrics, "queue_backups_total")[("made",)] == number)
        name = f"queue-{datetime.fromtimestamp(clock.time(), UTC):%Y%m%dT%H%M%SZ}.db"
        assert queue.made[-1].name == name
        assert values(metrics, "queue_backup_last_success_timestamp_seconds") == {(): clock.time()}
        await until(lambda: clock._sleepers)
        await clock.elapse(HOUR - 1)
        assert len(queue.made) == number
        await clock.elapse(1)
    await until(lambda: len(queue.made) == 4)
    await until(lambda: set(found(tmp_path).values()) == set(queue.made[-2:]))
    await backups.close()


async def test_after_a_restart_it_goes_on_from_the_newest_copy(tmp_path: Path, until: Any) -> None:
    clock, queue = ManualClock(), Copied()
    (tmp_path / f"queue-{datetime.fromtimestamp(clock.time() - 1000, UTC):%Y%m%dT%H%M%SZ}.db").touch()
    backups = Backups(clock, Metrics())
    backups.tend(queue, Plan(tmp_path, HOUR, keep=2))
    await until(lambda: clock._sleepers)
    await clock.elapse(HOUR - 1001)
    assert not queue.made
    await clock.elapse(1)
    await until(lambda: queue.made)
    await backups.close()


async def test_one_that_fails_is_told_and_tried_again_soon(tmp_path: Path, until: Any) -> None:
    clock, metrics, queue = ManualClock(), Metrics(), Copied()
    queue.broken = True
    backups = Backups(clock, metrics)
    backups.tend(queue, Plan(tmp_path, HOUR, keep=2))
    await until(lambda: values(metrics, "queue_backups_total")[("failed",)] == 1)
    assert backups.snapshot() == {"last": 0.0, "error": "no space left on device"}
    queue.broken = False
    await until(lambda: clock._sleepers)
    await clock.elapse(300)
    await until(lambda: queue.made)
    await until(lambda: backups.snapshot() == {"last": clock.time()})
    await backups.close()


async def test_a_reload_that_changes_nothing_begins_nothing_anew(tmp_path: Path, until: Any) -> None:
    clock, queue = ManualClock(), Copied()
    backups = Backups(clock, Metrics())
    backups.tend(queue, Plan(tmp_path, HOUR, keep=2))
    await until(lambda: queue.made)
    backups.tend(queue, Plan(tmp_path, HOUR, keep=2))
    await until(lambda: clock._sleepers)
    assert len(queue.made) == 1
    backups.tend(queue, None)
    await clock.elapse(2 * HOUR)
    assert len(queue.made) == 1
    assert backups.snapshot() is None
    await backups.close()


@pytest.mark.parametrize("name", ["queue-20261399T000000Z.db", ""])
async def test_a_folder_that_tells_nothing_is_not_filled_with_copies(
    tmp_path: Path, until: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, queue = ManualClock(), Copied()
    if name:
        (tmp_path / name).touch()
    else:  # it can be written, and not read
        monkeypatch.setattr(backups_module, "found", lambda _folder: {})
    backups = Backups(clock, Metrics())
    backups.tend(queue, Plan(tmp_path, HOUR, keep=2))
    await until(lambda: queue.made and clock._sleepers)
    assert len(queue.made) == 1
    await clock.elapse(HOUR - 1)
    assert len(queue.made) == 1
    await clock.elapse(1)
    await until(lambda: len(queue.made) == 2)
    await backups.close()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("queue.db", id="the queue itself"),
        pytest.param("queue-20261121T100000Z.db.old", id="somebody's own copy"),
        pytest.param("queue-99999999T999999Z.txt", id="something else"),
    ],
)
def test_what_it_did_not_make_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    (tmp_path / "queue-20261121T100000Z.db").touch()
    (tmp_path / "queue-20261121T110000Z.db").touch()
    prune(tmp_path, 1)
    assert {path.name for path in tmp_path.iterdir()} == {name, "queue-20261121T110000Z.db"}


async def test_a_real_copy_holds_what_was_kept(tmp_path: Path, until: Any) -> None:
    queue = await open_queue(f"sqlite://{tmp_path}/queue.db", QueueSettings(), Clock())
    receipt = await queue.put(Draft("t", b"payload"))

    class Kept:
        async def open(self) -> Any:
            return queue

    folder = tmp_path / "copies"
    folder.mkdir()
    backups = Backups(Clock(), Metrics())
    backups.tend(Kept(), Plan(folder, HOUR, keep=1))
    await until(lambda: backups.last)
    await backups.close()
    await queue.close()
    (copy,) = found(folder).values()
    again = await open_queue(f"sqlite://{copy}", QueueSettings(), Clock())
    item = await again.get(receipt.id)
    assert item is not None
    assert item.payload == b"payload"
    await again.close()
