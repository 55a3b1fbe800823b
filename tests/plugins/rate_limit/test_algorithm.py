"""Every case runs over both sides of the script, at the same times, and must give the same verdicts."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.services.store import KeyPrefix, MemoryStore
from plugins.rate_limit.algorithm import DECIDE, FIXED, GCRA, SLIDING, gcra_numbers
from plugins.rate_limit.here import DECIDE_HERE, plan_of

MINUTE = 60_000_000
START = 28_333_333 * MINUTE  # on a full minute
KEYS = KeyPrefix("test", "rate_limit")
BURST = gcra_numbers(100, MINUTE, 200)  # the mission's
TEN = (FIXED, MINUTE, 10, 0)
SLIDE = (SLIDING, MINUTE, 10, 0)


def key(number):
    return KEYS.key("subject", str(number))


class Memory:
    """Runs the local side."""

    def __init__(self):
        self.now = START
        self.store = MemoryStore(now=lambda: self.now)

    async def __call__(self, seconds, limits, cost=1):
        self.now = START + round(seconds * 1_000_000)
        return self.store.run_now(DECIDE, [key(at) for at in range(len(limits))], flat(limits, cost))


class Here(Memory):
    """Runs the side of a store in this process."""

    async def __call__(self, seconds, limits, cost=1):
        self.now = START + round(seconds * 1_000_000)
        plan = plan_of([str(at) for at in range(len(limits))], flat(limits, cost))
        return self.store.run_now(DECIDE_HERE, [key("all")], (plan,))


class Redis:
    """Runs the Lua side."""

    def __init__(self, store):
        self.store = store

    async def __call__(self, seconds, limits, cost=1):
        script = DECIDE.at(START + round(seconds * 1_000_000))
        return await self.store.run(script, [key(at) for at in range(len(limits))], flat(limits, cost))


def flat(limits, cost):
    return (cost, *[number for limit in limits for number in limit])


@pytest.fixture(params=["memory", "here", "redis"])
def decide(request):
    if request.param == "here":
        return Here()
    return Redis(request.getfixturevalue("redis_store")) if request.param == "redis" else Memory()


S = 1_000_000


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(
            [
                (0, [BURST], 1, [1, 199, 0, 600_000]),
                (0, [BURST], 199, [1, 0, 0, 120 * S]),
                (0, [BURST], 1, [0, 0, 600_000, 120 * S]),
                (0.599999, [BURST], 1, [0, 0, 1, 120 * S - 599_999]),
                (0.6, [BURST], 1, [1, 0, 0, 120 * S]),
                (60.6, [BURST], 100, [1, 0, 0, 120 * S]),
                (300, [BURST], 200, [1, 0, 0, 120 * S]),
            ],
            id="100 a minute with a burst of 200",
        ),
        pytest.param(
            [
                (0, [gcra_numbers(3, S, 3)], 3, [1, 0, 0, S]),
                (0.333333, [gcra_numbers(3, S, 3)], 1, [0, 0, 1, 666_667]),
                (0.333334, [gcra_numbers(3, S, 3)], 1, [1, 0, 0, S]),
            ],
            id="a third of a second is not rounded down",
        ),
        pytest.param(
            [
                (0, [BURST], 200, [1, 0, 0, 120 * S]),
                (0, [gcra_numbers(50, MINUTE, 200)], 1, [0, 0, 1_200_000, 240 * S]),
                (0, [gcra_numbers(100, MINUTE, 300)], 1, [1, 99, 0, 120_600_000]),
            ],
            id="a changed limit goes on with as many requests",
        ),
        pytest.param(
            [(10, [BURST], 200, [1, 0, 0, 120 * S]), (5, [BURST], 1, [0, 0, 5_600_000, 125 * S])],
            id="a clock that is set back makes no bucket emptier",
        ),
        pytest.param(
            [
                (0, [TEN], 4, [1, 6, 0, 60 * S]),
                (59, [TEN], 6, [1, 0, 0, S]),
                (59, [TEN], 1, [0, 0, S, S]),
                (59.999999, [TEN], 1, [0, 0, 1, 1]),
                (60, [TEN], 10, [1, 0, 0, 60 * S]),
                (30, [TEN], 1, [0, 0, 90 * S, 90 * S]),
            ],
            id="a fixed window counts from the clock's minute, and a step back stays in it",
        ),
        pytest.param(
            [
                (0, [SLIDE], 10, [1, 0, 0, 60 * S]),
                (0, [SLIDE], 1, [0, 0, 66 * S + 1, 60 * S]),
                (66, [SLIDE], 1, [1, 0, 0, 54 * S]),
                (66, [SLIDE], 1, [0, 0, 6 * S + 1, 54 * S]),
                (90, [SLIDE], 4, [1, 0, 0, 30 * S]),
                (240, [SLIDE], 10, [1, 0, 0, 60 * S]),
            ],
            id="a sliding window lets go of the one before evenly",
        ),
        pytest.param(
            [
                (0, [SLIDE], 10, [1, 0, 0, 60 * S]),
                (0, [SLIDE], 10, [0, 0, 120 * S + 1, 60 * S]),
                (120.000001, [SLIDE], 10, [1, 0, 0, 59_999_999]),
            ],
            id="the whole of a sliding window is free two windows later",
        ),
        pytest.param(
            [
                (0, [BURST, TEN], 8, [1, 192, 0, 4_800_000, 2, 0, 60 * S]),
                (0, [BURST, TEN], 3, [0, 192, 0, 4_800_000, 2, 60 * S, 60 * S]),
                (0, [BURST, TEN], 2, [1, 190, 0, 6 * S, 0, 0, 60 * S]),
            ],
            id="what one limit refuses is charged to none",
        ),
        pytest.param(
            [
                (0, [SLIDE, BURST, TEN], 5, [1, 5, 0, 60 * S, 195, 0, 3 * S, 5, 0, 60 * S]),
                (60, [SLIDE, BURST, TEN], 6, [0, 5, 12 * S + 1, 60 * S, 200, 0, 0, 10, 0, 60 * S]),
            ],
            id="three kinds at once",
        ),
    ],
)
async def test_verdicts(decide, steps):
    assert [await decide(at, limits, cost) for at, limits, cost, _ in steps] == [verdict for *_, verdict in steps]


@pytest.mark.parametrize("seed", range(6))
async def test_both_sides_agree_on_whatever_comes(redis_store, seed):
    """Odd rates, costs and steps of time, some of them back."""
    rng = random.Random(seed)
    period = rng.randrange(7 * S, 4000 * S)
    limits = [
        gcra_numbers(rng.randrange(1, 5000), period, rng.randrange(20, 4000)),
        (FIXED, rng.randrange(40 * S, 90 * S), rng.randrange(20, 60), 0),
        (SLIDING, rng.randrange(40 * S, 90 * S), rng.randrange(20, 60), 0),
    ]
    chosen = rng.sample(limits, rng.randrange(1, 4))
    memory, redis, at = Memory(), Redis(redis_store), 0.0
    for _ in range(120):
        at += rng.choice([0, 0, 0.000001, 0.7, 3.3, 17.17, 41.5, -2.25])
        cost = rng.choice([1, 1, 2, 7, 20])
        assert await memory(at, chosen, cost) == await redis(at, chosen, cost), at


@given(
    limit=st.one_of(
        st.tuples(st.integers(1, 400), st.integers(1, 90 * S), st.integers(5, 400)).map(lambda n: gcra_numbers(*n)),
        st.tuples(st.sampled_from([FIXED, SLIDING]), st.integers(1000, 90 * S), st.integers(5, 400), st.just(0)),
    ),
    gaps=st.lists(st.integers(0, 20 * S), min_size=1, max_size=12),
    cost=st.integers(1, 5),
)
async def test_what_was_told_to_wait_is_right_to_two_microseconds(limit, gaps, cost):
    """Refusals are remembered on the strength of this: before the time said the answer is no, then it is yes."""
    decide = Memory()
    at = 0
    for gap in gaps:
        at += gap
        for _ in range(500):
            verdict = await decide(at / 1e6, [limit], cost)
            if not verdict[0]:
                break
        if verdict[0]:
            return
        wait = verdict[2]
        if wait > 2:
            assert (await decide((at + wait - 3) / 1e6, [limit], cost))[0] == 0
        at += wait
        assert (await decide(at / 1e6, [limit], cost))[0] == 1


@given(
    rate=st.integers(1, 500),
    burst=st.integers(1, 500),
    gaps=st.lists(st.integers(0, 30 * S), max_size=30),
    origin=st.integers(0, 29),
)
async def test_a_bucket_never_lets_more_through_than_it_says(rate, burst, gaps, origin):
    """Over any stretch of time: burst + rate * time / period."""
    limit, decide, at, passed = gcra_numbers(rate, MINUTE, burst), Memory(), 0, []
    for gap in gaps:
        at += gap
        while (await decide(at / 1e6, [limit]))[0]:
            passed.append(at)
    origin = min(origin, max(len(passed) - 1, 0))
    for count, time in enumerate(passed[origin:], 1):
        assert count * MINUTE <= burst * MINUTE + rate * (time - passed[origin])


@pytest.mark.parametrize(
    ("limit", "share", "passes"),
    [
        pytest.param(BURST, 0.25, 50, id="a quarter of a bucket"),
        pytest.param(BURST, 1 / 3, 66, id="a third, rounded down"),
        pytest.param(gcra_numbers(1, MINUTE, 1), 0.25, 1, id="less than one is one, at a quarter of the rate"),
        pytest.param(TEN, 0.5, 5, id="half a window"),
        pytest.param(SLIDE, 0.05, 1, id="less than one of a window is one"),
        pytest.param(TEN, 1 / 10, 1, id="a tenth is not lost to rounding"),
    ],
)
async def test_a_copy_lets_its_share_through(limit, share, passes):
    store = MemoryStore(share=share, now=lambda: START)
    verdicts = [store.run_now(DECIDE, (key(0),), flat([limit], 1)) for _ in range(300)]
    assert sum(verdict[0] for verdict in verdicts) == passes


async def test_a_copy_refills_at_its_share():
    now = [START]
    store = MemoryStore(share=0.25, now=lambda: now[0])
    args = flat([gcra_numbers(1, MINUTE, 1)], 1)
    assert store.run_now(DECIDE, (key(0),), args) == [1, 0, 0, 240 * S]
    assert store.run_now(DECIDE, (key(0),), args) == [0, 0, 240 * S, 240 * S]


async def test_a_key_lives_as_long_as_it_says_something(redis_store, redis_server):
    for at, (limit, most) in enumerate([(BURST, 600), (TEN, 60_000), (SLIDE, 120_000)]):
        await redis_store.run(DECIDE, (key(at),), flat([limit], 1))
        assert 0 < redis_server.command("PTTL", key(at)) <= most


def test_too_large_to_be_exact_is_said():
    with pytest.raises(ValueError, match="exactly"):
        gcra_numbers(999_999_937, 86_400 * S + 1, 1_000_000_000)
    assert gcra_numbers(100, MINUTE, 200)[0] == GCRA
