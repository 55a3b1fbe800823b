"""The trail is verified by a process of its own, again and again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.services.audit import Audit, Event, Kind, Result, TrailOptions
from gateway.services.masking import Masking
from gateway.services.metrics import Metrics
from gateway.supervisor.rounds import Rounds

SECRETS = (b"n" * 32, b"k" * 32)


class Place:
    def __init__(self, folder: Path) -> None:
        self.metrics = Metrics()
        self.folder = folder
        self.audit = Audit(self.metrics, Masking(), owner=True)
        self.told: asyncio.Queue[bool] = asyncio.Queue()
        self.rounds = Rounds(self.audit, self.told.put_nowait, look=0.01)

    async def begin(self, verify: float | None) -> None:
        options = TrailOptions(self.folder, "gw", SECRETS, flush=0.01, fsync=False, verify=verify)
        await self.audit.prepare(options)
        self.audit.commit()
        assert await self.audit.record_and_wait(Event(Kind.GATEWAY, "start", "gateway", Result.SUCCESS), 60)

    async def next(self) -> bool:
        async with asyncio.timeout(60):
            return await self.told.get()

    def value(self, name: str) -> Any:
        (found,) = (family["samples"] for family in self.metrics.snapshot() if family["name"] == name)
        return found[0][1] if found else None


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path / "trail")
    yield made
    await made.rounds.close()
    await made.rounds.close()
    await made.audit.close()


async def test_it_is_verified_at_once_and_again_and_found_out(place: Place, caplog: pytest.LogCaptureFixture):
    await place.begin(0.001)
    assert (place.value("audit_intact"), place.value("audit_last_verified_timestamp_seconds")) == (None, 0)
    place.rounds.start()
    place.rounds.start()
    assert await place.next()
    assert place.value("audit_intact") == 1
    assert place.value("audit_last_verified_timestamp_seconds") > 1e9
    assert place.value("audit_bytes") > 700
    (day,) = place.folder.glob("*.jsonl")
    day.write_bytes(day.read_bytes().replace(b"start", b"stop!"))
    while await place.next():
        pass
    assert place.value("audit_intact") == 0
    assert "does NOT hold" in caplog.text
    assert "was changed" in caplog.text
    assert SECRETS[0].decode() not in caplog.text


async def test_what_was_verified_lately_is_not_verified_again(place: Place):
    await place.begin(0.001)
    place.rounds.start()
    assert await place.next()
    await place.begin(3600)
    while not place.told.empty():
        place.told.get_nowait()
    before = json.loads((place.folder / "verified.json").read_bytes())
    for _ in range(20):
        await asyncio.sleep(0.01)
    assert json.loads((place.folder / "verified.json").read_bytes())["at"] - before["at"] < 60
    assert place.told.qsize() <= 1, "one may have been under way"


async def test_null_is_never(place: Place):
    await place.begin(None)
    place.rounds.start()
    for _ in range(20):
        await asyncio.sleep(0.01)
    assert place.told.empty()
    assert not (place.folder / "verified.json").exists()
