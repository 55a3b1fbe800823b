"""What lies in the folder of a trail."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway.services.audit import files


def test_a_day_has_one_file_by_utc():
    assert files.day_file(1_795_262_400.0) == "2026-11-21.jsonl"
    assert files.day_file(1_795_305_599.9) == "2026-11-21.jsonl"
    assert files.day_file(1_795_305_600.0) == "2026-11-22.jsonl"


def test_only_days_are_files_of_a_trail(tmp_path: Path):
    for name in ("2026-11-22.jsonl", "2026-11-21.jsonl", "2026-11-21.jsonl.bak", "head", "x.jsonl"):
        (tmp_path / name).touch()
    assert files.day_files(tmp_path) == ["2026-11-21.jsonl", "2026-11-22.jsonl"]


def test_what_was_rejected_is_found_by_its_day(tmp_path: Path):
    for name in ("rejected-2026-11-20-7.bin", "rejected-2026-11-21-7.bin", "rejected-x.bin"):
        (tmp_path / name).touch()
    assert [path.name for path in files.rejected_files(tmp_path, "2026-11-21.jsonl")] == ["rejected-2026-11-20-7.bin"]


def test_a_lock_holds_between_two_descriptors(tmp_path: Path):
    path = tmp_path / "head"
    path.touch()
    one, other = os.open(path, os.O_RDWR), os.open(path, os.O_RDWR)
    entered = threading.Event()

    def enter() -> None:
        with files.locked(other):
            entered.set()

    thread = threading.Thread(target=enter)
    with files.locked(one):
        thread.start()
        assert not entered.wait(0.05)
    assert entered.wait(60)
    thread.join()
    os.close(one)
    os.close(other)


@pytest.mark.parametrize("change", ["none", "removed", "replaced"])
def test_whether_an_open_file_is_still_the_one_of_its_name(tmp_path: Path, change: str):
    path = tmp_path / "a"
    path.touch()
    descriptor = os.open(path, os.O_RDWR)
    if change != "none":
        path.rename(tmp_path / "b")
    if change == "replaced":
        path.touch()
    assert files.is_open_as(descriptor, path) is (change == "none")
    os.close(descriptor)


def test_a_trail_as_it_stands(place: Any):
    place.write(3)
    stands = files.standing(place.folder, place.keys)
    assert stands.head is not None
    assert (stands.head.seq, stands.sizes) == (4, {"2026-11-21.jsonl": place.file().stat().st_size})
    place.head.unlink()
    assert files.standing(place.folder, place.keys).head is None
    with pytest.raises(FileNotFoundError):
        files.standing(place.folder / "nowhere", place.keys)
