"""State in this process, where it differs from Redis."""

from __future__ import annotations

import time

from gateway.services.store import KeyPrefix, MemoryStore, Script
from gateway.services.store.memory import wall_micros

KEYS = KeyPrefix("test", "memory")
SHOW = Script(
    "show",
    lua="return ARGV",
    local=lambda _table, _keys, args, _now: list(args),
    scale=lambda args, share: [max(1, int(int(args[0]) * share))],
)


async def test_it_holds_as_many_keys_as_it_may():
    store = MemoryStore(5)
    for number in range(20):
        await store.set(KEYS.key(str(number)), b"x")
    assert len(store.table) == 5
    assert store.table.evicted == 15


async def test_one_of_several_copies_gives_away_its_share():
    store = MemoryStore(share=0.25)
    assert store.approximate
    assert await store.run(SHOW, (), (100,)) == [25]
    store.share = 0.5
    assert await store.run(SHOW, (), (100,)) == [50]
    store.share = 1.0
    assert not store.approximate
    assert await store.run(SHOW, (), (100,)) == [100]


async def test_its_clock_is_the_time_in_microseconds():
    assert abs(wall_micros() / 1e6 - time.time()) < 60


async def test_it_counts_calls():
    store = MemoryStore()
    await store.incr(KEYS.key("a"))
    await store.get(KEYS.key("a"))
    assert store.counters.calls == 2
    assert store.counters.round_trips == 0
