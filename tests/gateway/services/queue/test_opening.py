from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.services.clock import ManualClock
from gateway.services.queue import QueueUrlError
from gateway.services.queue.opening import QueueSettings, open_queue
from gateway.services.queue.sqlite import SqliteQueue
from gateway.services.queue.streams import StreamsQueue


async def test_the_scheme_says_which_kind(tmp_path: Path, redis_server: Any):
    for url, kind in ((f"sqlite://{tmp_path}/queue.db", SqliteQueue), (redis_server.url, StreamsQueue)):
        queue = await open_queue(url, QueueSettings(), ManualClock())
        assert isinstance(queue, kind)
        await queue.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("", "named by a URL", id="nothing"),
        pytest.param("/var/lib/queue.db", "named by a URL", id="a path"),
        pytest.param("postgres://db/queue", "no queue of the kind postgres", id="another kind"),
        pytest.param("memory://", "no queue of the kind memory", id="memory is not durable"),
    ],
)
async def test_what_names_no_queue(url: str, words: str):
    with pytest.raises(QueueUrlError, match=words):
        await open_queue(url, QueueSettings(), ManualClock())
