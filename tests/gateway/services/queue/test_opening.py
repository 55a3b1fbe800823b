"""From a URL to a queue, and what is no URL of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.services.clock import Clock
from gateway.services.queue import Draft, QueueUrlError
from gateway.services.queue.opening import QueueSettings, open_queue


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("", id="nothing"),
        pytest.param("queue.db", id="no scheme"),
        pytest.param("memory://", id="memory, which forgets"),
        pytest.param("postgres://127.0.0.1/db", id="a kind that there is not"),
    ],
)
async def test_what_names_no_queue(url: str) -> None:
    with pytest.raises(QueueUrlError):
        await open_queue(url, QueueSettings(), Clock())


async def test_a_file(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/queue.db"
    for duplicate in (False, True):
        queue = await open_queue(url, QueueSettings(), Clock())
        assert (await queue.put(Draft("t", b"x", dedup="e", window=60))).duplicate == duplicate
        await queue.close()


async def test_a_redis(redis_server: object) -> None:
    queue = await open_queue(redis_server.url, QueueSettings(), Clock())  # type: ignore[attr-defined]
    assert (await queue.put(Draft("t", b"x"))).id
    await queue.close()
