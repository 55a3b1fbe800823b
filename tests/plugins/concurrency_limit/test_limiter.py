"""Places and the line: who gets the next one, who has to go, and that none is ever lost."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.services.clock import Deadlines, ManualClock
from gateway.services.metrics import Counter
from plugins.concurrency_limit.limiter import Limiter, Rules, Watch


class Line:
    """A limiter, and those who came to it."""

    def __init__(self, rules):
        self.rules, self.clock = rules, ManualClock()
        self.watch = Watch(Counter(), Counter(), Counter())
        self.limiter = Limiter("x", self.clock, self.watch)
        self.deadlines = Deadlines(asyncio.get_running_loop(), 60)
        self.tasks = {}
        self.served = []
        self.shed = {}

    async def comes(self, name, rank=0):
        async def go():
            why = (
                ""
                if self.limiter.enter(self.rules, rank)
                else await self.limiter.wait(self.rules, rank, self.deadlines)
            )
            if why:
                self.shed[name] = why
            else:
                self.served.append(name)

        self.tasks[name] = asyncio.create_task(go())
        await asyncio.sleep(0)

    async def leaves(self):
        self.limiter.leave()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_the_oldest_goes_first_while_the_line_moves():
    line = Line(Rules(1, size=9, timeout=10))
    for name in "abc":
        await line.comes(name)
    assert (line.limiter.in_flight, line.limiter.queued) == (1, 2)
    await line.leaves()
    await line.leaves()
    assert line.served == ["a", "b", "c"]


async def test_in_a_jam_the_newest_goes_first():
    line = Line(Rules(1, size=9, timeout=10))
    for name in "ab":
        await line.comes(name)
    line.clock.advance(6)
    await line.comes("c")
    await line.leaves()
    assert line.served == ["a", "c"]


async def test_the_highest_class_goes_first():
    line = Line(Rules(1, (1.0, 1.0, 1.0), size=9))
    for name, rank in (("first", 2), ("low", 2), ("middle", 1), ("high", 0)):
        await line.comes(name, rank)
    for _ in range(3):
        await line.leaves()
    assert line.served == ["first", "high", "middle", "low"]


async def test_each_class_leaves_something_to_those_above():
    line = Line(Rules(10, (1.0, 0.9, 0.8)))
    for rank in (2, 1, 0):
        for _ in range(10):
            await line.comes(f"{rank}{_}", rank)
    assert [sum(name.startswith(rank) for name in line.served) for rank in "210"] == [8, 1, 1]


async def test_the_lowest_class_gets_a_place_when_nobody_else_is_there():
    line = Line(Rules(1, (1.0, 0.5)))
    await line.comes("low", 1)
    assert line.served == ["low"]


async def test_nobody_overtakes_those_of_his_class_who_wait():
    line = Line(Rules(2, (1.0, 0.5), size=9))
    await line.comes("a", 0)
    await line.comes("b", 1)
    await line.comes("c", 0)
    assert line.served == ["a", "c"], "the higher class has a place that the lower has not"
    await line.comes("d", 0)
    await line.leaves()
    assert line.served == ["a", "c", "d"]


async def test_a_full_line_takes_a_higher_class_in_place_of_the_lowest():
    line = Line(Rules(1, (1.0, 1.0, 1.0), size=2))
    for name, rank in (("a", 0), ("low1", 2), ("low2", 2), ("high", 0), ("low3", 2), ("middle", 1), ("middle2", 1)):
        await line.comes(name, rank)
    await asyncio.sleep(0)
    assert line.shed == {"low2": "evicted", "low3": "full", "low1": "evicted", "middle2": "full"}
    assert line.limiter.queued == 2


async def test_who_leaves_the_line_frees_his_place_in_it():
    line = Line(Rules(1, size=1))
    await line.comes("a")
    await line.comes("b")
    line.tasks["b"].cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert line.limiter.queued == 0
    await line.comes("c")
    await line.leaves()
    assert line.served == ["a", "c"]


@pytest.mark.parametrize("called_first", [True, False], ids=["called, then gone", "gone, then called"])
async def test_who_leaves_in_the_moment_he_is_called_takes_no_place(called_first):
    line = Line(Rules(1, size=9))
    for name in "abc":
        await line.comes(name)
    steps = [line.limiter.leave, line.tasks["b"].cancel]
    for step in steps if called_first else reversed(steps):
        step()
    for _ in range(4):
        await asyncio.sleep(0)
    assert line.served == ["a", "c"]
    assert (line.limiter.in_flight, line.limiter.queued) == (1, 0)


async def test_whose_time_is_over_is_told():
    line = Line(Rules(1, size=9))
    line.deadlines = Deadlines(asyncio.get_running_loop(), 0.001)
    await line.comes("a")
    await line.comes("b")
    await line.tasks["b"]
    assert line.shed == {"b": "timeout"}
    assert line.limiter.queued == 0


async def test_the_end_lets_nobody_wait():
    line = Line(Rules(1, size=9))
    await line.comes("a")
    await line.comes("b")
    line.limiter.close()
    await line.tasks["b"]
    assert line.shed == {"b": "closed"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["come0", "come1", "come2", "leave", "cancel", "wait"]), max_size=60))
def test_no_place_is_ever_lost_or_given_twice(steps):
    async def run():
        line = Line(Rules(3, (1.0, 0.8, 0.6), size=4, timeout=4))
        gone = 0
        for number, step in enumerate(steps):
            if step.startswith("come"):
                await line.comes(f"n{number}", int(step[-1]))
            elif step == "leave" and len(line.served) > gone:
                gone += 1
                line.limiter.leave()  # without giving the loop a turn: the next step may hit who was just called
            elif step == "cancel":
                for task in [each for each in line.tasks.values() if not each.done()][:1]:
                    task.cancel()
            else:
                line.clock.advance(1)
            assert line.limiter.in_flight <= 3
            assert line.limiter.queued <= 4
        for _ in range(5):
            await asyncio.sleep(0)
        assert line.limiter.in_flight == len(line.served) - gone
        while line.limiter.in_flight:
            await line.leaves()
        await asyncio.gather(*line.tasks.values(), return_exceptions=True)
        assert (line.limiter.queued, line.watch.in_flight.value, line.watch.queued.value) == (0, 0, 0)

    asyncio.run(run())
