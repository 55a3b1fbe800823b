import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.services.clock import LONGEST, Clock, Deadlines, ManualClock, Wheel


class ManualLoop:
    """Timers on a clock that a test moves."""

    def __init__(self) -> None:
        self.clock = ManualClock(0.0)
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.set = 0

    def time(self) -> float:
        return self.clock.now()

    def call_at(self, when: float, call: Callable[[], None]) -> Any:
        entry = (when, call)
        self.timers.append(entry)
        self.set += 1
        timers = self.timers

        class Handle:
            def cancel(self) -> None:
                timers.remove(entry)

        return Handle()

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for entry in [each for each in self.timers if each[0] <= self.time()]:
            self.timers.remove(entry)
            entry[1]()


class Waiter:
    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.expired = 0
        self.then = then

    def on_deadline(self) -> None:
        self.expired += 1
        self.then()


def deadlines(seconds: float = 10.0) -> tuple[ManualLoop, Deadlines]:
    loop = ManualLoop()
    return loop, Deadlines(loop, seconds)  # type: ignore[arg-type]


operations = st.lists(
    st.tuples(st.sampled_from(["add", "discard", "advance"]), st.integers(0, 4), st.integers(0, 12)), max_size=60
)


@settings(max_examples=150, deadline=None)
@given(operations)
def test_as_a_table_of_due_times(steps: list[tuple[str, int, int]]) -> None:
    loop, waiting = deadlines()
    waiters = [Waiter() for _ in range(5)]
    due: dict[int, float] = {}
    expired = [0] * 5
    for step, which, seconds in steps:
        if step == "add":
            waiting.add(waiters[which])
            due[which] = loop.time() + 10
        elif step == "discard":
            waiting.discard(waiters[which])
            due.pop(which, None)
        else:
            loop.advance(seconds)
            for late in [each for each, when in due.items() if when <= loop.time()]:
                del due[late]
                expired[late] += 1
        assert [each.expired for each in waiters] == expired
        assert len(waiting) == len(due)
        assert len(loop.timers) <= 1


def test_one_timer_serves_a_thousand() -> None:
    loop, waiting = deadlines()
    waiters = [Waiter() for _ in range(1000)]
    for each in waiters:
        waiting.add(each)
    assert loop.set == 1
    loop.advance(10)
    assert all(each.expired == 1 for each in waiters)
    assert not loop.timers


def test_a_callback_that_renews_the_next_saves_it() -> None:
    loop, waiting = deadlines()
    second = Waiter()
    first = Waiter(lambda: waiting.add(second))
    waiting.add(first)
    waiting.add(second)
    loop.advance(10)
    assert (first.expired, second.expired) == (1, 0)
    loop.advance(10)
    assert second.expired == 1


def test_a_callback_that_discards_the_next_saves_it() -> None:
    loop, waiting = deadlines()
    second = Waiter()
    waiting.add(Waiter(lambda: waiting.discard(second)))
    waiting.add(second)
    loop.advance(10)
    assert second.expired == 0
    assert not len(waiting)


@pytest.mark.parametrize("seconds", [pytest.param(0.0, id="no seconds at all"), pytest.param(5.0, id="five")])
def test_a_callback_that_adds_itself_expires_once_a_turn(seconds: float) -> None:
    loop, waiting = deadlines(seconds)
    waiter = Waiter(lambda: waiting.add(waiter))
    waiting.add(waiter)
    loop.advance(seconds)
    assert waiter.expired == 1
    assert len(waiting) == 1
    assert len(loop.timers) == 1


def test_one_that_raises_leaves_the_others_their_timer() -> None:
    loop, waiting = deadlines()
    second = Waiter()
    waiting.add(Waiter(lambda: 1 / 0))
    waiting.add(second)
    with pytest.raises(ZeroDivisionError):
        loop.advance(10)
    loop.advance(0)
    assert second.expired == 1


def test_nothing_is_held_and_no_timer_left_when_all_are_gone() -> None:
    loop, waiting = deadlines()
    waiter = Waiter()
    waiting.add(waiter)
    waiting.discard(waiter)
    loop.advance(10)
    assert not len(waiting)
    assert not loop.timers


async def test_on_a_real_loop_in_the_order_of_adding() -> None:
    done = asyncio.get_running_loop().create_future()
    seen: list[int] = []
    wheel = Wheel()
    waiting = wheel.of(0.01)
    for number in range(3):
        waiting.add(Waiter(lambda number=number: seen.append(number)))
    waiting.add(Waiter(lambda: done.set_result(None)))
    await asyncio.wait_for(done, 60)
    assert seen == [0, 1, 2]
    wheel.close()


def test_a_wheel_shares_by_duration_and_forgets_idle_ones() -> None:
    wheel = Wheel(ManualLoop())  # type: ignore[arg-type]
    busy = wheel.of(0.5)
    assert wheel.of(0.5) is busy
    busy.add(Waiter())
    idle = wheel.of(0.25)
    for number in range(LONGEST):
        wheel.of(1.0 + number)
    assert wheel.of(0.5) is busy
    assert wheel.of(0.25) is not idle


async def test_sleepers_wake_in_the_order_of_their_time() -> None:
    clock, woken = ManualClock(), []

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, clock.now()))

    tasks = [asyncio.ensure_future(sleep(seconds)) for seconds in (3.0, 0.0, 1.0, 2.0)]
    tasks[3].cancel()
    began = clock.now()
    await clock.elapse(2.5)
    assert woken == [(0.0, began), (1.0, began + 1)]
    assert clock.now() == began + 2.5
    await clock.elapse(0.5)
    assert woken[2:] == [(3.0, began + 3)]


async def test_time_passes_for_who_sleeps_again_and_again() -> None:
    clock, ticks = ManualClock(), 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await clock.sleep(0.1)
            ticks += 1

    task = asyncio.ensure_future(tick())
    await clock.elapse(10.05)
    assert ticks == 100
    task.cancel()


async def test_a_real_clock_sleeps() -> None:
    clock = Clock()
    began = clock.now()
    await clock.sleep(0.01)
    assert clock.now() > began
