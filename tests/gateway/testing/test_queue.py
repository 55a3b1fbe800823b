"""The queue for tests. What it promises is looked at with the others, in services/queue/test_contract.py."""

import pytest

from gateway.services.queue import Attempt, Draft, Item, Query, QueueUnavailable, State
from gateway.testing import MemoryQueue, ports
from gateway.testing.queue import meant


async def test_it_can_be_broken_and_mended():
    given = ports()
    queue = MemoryQueue(given.clock)
    queue.broken = True
    for call in (queue.put(Draft("t", b"")), queue.take("t", 1, 1), queue.ping(), queue.wait("t", 1)):
        with pytest.raises(QueueUnavailable):
            await call
    queue.broken = False
    assert (await queue.put(Draft("t", b""))).id


async def test_a_plugin_under_test_finds_it():
    given = ports()
    assert await given.queue() is given.work


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param(Query(), True, id="all"),
        pytest.param(Query(topic="inbox/a/"), True, id="a prefix"),
        pytest.param(Query(topic="inbox/a"), False, id="no prefix without its slash"),
        pytest.param(Query(labels={"route": "a"}), True, id="a label"),
        pytest.param(Query(labels={"route": "b"}), False, id="another label"),
        pytest.param(Query(since=100.0, until=101.0), True, id="within a time"),
        pytest.param(Query(until=100.0), False, id="until is before"),
        pytest.param(Query(status=500, error="x"), True, id="of the last attempt"),
        pytest.param(Query(states=frozenset({State.DEAD})), False, id="another state"),
    ],
)
def test_what_a_query_means(query, found):
    last = Attempt(1, 0.0, 0.0, 500, "x")
    item = Item("1", "inbox/a/inbox", {"route": "a"}, State.READY, 100.0, 0.0, 1, 1, 0, 0, last=last)
    assert meant(query, item) == found
