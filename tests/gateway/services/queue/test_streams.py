"""From a URL to a queue in Redis."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.services.clock import Clock
from gateway.services.queue import QueueUrlError
from gateway.services.queue.opening import QueueSettings, open_queue
from gateway.services.queue.streams import open_streams


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("redis://", id="no host"),
        pytest.param("redis://host:port", id="no port"),
        pytest.param("redis://host/0?unknown=1", id="an option that is none"),
        pytest.param("redis+sentinel://host", id="sentinels without a master's name"),
        pytest.param("memory://", id="memory"),
    ],
)
async def test_what_is_no_url_of_a_queue(url: str):
    with pytest.raises(QueueUrlError):
        await open_streams(url, QueueSettings(), Clock())


async def test_the_password_is_in_no_message():
    with pytest.raises(QueueUrlError) as refusal:
        await open_streams("redis://:hunter2@host:x/0", QueueSettings(), Clock())
    assert "hunter2" not in str(refusal.value)


async def test_the_scheme_chooses_it(redis_server: Any):
    queue = await open_queue(redis_server.url, QueueSettings(), Clock())
    await queue.ping()
    await queue.close()
