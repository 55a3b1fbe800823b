from __future__ import annotations

from pathlib import Path

import pytest

from gateway.services.clock import ManualClock
from gateway.services.queue import QueueUrlError
from gateway.services.queue.opening import QueueSettings, open_queue
from gateway.services.queue.sqlite import path_of


@pytest.mark.parametrize(
    ("rest", "path"),
    [
        pytest.param("/var/lib/sidegate/queue.db", "/var/lib/sidegate/queue.db", id="an absolute path"),
        pytest.param("//var/lib/queue.db", "/var/lib/queue.db", id="four slashes"),
        pytest.param("/var/my%20queue.db", "/var/my queue.db", id="encoded"),
    ],
)
def test_the_path_in_a_url(rest: str, path: str):
    assert path_of(rest) == Path(path)


@pytest.mark.parametrize("rest", ["", "queue.db", ":memory:", "/", "/folder/", "/q.db?mode=memory", "/q#f", "/q%00.db"])
async def test_no_path(rest: str):
    with pytest.raises(QueueUrlError, match="absolute path"):
        await open_queue(f"sqlite://{rest}", QueueSettings(), ManualClock())
