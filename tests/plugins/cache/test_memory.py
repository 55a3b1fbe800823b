"""Memory: bounded by bytes, and what it holds on to."""

from __future__ import annotations

import itertools
import random
from collections import OrderedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from plugins.cache.entry import Entry, Place, Since
from plugins.cache.freshness import Terms
from plugins.cache.memory import MOST_HITS, MemoryTier, size_of

TERMS = Terms(60.0, 0.0, False, False, 0.0, 0.0, 0.0, True)


def entry(key: str, size: int = 100, selecting: tuple[str, ...] = (), chosen: str = "", arrived: float = 0.0) -> Entry:
    made = Entry(Place(key, key, selecting, chosen), 200, b"", [b"A: 1"], b"x" * size, Since(0, 0))
    made.hold(TERMS, 0.0, arrived, 0.0)
    return made


def ask(tier: MemoryTier, key: str, size: int) -> bool:
    found = tier.find(key, CIMultiDict())
    if found is None:
        tier.put(entry(key, size))
        return False
    found.hits = min(found.hits + 1, MOST_HITS)
    return True


operations = st.lists(
    st.tuples(st.sampled_from(["put", "vary", "find", "remove", "clear"]), st.integers(0, 12), st.integers(0, 4000)),
    max_size=80,
)


@given(operations)
@settings(max_examples=100)
def test_whatever_is_done_the_count_is_right_and_the_limit_is_kept(done: list[tuple[str, int, int]]):
    tier = MemoryTier(20_000, 4)
    for what, number, size in done:
        key = f"k{number % 5}"
        if what == "put":
            tier.put(entry(key, size))
        elif what == "vary":
            tier.put(entry(key, size, ("x",), str(number), float(size)))
        elif what == "find":
            ask(tier, key, size)
        elif what == "remove":
            tier.remove_where(lambda each, key=key: each.key == key)
        elif size < 100:
            tier.clear()
        held = list(tier)
        traces = tier.used - sum(each.size for each in held)
        assert tier.used <= tier.limit
        assert 0 <= traces <= 120 * (len(held) + 200)
        assert len(tier) == len(held)
        reachable = {id(each) for key in tier.index for each in tier.all_of(key)}
        assert reachable == {id(each) for each in held}, "what is counted can be found, and the other way round"
        assert all(each.queue for each in held)


def test_it_holds_on_to_more_than_an_ideal_lru_of_its_size():
    """The bench does it with a gigabyte; this is the same in small."""
    chance, limit, count = random.Random(7), 2_000_000, 40_000
    sizes = [chance.choice((500, 2000, 8000)) for _ in range(8_000)]
    weights = list(itertools.accumulate(1 / (rank + 1) ** 0.9 for rank in range(len(sizes))))
    asked = chance.choices(range(len(sizes)), cum_weights=weights, k=count)
    lru: OrderedDict[int, None] = OrderedDict()
    used = lru_hits = 0
    for number in asked:
        if number in lru:
            lru.move_to_end(number)
            lru_hits += 1
            continue
        lru[number] = None
        used += sizes[number]
        while used > limit:
            used -= sizes[lru.popitem(last=False)[0]]
    tier = MemoryTier(limit, 32)
    hits = sum(ask(tier, f"http://bench.test/{number}", sizes[number]) for number in asked)
    assert hits > lru_hits, (hits, lru_hits)


def test_a_scan_of_things_asked_for_once_does_not_empty_it():
    tier = MemoryTier(200_000, 32)
    for _ in range(4):
        for number in range(20):
            ask(tier, f"hot{number}", 1000)
    for number in range(5_000):
        ask(tier, f"cold{number}", 1000)
    assert sum(ask(tier, f"hot{number}", 1000) for number in range(20)) >= 18


def test_renewing_one_answer_again_and_again_takes_no_more_room():
    tier = MemoryTier(1_000_000, 32)
    for _ in range(1000):
        tier.put(entry("k", 1000))
    assert (len(tier), tier.used) == (1, size_of(entry("k", 1000)))


def test_what_is_larger_than_half_of_it_is_not_kept():
    tier = MemoryTier(100_000, 32)
    tier.put(entry("k", 100))
    assert not tier.put(entry("k", 60_000))
    assert tier.find("k", CIMultiDict()) is None, "and the one before does not stand for it"


def test_variants_are_bounded_and_the_oldest_goes():
    tier = MemoryTier(1_000_000, 3)
    for number in range(5):
        tier.put(entry("k", 10, ("x",), f"={number}", float(number)))
    kept = [number for number in range(5) if tier.find("k", CIMultiDict(x=str(number))) is not None]
    assert kept == [2, 3, 4]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_that_suit_the_latest_is_used(order: tuple[int, int]):
    tier = MemoryTier(1_000_000, 8)
    made = [entry("k", 10, ("x",), "=1", 1.0), entry("k", 20, ("y",), "=1", 2.0)]
    for number in order:
        tier.put(made[number])
    assert tier.find("k", CIMultiDict(x="1", y="1")) is made[1]
    assert tier.find("k", CIMultiDict(x="1", y="2")) is made[0]


def test_an_answer_that_does_not_vary_any_more_takes_the_place_of_all():
    tier = MemoryTier(1_000_000, 8)
    tier.put(entry("k", 10, ("x",), "=1"))
    tier.put(entry("k", 10, ("x",), "=2"))
    tier.put(entry("k", 30))
    assert (len(tier), len(tier.find("k", CIMultiDict()).body)) == (1, 30)


def test_a_smaller_limit_takes_hold_at_once():
    tier = MemoryTier(100_000, 8)
    for number in range(50):
        tier.put(entry(f"k{number}", 1000))
    tier.resize(20_000, 8)
    assert tier.used <= 20_000
