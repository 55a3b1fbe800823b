"""What is done for a queue once a gateway: sweeping it, counting it, and saying what nobody delivers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.services.clock import ManualClock
from gateway.services.metrics import Metrics
from gateway.services.queue import Attempt, Buried, Draft, QueueUnavailable
from gateway.services.queue.upkeep import Upkeep
from gateway.testing import MemoryQueue


class Kept:
    """A queue that may not be open yet."""

    def __init__(self, clock: ManualClock, *, there: bool = True) -> None:
        self.made = MemoryQueue(clock)
        self.queue: MemoryQueue | None = None
        self.there = there
        self.failing = ""

    async def open(self) -> MemoryQueue:
        if self.failing:
            raise QueueUnavailable(self.failing)
        self.queue = self.made
        return self.made

    def exists(self) -> bool:
        return self.there


class Scene:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.upkeep = Upkeep(self.clock, self.metrics)
        self.kept = Kept(self.clock)

    def value(self, name: str, *labels: str) -> Any:
        (family,) = [each for each in self.metrics.snapshot() if each["name"] == name]
        return {tuple(values): value for values, value in family["samples"]}.get(labels)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    yield made
    await made.upkeep.close()


async def test_how_it_stands_is_counted(scene: Scene) -> None:
    queue = scene.kept.made
    for topic in ("inbox/a/inbox", "inbox/b/inbox"):
        for _ in range(3):
            await queue.put(Draft(topic, b"1234"))
    (item,) = await queue.take("inbox/a/inbox", 1, 1e6)
    await queue.settle([Buried(item, Attempt(1, 0, 0))])
    scene.upkeep.tend(scene.kept, ["inbox/a/inbox"])
    await scene.clock.elapse(7)
    assert scene.value("queue_items", "inbox/a/inbox", "ready") == 2
    assert scene.value("queue_items", "inbox/a/inbox", "dead") == 1
    assert scene.value("queue_bytes", "inbox/b/inbox") == 12
    assert scene.value("queue_oldest_seconds", "inbox/a/inbox") == 7
    assert scene.value("queue_up") == 1
    assert scene.value("queue_stranded_items", "inbox/b/inbox") == 3
    assert scene.value("queue_stranded_items", "inbox/a/inbox") is None
    state = scene.upkeep.snapshot()
    assert state is not None
    assert (state["ok"], state["stranded"]) == (True, {"inbox/b/inbox": 3})


async def test_a_reload_is_seen_at_once(scene: Scene) -> None:
    await scene.kept.made.put(Draft("inbox/a/inbox", b""))
    scene.upkeep.tend(scene.kept, ["inbox/a/inbox"])
    await scene.clock.elapse(1)
    assert scene.upkeep.stranded() == {}
    scene.upkeep.tend(scene.kept, [])
    await scene.clock.elapse(0)
    assert scene.upkeep.stranded() == {"inbox/a/inbox": 1}


async def test_dead_letters_are_swept_when_their_time_is_over(scene: Scene) -> None:
    queue = scene.kept.made
    await queue.put(Draft("t", b"1"))
    (item,) = await queue.take("t", 1, 30)
    await queue.settle([Buried(item, Attempt(1, 0, 0))])
    scene.upkeep.tend(scene.kept, ["t"])
    await scene.clock.elapse(61)
    assert await queue.get(item.id) is not None
    scene.clock.advance(queue.settings.retention)
    await scene.clock.elapse(61)
    assert await queue.get(item.id) is None
    assert scene.value("queue_swept_total") == 1


async def test_trouble_is_told_and_its_end_too(scene: Scene) -> None:
    scene.kept.failing = "disk full"
    scene.upkeep.tend(scene.kept, ["t"])
    await scene.clock.elapse(1)
    state = scene.upkeep.snapshot()
    assert state is not None
    assert (state["ok"], state["error"], scene.value("queue_up")) == (False, "disk full", 0)
    scene.kept.failing = ""
    await scene.clock.elapse(5)
    assert (scene.upkeep.error, scene.value("queue_up")) == ("", 1)
    scene.kept.made.broken = True
    await scene.clock.elapse(5)
    assert scene.upkeep.error == "broken by the test"


@pytest.mark.parametrize(
    ("there", "topics", "opened"),
    [
        pytest.param(False, [], False, id="nobody needs it and there is none"),
        pytest.param(True, [], True, id="something may be left in it"),
        pytest.param(False, ["t"], True, id="somebody needs it"),
    ],
)
async def test_when_it_is_opened(scene: Scene, there: bool, topics: list[str], opened: bool) -> None:
    scene.kept.there = there
    scene.upkeep.tend(scene.kept, topics)
    for _ in range(200):
        await scene.clock.elapse(0.01)
        if scene.kept.queue is not None:
            break
    assert (scene.kept.queue is not None) == opened


async def test_without_a_queue_there_is_nothing_to_say(scene: Scene) -> None:
    scene.upkeep.tend(None, [])
    assert scene.upkeep.snapshot() is None
    assert scene.value("queue_up") is None
