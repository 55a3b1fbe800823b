"""The step that keeps all limits of a subject in one entry decides as the one with a key for each."""

import random

import pytest

from gateway.services.store import KeyPrefix, MemoryStore, Table
from plugins.rate_limit.algorithm import DECIDE, FIXED, SLIDING, gcra_numbers
from plugins.rate_limit.here import DECIDE_HERE, Plan, plan_of

S = 1_000_000
START = 28_333_333 * 60 * S
PREFIX = KeyPrefix("test", "here")


class Keeping(Table):
    """Nothing ends by itself. Ends are a matter of memory only, except where a clock is set back behind one."""

    def put(self, key, value, expires=0):
        super().put(key, value, 0)


class Both:
    """Runs both, with fields by which changed limits are known."""

    def __init__(self, share=1.0):
        self.now = START
        self.apart = MemoryStore(share=share, now=lambda: self.now)
        self.together = MemoryStore(share=share, now=lambda: self.now)
        self.apart.table, self.together.table = Keeping(100), Keeping(100)

    def __call__(self, at, limits, cost=1):
        self.now = START + round(at * S)
        args = (cost, *(number for numbers in limits.values() for number in numbers))
        keys = [PREFIX.key("x", field) for field in limits]
        here = self.together.run_now(DECIDE_HERE, (PREFIX.key("x"),), (plan_of(list(limits), args),))
        there = self.apart.run_now(DECIDE, keys, args)
        assert here == there, (at, limits, cost)
        return here


def drawn(rng, kinds):
    made = {}
    for name, kind in kinds.items():
        if kind == "bucket":
            made[name] = gcra_numbers(rng.randrange(1, 500), rng.randrange(7 * S, 400 * S), rng.randrange(20, 400))
        else:
            made[name] = (kind, (40 if kind == FIXED else 70) * S, rng.randrange(20, 60), 0)
    return made


@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize("seed", range(8))
def test_whatever_comes(seed, share):
    """Odd rates, costs, steps of time, some of them back, and reloads that replace limits."""
    rng = random.Random(seed)
    kinds = {"a": "bucket", "b": "bucket", "c": FIXED, "d": SLIDING}
    if seed % 2:
        kinds = {"a": "bucket", "b": "bucket", "c": "bucket"}
    both, at, limits = Both(share), 0.0, drawn(rng, kinds)
    refused = 0
    for step in range(400):
        if step % 60 == 59:
            # Each stays, changes under its name, or makes way for another. Names are not taken up again: a removed
            # limit's own key would live on, here it is gone with the entry.
            limits = {
                name if chance < 0.6 else f"{name}'": numbers
                if chance < 0.3
                else drawn(rng, {name: kinds[name[0]]})[name]
                for name, numbers in limits.items()
                for chance in [rng.random()]
            }
        at += rng.choice([0, 0, 0.000001, 0.7, 3.3, 17.17, 41.5, -2.25])
        refused += not both(at, limits, rng.choice([1, 1, 2, 7, 20]))[0]
    assert refused, "it was no easy ride"


def test_an_entry_is_one_key_however_many_limits():
    store = MemoryStore(now=lambda: START)
    limits = [gcra_numbers(10, 60 * S, 10), gcra_numbers(100, 3600 * S, 100), (FIXED, 60 * S, 5, 0)]
    args = (1, *(number for numbers in limits for number in numbers))
    for _ in range(3):
        store.run_now(DECIDE_HERE, (b"k",), (plan_of("abc", args),))
    assert len(store.table) == 1
    assert store.table.expires(b"k") == START + 108 * S, "it lives as long as the longest of them says something"


def test_plans_of_other_costs_know_each_other_s_entries():
    one, two = plan_of("a", (1, *gcra_numbers(10, S, 10))), plan_of("a", (2, *gcra_numbers(10, S, 10)))
    assert isinstance(one, Plan)
    assert one is not two
    assert one.limits is two.limits
