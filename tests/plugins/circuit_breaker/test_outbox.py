"""What goes out: in order, one at a time, and never more than fits."""

import asyncio

from gateway.plugin import Context
from gateway.testing import ports
from plugins.circuit_breaker.outbox import Outbox


class Slow:
    def __init__(self, size=3):
        self.ports, self.go, self.out = ports(), asyncio.Event(), []
        self.box = Outbox(Context(self.ports, route="r", plugin="p", id="p"), "x", self.deliver, size)

    async def deliver(self, item):
        await self.go.wait()
        self.out.append(item)


async def test_in_their_order_and_again_when_more_comes():
    slow = Slow()
    for item in "ab":
        slow.box.put(item)
    slow.go.set()
    await slow.ports.settled()
    slow.box.put("c")
    await slow.ports.settled()
    assert slow.out == ["a", "b", "c"]


async def test_the_oldest_that_waits_is_given_up():
    slow = Slow()
    slow.box.put("under way")
    await asyncio.sleep(0)
    for item in "abcde":
        slow.box.put(item)
    assert slow.box.dropped == 2
    slow.go.set()
    await slow.ports.settled()
    assert slow.out == ["under way", "c", "d", "e"]


async def test_at_the_end_what_waits_may_go_out_but_not_forever():
    slow = Slow()
    slow.box.put("a")
    slow.go.set()
    await slow.box.close(10)
    assert slow.out == ["a"]
    stuck = Slow()
    stuck.box.put("a")
    await stuck.box.close(0.001)
    await stuck.box.close(0.001)
    await stuck.ports.settled()
    assert stuck.out == []
