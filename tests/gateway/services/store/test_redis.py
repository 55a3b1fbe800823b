"""What several processes see of one Redis."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.services.store import KeyPrefix, Scope, Script, State, open_store, parse_store_url
from gateway.services.store.redis import RedisStore

KEYS = KeyPrefix("test", "redis")
TAKE = Script(
    "take",
    lua="""
if tonumber(redis.call('GET', KEYS[1]) or 0) >= tonumber(ARGV[1]) then return 0 end
redis.call('INCR', KEYS[1])
return 1
""",
    local=lambda *_: 0,
)


async def test_eight_replicas_with_eight_connections_each_take_exactly_the_limit(redis_server: Any, open_redis: Any):
    replicas = [await open_redis(redis_server.url, timeout=5.0) for _ in range(8)]

    async def client(store: RedisStore) -> int:
        return sum([await store.run(TAKE, (KEYS.key("a"),), (1000,)) for _ in range(25)])

    taken = await asyncio.gather(*[client(store) for store in replicas for _ in range(8)])
    assert sum(taken) == 1000
    assert sum(store.counters.calls for store in replicas) == 1600


async def test_exactly_the_limit_over_a_cluster_too(cluster: Any, open_redis: Any):
    replicas = [await open_redis(cluster.url, timeout=5.0) for _ in range(2)]

    async def client(store: RedisStore, number: int) -> int:
        return sum([await store.run(TAKE, (KEYS.key(str(number % 6)),), (50,)) for _ in range(20)])

    taken = await asyncio.gather(*[client(store, number) for store in replicas for number in range(24)])
    assert sum(taken) == 6 * 50


async def test_what_a_collector_and_a_health_page_read(redis_server: Any):
    store = await open_store(redis_server.url, timeout=1.0)
    assert isinstance(store, RedisStore)
    assert (store.scope, store.state, store.approximate, store.problem) == (Scope.FLEET, State.UP, False, "")
    await store.incr(KEYS.key("a"))
    assert await store.ping() > 0
    counters = store.counters
    assert (counters.calls, counters.round_trips, counters.errors, counters.timeouts) == (1, 2, 0, 0)
    assert str(store.address) == f"redis://127.0.0.1:{redis_server.port}"
    await store.close()


async def test_a_store_that_was_never_opened_closes():
    store = RedisStore(parse_store_url("redis://127.0.0.1:1"))
    await store.close()
    await store.close()


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1", "redis+cluster://127.0.0.1:1", "redis+sentinel://127.0.0.1:1/m"]
)
async def test_a_store_closes_while_its_redis_is_away(url: str):
    store = await open_store(url)
    assert store.state is State.DEGRADED
    store.subscribe(b"sg:x", lambda _message: None)
    await asyncio.sleep(0.02)
    await store.close()
    assert len(asyncio.all_tasks()) == 1


async def test_all_keys_that_begin_alike_are_removed_from_every_server(cluster: Any, open_redis: Any):
    store = await open_redis(cluster.url, timeout=5.0)
    keys = KeyPrefix("test", "everywhere")
    for number in range(300):
        await store.set(keys.key(f"alice.{number}"), b"1", ttl=60)
    assert await store.clear(keys.beginning("alice.")) == 300
