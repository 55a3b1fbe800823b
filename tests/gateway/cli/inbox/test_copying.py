"""`gateway inbox backup`, `restore` and `check` over a real queue."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from gateway.services.queue import Queue


def test_a_copy_is_made_checked_and_put_back(inbox: Any, tmp_path: Path) -> None:
    ids = inbox.fill()
    copy = tmp_path / "copy.db"
    assert inbox("backup", str(copy))[0] == 0
    assert inbox("backup", str(copy))[0] == 1, "a copy that is there is not written over"
    assert inbox("check")[1] == "sound\n"
    assert inbox("purge", "--all")[0] == 0
    code, out, _ = inbox("restore", str(copy))
    assert (code, "is kept as" in out) == (0, True)
    assert list(inbox.states()) == ids


def test_nothing_is_put_back_while_somebody_has_it_open(inbox: Any, tmp_path: Path) -> None:
    inbox.fill()
    assert inbox("backup", str(tmp_path / "copy.db"))[0] == 0
    told: list[tuple[int, str, str]] = []

    async def meanwhile(queue: Queue) -> None:
        await queue.ping()
        told.append(await asyncio.to_thread(inbox, "restore", str(tmp_path / "copy.db")))

    inbox.on_queue(meanwhile)
    assert told[0][0] == 1
    assert "in use" in told[0][2]
