"""One worker in this process, seen as a workforce; several of them stand in ``tests/integration/test_workers.py``."""

from __future__ import annotations

import pytest

from gateway.config import load_text
from gateway.supervisor.workforce import InProcess

TEXT = """
listeners: [{bind: "127.0.0.1:0"}, {bind: "127.0.0.1:0"}]
access_log: off
routes: [{name: r, match: {path: /}, redirect: {to: /b}}]
"""


async def test_each_call_reaches_the_worker() -> None:
    loaded = load_text(TEXT, {})
    force = InProcess(loaded)
    await force.start()
    assert len(set(force.addresses)) == 2
    names = {family["name"] for snapshot in await force.snapshots() for family in snapshot}
    assert {"requests_total", "workers", "workers_ready", "worker_restarts_total"} <= names
    (status,) = await force.statuses()
    assert status["listeners"] == force.addresses
    runtime = force._worker.succession.current
    await force.prepare(loaded)
    await force.abandon()
    await force.commit()
    assert force._worker.succession.current is runtime
    await force.prepare(loaded)
    await force.commit()
    assert force._worker.succession.current is not runtime
    assert await force.erase("alice") == [{"erased": 0, "failed": []}]
    with pytest.raises(LookupError):
        await force.plugin_view("r", "x", "y", "GET", {})
    await force.reopen_logs()
    assert await force.drain(1.0) is True
    await force.close()
