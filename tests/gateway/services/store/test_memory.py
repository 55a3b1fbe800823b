"""State in this process, where it differs from Redis."""

from __future__ import annotations

import subprocess
import sys
import time

from gateway.services.store import KeyPrefix, MemoryStore, Script, open_store
from gateway.services.store.memory import DEFAULT_KEYS, wall_micros

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


async def test_the_url_says_how_many_keys_and_the_workers_how_much_of_a_limit():
    store = await open_store("memory://?keys=7", workers=4)
    assert isinstance(store, MemoryStore)
    assert (store.table.capacity, store.share) == (7, 0.25)
    default = await open_store("memory://")
    assert isinstance(default, MemoryStore)
    assert (default.table.capacity, default.share) == (DEFAULT_KEYS, 1.0)


def test_redis_library_is_not_loaded_for_it():
    code = (
        "import asyncio, sys\n"
        "from gateway.services.store import open_store\n"
        "asyncio.run(open_store('memory://'))\n"
        "sys.exit(any(name.partition('.')[0] in ('redis', 'hiredis') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
