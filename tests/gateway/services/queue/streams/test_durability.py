"""What the server's settings put at risk is said."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.services.clock import Clock
from gateway.services.metrics import Metrics
from gateway.services.queue.upkeep import Upkeep

ALWAYS = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(ALWAYS, [], id="always, nothing evicted"),
        pytest.param(("--appendonly", "no"), ["no append-only file"], id="no AOF"),
        pytest.param(("--appendonly", "yes", "--appendfsync", "everysec"), ["once a second"], id="every second"),
        pytest.param(("--appendonly", "yes", "--appendfsync", "no"), ["leaves it to the system"], id="never"),
        pytest.param(
            (*ALWAYS, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"), ["allkeys-lru"], id="evicts items"
        ),
        pytest.param((*ALWAYS, "--maxmemory-policy", "allkeys-lru"), [], id="would evict, but has no limit"),
        pytest.param((*ALWAYS, "--maxmemory", "100mb", "--maxmemory-policy", "noeviction"), [], id="refuses when full"),
        pytest.param((*ALWAYS, "--rename-command", "CONFIG", ""), ["does not tell"], id="does not let itself be asked"),
    ],
)
async def test_doubts(start_redis: Any, open_queue: Any, options: tuple[str, ...], words: list[str], caplog: Any):
    queue = await open_queue(start_redis(*options).url)
    assert len(queue.warnings) == len(words)
    for line, word in zip(queue.warnings, words, strict=True):
        assert word in line
        assert line in caplog.text


async def test_what_changed_is_noticed_by_the_next_sweep_and_said_once(start_redis: Any, open_queue: Any, caplog: Any):
    server = start_redis(*ALWAYS)
    queue = await open_queue(server.url)
    assert queue.warnings == []
    server.command("CONFIG", "SET", "appendfsync", "everysec")
    for _ in range(3):
        await queue.sweep()
    assert len(queue.warnings) == 1
    assert caplog.text.count("once a second") == 1
    server.command("CONFIG", "SET", "appendfsync", "always")
    await queue.sweep()
    assert queue.warnings == []


async def test_readiness_shows_it(start_redis: Any, open_queue: Any):
    queue = await open_queue(start_redis("--appendonly", "no").url)

    class Kept:
        def __init__(self) -> None:
            self.queue = queue

        async def open(self) -> Any:
            return self.queue

        def exists(self) -> bool:
            return True

    upkeep = Upkeep(Clock(), Metrics())
    upkeep.tend(Kept(), ())
    try:
        assert upkeep.snapshot()["warnings"] == list(queue.warnings)
        assert "no append-only file" in upkeep.snapshot()["warnings"][0]
    finally:
        await upkeep.close()
