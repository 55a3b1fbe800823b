"""A process's way to the trail, over reloads."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.services.audit import Audit, Keys, TrailOptions, verify
from gateway.services.masking import Masking
from gateway.services.metrics import Metrics

OPTIONS = TrailOptions(path=Path(), instance="gw", flush=0.01, fsync=False)


@pytest.fixture
def options(tmp_path: Path) -> TrailOptions:
    return dataclasses.replace(OPTIONS, path=tmp_path / "trail")


def values(metrics: Metrics) -> dict[str, Any]:
    return {family["name"]: family["samples"] for family in metrics.snapshot() if family["name"].startswith("audit")}


async def test_without_a_trail_it_does_nothing(event: Any):
    metrics = Metrics()
    audit = Audit(metrics, Masking())
    audit.record(event())
    assert await audit.record_and_wait(event())
    assert (audit.enabled, audit.refusing, audit.state()) == (False, "", None)
    assert values(metrics)["audit_pending"] == []
    await audit.close()


async def test_what_is_prepared_counts_once_it_is_in_force(options: TrailOptions, event: Any):
    metrics = Metrics()
    audit = Audit(metrics, Masking(), owner=True)
    await audit.prepare(options)
    assert not audit.enabled
    audit.commit()
    assert audit.enabled
    assert await audit.record_and_wait(event(), 60)
    state = audit.state()
    assert state is not None
    assert (state["ok"], state["critical"], state["head"].partition(":")[0]) == (True, True, "2")
    await audit.prepare(options)  # the same again changes nothing
    audit.commit()
    assert await audit.record_and_wait(event(), 60)
    told = values(metrics)
    assert told["audit_records_total"] == [[["request", "success"], 2]]
    assert (told["audit_up"], told["audit_pending"]) == ([[[], 1]], [[[], 0]])
    assert told["audit_last_verified_timestamp_seconds"] == [[[], 0.0]]
    await audit.close()
    await audit.close()
    assert verify(options.path, Keys()).ok


async def test_another_trail_takes_over_and_none_is_lost(options: TrailOptions, event: Any, tmp_path: Path):
    audit = Audit(Metrics(), Masking())
    await audit.prepare(options)
    audit.commit()
    audit.record(event())
    await audit.prepare(dataclasses.replace(options, path=tmp_path / "other"))
    audit.record(event())
    audit.commit()
    audit.record(event())
    await audit.prepare(None)
    audit.commit()
    assert not audit.enabled
    await audit.close()
    assert [verify(tmp_path / name, Keys()).records for name in ("trail", "other")] == [3, 2]


async def test_what_the_old_could_not_write_the_new_one_does(options: TrailOptions, event: Any, tmp_path: Path):
    (tmp_path / "file").touch()
    metrics = Metrics()
    audit = Audit(metrics, Masking())
    await audit.prepare(dataclasses.replace(options, path=tmp_path / "file" / "trail", deny=False))
    audit.commit()
    assert await audit.record_and_wait(event(), 60) is False
    await audit.prepare(options)
    audit.commit()
    await audit.close()
    assert verify(options.path, Keys()).records == 2
    assert values(metrics)["audit_lost_total"] == [[[], 0]]


async def test_what_is_not_wanted_after_all_leaves_the_old(options: TrailOptions, tmp_path: Path):
    audit = Audit(Metrics(), Masking())
    await audit.prepare(options)
    audit.commit()
    await audit.prepare(dataclasses.replace(options, path=tmp_path / "other"))
    await audit.abandon()
    audit.commit()
    assert audit.options == options
    await audit.close()


async def test_a_folder_that_cannot_be_is_told(options: TrailOptions, tmp_path: Path, event: Any):
    (tmp_path / "file").touch()
    bad = dataclasses.replace(options, path=tmp_path / "file" / "trail")
    audit = Audit(Metrics(), Masking())
    with pytest.raises(OSError, match=r"audit: .*file/trail: Not a directory"):
        await audit.prepare(bad)
    await audit.prepare(dataclasses.replace(bad, deny=False))
    audit.commit()
    assert await audit.record_and_wait(event(), 0.05) is False
    state = audit.state()
    assert state is not None
    assert (state["ok"], state["critical"], audit.refusing) == (False, False, "")
    (tmp_path / "file").unlink()
    assert await audit.record_and_wait(event(), 60)
    await audit.close()


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        pytest.param(json.dumps({"at": 5.0, "ok": True}), 5.0, id="it held"),
        pytest.param(json.dumps({"at": 5.0, "ok": False}), 0.0, id="it did not"),
        pytest.param("[]", 0.0, id="nothing that can be read"),
    ],
)
async def test_when_it_was_verified_last(options: TrailOptions, note: str, expected: float):
    metrics = Metrics()
    audit = Audit(metrics, Masking(), owner=True)
    await audit.prepare(options)
    audit.commit()
    (options.path / "verified.json").write_text(note)
    audit.look()
    assert values(metrics)["audit_last_verified_timestamp_seconds"] == [[[], expected]]
    assert values(metrics)["audit_intact"] == ([[[], float(bool(expected))]] if "{" in note else [])
    assert values(metrics)["audit_bytes"] == [[[], len(note)]]
    await audit.close()
    assert time.time() > expected


async def test_a_disk_that_hangs_holds_up_no_scrape(options: TrailOptions):
    """Whoever asks for metrics asks the loop of a gateway with one worker."""
    metrics = Metrics()
    audit = Audit(metrics, Masking(), owner=True)
    await audit.prepare(options)
    audit.commit()
    os.mkfifo(options.path / "verified.json")  # a read waits for ever
    assert values(metrics)["audit_last_verified_timestamp_seconds"] == [[[], 0.0]]
    await audit.close()
