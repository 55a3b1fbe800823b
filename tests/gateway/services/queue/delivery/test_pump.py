"""The pump: what is taken, tried, tried again and given up, on a clock that the test turns."""

import asyncio
import itertools
import random
from collections import Counter

import pytest

from gateway.services.clock import ManualClock
from gateway.services.metrics import Metrics
from gateway.services.queue import Draft, Query, QueueUnavailable, State
from gateway.services.queue.delivery import Delivered, Failed, Hopeless, Pump, Schedule, Terms, Throttle, Untried, Watch
from gateway.testing import MemoryQueue

TOPIC = "inbox/test/inbox"


class Bench:
    """A queue, a pump, and a target in the test's hands."""

    def __init__(self, *, concurrency=10, rate=None, recovery=30.0, seed=1, queue=None, **terms):
        self.clock = ManualClock()
        self.queue = queue(self.clock) if queue is not None else MemoryQueue(self.clock)
        self.metrics = Metrics()
        chance = random.Random(seed)
        self.throttle = Throttle(self.clock, draw=chance.random)
        self.throttle.limit(self, concurrency, rate, recovery)
        self.hindrance = ""
        self.tries = []
        """(time, payload, attempt's number)"""
        self.outcome = lambda _item: Delivered()
        self.seconds = 0.0
        """How long a try takes."""
        self.under_way = self.most = 0
        self.pumps = []
        self.terms = Terms(**{"schedule": Schedule(), **terms})
        self.chance = chance

    async def work(self, item):
        self.tries.append((self.clock.now(), item.payload, item.attempts + 1))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if self.seconds:
                await self.clock.sleep(self.seconds)
            outcome = self.outcome(item)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        finally:
            self.under_way -= 1

    def pump(self, **more):
        made = Pump(
            self.queue,
            TOPIC,
            self.work,
            **{
                "terms": self.terms,
                "throttle": lambda: self.throttle,
                "hindrance": lambda: self.hindrance,
                "clock": self.clock,
                "watch": Watch(self.metrics, "test", "inbox"),
                "draw": self.chance.random,
                **more,
            },
        )
        self.pumps.append(made)
        made.start()
        return made

    async def put(self, *payloads, **more):
        for payload in payloads:
            await self.queue.put(Draft(TOPIC, payload, **more))

    async def states(self):
        return Counter(item.state for item in (await self.queue.find(Query(), limit=100_000)).items)

    def value(self, name, *labels):
        for family in self.metrics.snapshot():
            if family["name"] == name:
                for values, value in family["samples"]:
                    if tuple(values) == ("test", "inbox", *labels):
                        return value[0] if isinstance(value, list) else value
        return 0


@pytest.fixture
async def bench():
    made = []

    def make(**settings):
        made.append(Bench(**settings))
        return made[-1]

    yield make
    for each in made:
        for pump in each.pumps:
            await pump.close()
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not left


async def test_what_is_put_is_done_and_gone(bench):
    it = bench()
    it.pump()
    await it.put(b"1", b"2")
    await it.clock.elapse(0)
    await it.put(b"3")
    await it.clock.elapse(0)
    assert [payload for _, payload, _ in it.tries] == [b"1", b"2", b"3"]
    assert await it.states() == {}
    assert it.value("delivery_delivered_total") == 3
    assert it.value("delivery_in_flight") == 0


async def test_what_failed_is_tried_again_ever_later_with_jitter(bench):
    it = bench()
    it.outcome = lambda _item: Failed(500)
    it.pump()
    await it.put(b"1")
    await it.clock.elapse(3 * 3600)
    times = [time for time, _, _ in it.tries]
    waits = [after - before for before, after in itertools.pairwise(times)]
    assert len(waits) >= 12
    assert all(wait <= min(3600, 2**number) + 0.01 for number, wait in enumerate(waits))
    assert max(waits) > 600
    assert [number for _, _, number in it.tries] == list(range(1, len(it.tries) + 1))


@pytest.mark.parametrize(
    ("outcome", "terms", "tries", "state"),
    [
        pytest.param(Hopeless(410), {}, 1, State.DEAD, id="a permanent answer: dead at once"),
        pytest.param(Failed(500), {"schedule": Schedule(attempts=3)}, 3, State.DEAD, id="dead after the most attempts"),
        pytest.param(Failed(500), {"schedule": Schedule(steps=(1, 2))}, 3, State.DEAD, id="dead after the last step"),
        pytest.param(ValueError("bug"), {"schedule": Schedule(attempts=2)}, 2, State.DEAD, id="a bug is a failure"),
        pytest.param(Delivered(), {"keep": 9e9}, 1, State.DONE, id="kept after it was done"),
    ],
)
async def test_how_it_ends(bench, outcome, terms, tries, state):
    it = bench(**terms)
    it.outcome = lambda _item: outcome
    it.pump()
    await it.put(b"1")
    await it.clock.elapse(600)
    assert (len(it.tries), await it.states()) == (tries, {state: 1})
    (item,) = (await it.queue.find(Query())).items
    attempts = await it.queue.attempts(item.id)
    assert [each.number for each in attempts] == list(range(1, tries + 1))
    if isinstance(outcome, ValueError):
        assert {each.error for each in attempts} == {"internal_error"}
    else:
        assert {each.status for each in attempts} == {outcome.status}


async def test_the_age_ends_it_with_a_last_try(bench):
    it = bench(schedule=Schedule(base=60, max=3600, max_age=7200))
    it.outcome = lambda _item: Failed(500)
    it.pump()
    await it.put(b"1")
    began = it.clock.now()
    await it.clock.elapse(3 * 7200)
    assert it.tries[-1][0] - began == pytest.approx(7200)
    assert await it.states() == {State.DEAD: 1}
    assert it.value("delivery_dead_total", "given_up") == 1


async def test_no_more_at_once_than_allowed(bench):
    it = bench(concurrency=4)
    it.seconds = 1.0
    it.pump()
    await it.put(*[b"%d" % number for number in range(40)])
    await it.clock.elapse(9.5)
    assert it.most == 4
    assert len(it.tries) == 40
    await it.clock.elapse(1)
    assert await it.states() == {}


@pytest.mark.parametrize("concurrency", [1, 2, 7])
async def test_tries_that_end_at_once_leave_nobody_asleep(bench, concurrency):
    it = bench(concurrency=concurrency)
    it.pump()
    await it.put(*[b"%d" % number for number in range(200)])
    for _ in range(100):
        await it.clock.elapse(0)
    assert len(it.tries) == 200


async def test_what_was_taken_ahead_is_given_back_at_the_end(bench):
    it = bench(concurrency=2)
    it.seconds = 1e9
    pump = it.pump()
    await it.put(*[b"%d" % number for number in range(20)])
    await it.clock.elapse(0)
    assert (await it.states())[State.LEASED] > 2
    await pump.close()
    assert await it.states() == {State.READY: 20}


async def test_what_was_taken_ahead_is_given_back_when_nothing_may_be_sent(bench):
    it = bench(concurrency=2)
    it.seconds = 10.0
    it.pump()
    await it.put(*[b"%d" % number for number in range(20)])
    await it.clock.elapse(1)
    it.hindrance = "no_target"
    await it.clock.elapse(60)
    assert await it.states() == {State.READY: 18}


async def test_two_pumps_share_what_an_upstream_takes(bench):
    it = bench(concurrency=4)
    it.seconds = 1.0
    it.pump()
    it.pump()
    await it.put(*[b"%d" % number for number in range(40)])
    await it.clock.elapse(15)
    assert (it.most, len(it.tries)) == (4, 40)


async def test_no_more_a_second_than_allowed(bench):
    it = bench(rate=5.0, concurrency=100)
    it.pump()
    await it.put(*[b"%d" % number for number in range(200)])
    began = it.clock.now()
    await it.clock.elapse(20)
    assert 95 <= len(it.tries) <= 102
    seconds = Counter(int(time - began) for time, _, _ in it.tries)
    assert max(seconds.values()) <= 6


# -- an hour without the backend ---------------------------------------------------------------------------------------


async def test_a_backend_down_for_an_hour_gets_all_in_order_and_is_not_flattened(bench):
    """The bar of the issue: all delivered, in order per key, recovery within the cap, and few attempts burned."""
    it = bench(concurrency=10, rate=50.0, recovery=30.0, schedule=Schedule(base=1, max=3600, max_age=259_200))
    down_until = it.clock.now() + 3600
    it.seconds = 0.05
    it.outcome = lambda _item: Failed(error="connect_failed", ill=True) if it.clock.now() < down_until else Delivered()
    it.pump()
    for minute in range(60):
        for key in range(20):
            await it.put(b"%d:%d" % (key, minute), order=f"key {key}")
        await it.put(b"free:%d" % minute)
        await it.clock.elapse(60)
    during = len(it.tries)
    assert await it.queue.count(Query()) == 60 * 21
    assert during <= 300, "an outage burns attempts of what waits"
    began = it.clock.now()
    await it.clock.elapse(2 * 3600)
    assert await it.states() == {}
    assert it.value("delivery_delivered_total") == 60 * 21
    after = [each for each in it.tries if each[0] >= down_until]
    delivered = {}
    for time, payload, _ in after:
        key, _, number = payload.partition(b":")
        delivered.setdefault(key, []).append((time, int(number)))
    for key, found in delivered.items():
        if key != b"free":
            assert [number for _, number in found] == list(range(60)), key
    seconds = Counter(int(time - began) for time, _, _ in after)
    assert max(seconds.values()) <= 50 * 1.1 + 1
    assert sum(seconds[second] for second in range(5)) < 50, "it did not begin gently"
    assert it.most <= 10
    assert max(time for time, _, _ in after) - began < 600, "it did not catch up in ten minutes"


async def test_a_hindrance_stops_delivery_and_burns_nothing(bench):
    it = bench()
    it.hindrance = "circuit_open"
    pump = it.pump()
    await it.put(b"1")
    await it.clock.elapse(120)
    assert (it.tries, pump.why, it.value("delivery_paused", "circuit_open")) == ([], "circuit_open", 1)
    it.hindrance = ""
    await it.clock.elapse(1)
    assert ([number for _, _, number in it.tries], pump.why) == ([1], "")
    assert it.value("delivery_paused", "circuit_open") == 0


async def test_what_could_not_be_sent_counts_for_nothing(bench):
    it = bench(schedule=Schedule(attempts=1))
    outcomes = [Untried("no_target"), Untried("circuit_open", after=20.0), Delivered()]
    it.outcome = lambda _item: outcomes.pop(0)
    it.pump()
    await it.put(b"1")
    await it.clock.elapse(10)
    assert [number for _, _, number in it.tries] == [1, 1]
    await it.clock.elapse(60)
    assert [number for _, _, number in it.tries] == [1, 1, 1]
    assert it.tries[2][0] - it.tries[1][0] >= 20
    assert await it.states() == {}
    assert it.value("delivery_untried_total", "no_target") == 1


async def test_a_poisonous_item_does_not_keep_the_others(bench):
    it = bench()
    it.outcome = lambda item: Failed(500) if item.payload == b"poison" else Delivered()
    it.pump()
    await it.put(b"poison", *[b"%d" % number for number in range(50)])
    await it.clock.elapse(1)
    assert await it.states() == {State.READY: 1}


@pytest.mark.parametrize(
    ("hold", "delivered"),
    [
        pytest.param(False, [b"2"], id="what follows a dead letter goes on"),
        pytest.param(True, [], id="what follows a dead letter waits if asked for"),
    ],
)
async def test_dead_letters_in_an_order(bench, hold, delivered):
    it = bench(hold=hold)
    it.outcome = lambda item: Hopeless(410) if item.payload == b"1" else Delivered()
    it.pump()
    await it.put(b"1", b"2", order="k")
    await it.clock.elapse(5)
    assert [payload for _, payload, _ in it.tries][1:] == delivered


async def test_replayed_ones_go_again_with_their_numbers_going_on(bench):
    it = bench()
    it.outcome = lambda item: Delivered() if item.replays else Hopeless(410)
    it.pump()
    await it.put(b"1")
    await it.clock.elapse(1)
    await it.queue.replay(Query())
    await it.clock.elapse(1)
    assert [number for _, _, number in it.tries] == [1, 2]
    assert await it.states() == {}
    assert it.value("delivery_replayed_total") == 1


# -- leases, ends, and queues that fail --------------------------------------------------------------------------------


async def test_a_long_try_keeps_its_lease(bench):
    it = bench(lease=30.0)
    it.seconds = 300.0
    it.pump()
    other = it.pump()
    await it.put(b"1")
    await it.clock.elapse(301)
    assert (len(it.tries), await it.states(), other.in_flight) == (1, {}, 0)
    assert it.value("delivery_lost_leases_total") == 0


async def test_what_one_who_died_had_is_taken_by_another(bench):
    it = bench(lease=30.0)
    await it.put(b"1")
    await it.queue.take(TOPIC, 1, 30.0)  # and never heard of again
    it.pump()
    await it.clock.elapse(29)
    assert it.tries == []
    await it.clock.elapse(2)
    assert len(it.tries) == 1


async def test_a_lost_lease_is_counted_and_settles_nothing(bench):
    it = bench()
    it.seconds = 1.0
    it.pump()
    await it.put(b"1", subject="ada")
    await it.clock.elapse(0.5)
    await it.queue.erase("ada")
    await it.clock.elapse(1)
    assert it.value("delivery_lost_leases_total") == 1


async def test_an_end_lets_what_is_under_way_end(bench):
    it = bench()
    gate = asyncio.Event()

    async def work(item):
        it.tries.append((0, item.payload, 1))
        await gate.wait()
        return Delivered()

    pump = it.pump()
    pump._work = work
    await it.put(b"1", b"2")
    await it.clock.elapse(0)
    ending = asyncio.ensure_future(pump.close(60))
    await it.clock.elapse(0)
    await it.put(b"3")
    await it.clock.elapse(10)
    assert len(it.tries) == 2, "something was begun after the end"
    gate.set()
    await ending
    assert await it.states() == {State.READY: 1}


async def test_an_end_gives_back_what_does_not_end(bench):
    it = bench()
    it.seconds = 1e9
    pump = it.pump()
    await it.put(b"1")
    await it.clock.elapse(0)
    await pump.close(0)
    (item,) = (await it.queue.find(Query())).items
    assert (item.state, item.attempts, item.due) == (State.READY, 0, it.clock.time())
    await pump.close(0)


async def test_a_queue_that_fails_for_a_while(bench):
    it = bench()
    it.seconds = 1.0
    pump = it.pump()
    await it.put(b"1", b"2")
    await it.clock.elapse(0.5)
    it.queue.broken = True
    await it.clock.elapse(20)
    assert len(it.tries) == 2
    assert pump.why == "queue"
    it.queue.broken = False
    await it.clock.elapse(2)
    await it.put(b"3")
    await it.clock.elapse(2)
    assert (len(it.tries), await it.states(), pump.why) == (3, {}, "")


async def test_settlements_share_commits(bench):
    it = bench(concurrency=100)
    it.seconds = 1.0
    await it.put(*[b"%d" % number for number in range(100)])
    it.pump()
    await it.clock.elapse(0.5)
    before = it.queue.commits
    await it.clock.elapse(0.6)
    assert await it.states() == {}
    assert it.queue.commits - before <= 5


async def test_a_queue_is_not_asked_in_vain(bench):
    it = bench()

    class Counting(MemoryQueue):
        takes = 0

        async def take(self, *args):
            Counting.takes += 1
            return await super().take(*args)

    it.queue = Counting(it.clock)
    it.pump()
    await it.clock.elapse(3600)
    assert Counting.takes <= 125
    with pytest.raises(QueueUnavailable):
        it.queue.broken = True
        await it.queue.ping()
    it.queue.broken = False
