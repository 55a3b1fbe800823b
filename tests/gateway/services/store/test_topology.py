"""A cluster of three masters, and a master that a sentinel watches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from redis.crc import key_slot

from gateway.errors import StoreUnavailable
from gateway.services.store import KeyPrefix, Lock, Script, State
from gateway.services.store.redis import RedisStore

KEYS = KeyPrefix("test", "topology")


def _nowhere(*_: Any) -> int:
    raise AssertionError("these tests are about the other side")


COUNT = Script("count", lua="return redis.call('INCR', KEYS[1])", local=_nowhere)
BOTH = Script("both", lua="return redis.call('INCR', KEYS[1]) + redis.call('INCRBY', KEYS[2], ARGV[1])", local=_nowhere)


def keys_on(cluster: Any, index: int, count: int = 1) -> list[bytes]:
    """Keys of ours whose slots the master at ``index`` was given."""
    found: list[bytes] = []
    number = 0
    while len(found) < count:
        key = KEYS.key(str(number))
        if 16384 * index // 3 <= key_slot(key) < 16384 * (index + 1) // 3:
            found.append(key)
        number += 1
    return found


# --- cluster ---------------------------------------------------------------------------------------------------------


async def test_scripts_over_many_keys_go_to_their_servers_in_one_round_trip_each(cluster: Any, open_redis: Any):
    store: RedisStore = await open_redis(cluster.url)
    keys = [KEYS.key(str(number)) for number in range(300)]
    assert await asyncio.gather(*[store.run(COUNT, (key,)) for key in keys]) == [1] * 300
    assert store.counters.round_trips == 3
    assert store.counters.redirects == 0
    for server in cluster.masters:
        assert server.command("DBSIZE") > 50


async def test_one_seed_is_enough(cluster: Any, open_redis: Any):
    store = await open_redis(f"redis+cluster://127.0.0.1:1,127.0.0.1:{cluster.masters[2].port}")
    for index in range(3):
        assert await store.run(COUNT, (keys_on(cluster, index)[0],)) == 1
    assert store.state is State.UP
    assert await store.ping() < 60


async def test_fields_of_one_subject_lie_together(cluster: Any, open_redis: Any):
    store = await open_redis(cluster.url)
    for number in range(50):
        pair = (KEYS.key(str(number), "hits"), KEYS.key(str(number), "bytes"))
        assert await store.run(BOTH, pair, (10,)) == 11
        assert await store.delete(*pair) == 2


async def test_keys_of_two_subjects_are_a_mistake(cluster: Any, open_redis: Any):
    store = await open_redis(cluster.url)
    pair = (KEYS.key("a"), KEYS.key("b"))
    with pytest.raises(ValueError, match="one subject"):
        store.run(BOTH, pair, (1,))
    with pytest.raises(ValueError, match="one subject"):
        store.delete(*pair)


async def test_plain_calls_locks_and_messages_work(cluster: Any, open_redis: Any, eventually: Any):
    stores = [await open_redis(cluster.url) for _ in range(2)]
    for number in range(20):
        assert await stores[0].set(KEYS.key(str(number)), b"x", ttl=60)
        assert await stores[1].get(KEYS.key(str(number))) == b"x"
    async with Lock(stores[0], KEYS.key("lock"), lease=30):
        assert not await Lock(stores[1], KEYS.key("lock"), lease=30).acquire()
    heard: list[bytes] = []
    ready: list[int] = []
    stores[0].subscribe(b"sg:purge", heard.append, lambda: ready.append(1))
    await eventually(lambda: ready, "it is subscribed")
    await stores[1].publish(b"sg:purge", b"m")
    await eventually(lambda: heard == [b"m"], "the message")


async def test_a_slot_that_moved_is_followed_without_losing_or_doubling_a_call(
    own_cluster: Any, open_redis: Any, eventually: Any
):
    store: RedisStore = await open_redis(own_cluster.url)
    key = keys_on(own_cluster, 0)[0]
    slot = key_slot(key)
    source, target = own_cluster.masters[:2]
    assert await store.run(COUNT, (key,)) == 1
    # Half moved: the source knows the key no more and asks us to ask the target (ASK).
    target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", own_cluster.id(source))
    source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", own_cluster.id(target))
    source.command("MIGRATE", target.host, target.port, key, 0, 5000)
    assert await asyncio.gather(*[store.run(COUNT, (key,)) for _ in range(5)]) == [2, 3, 4, 5, 6]
    asked = store.counters.redirects
    assert asked == 5
    # Moved: the first answer says so (MOVED), and the map is read again.
    for server in own_cluster.masters:
        server.command("CLUSTER", "SETSLOT", slot, "NODE", own_cluster.id(target))
    assert await store.run(COUNT, (key,)) == 7
    assert await store.run(COUNT, (key,)) == 8
    assert store.counters.redirects == asked + 1
    assert store.counters.errors == 0


async def test_a_master_that_dies_takes_only_its_own_keys_along(own_cluster: Any, open_redis: Any, is_up: Any):
    store: RedisStore = await open_redis(own_cluster.url, timeout=0.5)
    keys = [keys_on(own_cluster, index)[0] for index in range(3)]
    for key in keys:
        assert await store.run(COUNT, (key,)) == 1
    own_cluster.masters[1].pause()
    failures = await asyncio.gather(*[store.run(COUNT, (keys[1],)) for _ in range(10)], return_exceptions=True)
    assert all(isinstance(failure, StoreUnavailable) for failure in failures)
    assert store.counters.timeouts == 1
    for _ in range(100):
        with pytest.raises(StoreUnavailable):
            store.run(COUNT, (keys[1],))
    assert store.counters.timeouts == 1
    assert store.state is State.DEGRADED
    with pytest.raises(StoreUnavailable):
        await store.ping()
    assert [await store.run(COUNT, (key,)) for key in (keys[0], keys[2])] == [2, 2]
    own_cluster.masters[1].resume()
    await is_up(store)
    assert await store.run(COUNT, (keys[1],)) == 12


async def test_a_replica_that_takes_over_is_found(own_cluster: Any, open_redis: Any, is_up: Any, eventually: Any):
    replica = own_cluster.replica_of(own_cluster.masters[0])
    store: RedisStore = await open_redis(own_cluster.url)
    key = keys_on(own_cluster, 0)[0]
    assert await store.run(COUNT, (key,)) == 1
    await eventually(lambda: replica.command("DBSIZE") >= 1, "the replica has it")
    own_cluster.masters[0].kill()
    with pytest.raises(StoreUnavailable):
        await store.run(COUNT, (key,))
    await is_up(store)
    assert await store.run(COUNT, (key,)) == 2
    assert own_cluster.masters[0].port not in own_cluster.knows(replica)


async def test_a_cluster_may_start_after_its_store(own_cluster: Any, open_redis: Any, is_up: Any, eventually: Any):
    for server in own_cluster.masters:
        server.kill()
    store: RedisStore = await open_redis(own_cluster.url)
    assert store.state is State.DEGRADED
    with pytest.raises(StoreUnavailable):
        store.run(COUNT, (KEYS.key("a"),))
    with pytest.raises(StoreUnavailable):
        await store.ping()
    for server in own_cluster.masters:
        server.start()
    await is_up(store)
    for server in own_cluster.masters:  # each joins, doubts and joins again on its own time
        await eventually(lambda server=server: own_cluster.state(server) == "ok", "the cluster is ok")
    await is_up(store)
    assert await asyncio.gather(*[store.run(COUNT, (keys_on(own_cluster, index)[0],)) for index in range(3)]) == [1] * 3


# --- sentinel --------------------------------------------------------------------------------------------------------


async def test_the_master_that_the_sentinels_name_is_used_and_followed(
    watched: Any, open_redis: Any, is_up: Any, eventually: Any
):
    store: RedisStore = await open_redis(watched.url, timeout=0.5)
    key = KEYS.key("a")
    heard: list[bytes] = []
    begun: list[int] = []
    store.subscribe(b"sg:purge", heard.append, lambda: begun.append(1))
    await eventually(lambda: begun, "listening has begun")
    assert await store.run(COUNT, (key,)) == 1
    assert int(watched.master.command("GET", key)) == 1
    await eventually(lambda: watched.replica.command("GET", key), "the replica has it")
    watched.master.kill()
    with pytest.raises(StoreUnavailable):
        await store.run(COUNT, (key,))
    await is_up(store)
    assert await store.run(COUNT, (key,)) == 2
    assert int(watched.replica.command("GET", key)) == 2
    assert store.counters.timeouts == 0
    await eventually(lambda: len(begun) > 1, "listening has begun at the new master")
    await store.publish(b"sg:purge", b"m")
    await eventually(lambda: heard == [b"m"], "the message")


async def test_a_master_nobody_knows_is_an_outage_that_says_so(watched: Any, open_redis: Any):
    store = await open_redis(watched.url.replace("orders", "payments"))
    with pytest.raises(StoreUnavailable) as caught:
        store.run(COUNT, (KEYS.key("a"),))
    assert "no sentinel knows a master of that name" in caught.value.reason


async def test_without_any_sentinel_it_is_an_outage(open_redis: Callable[..., Any]):
    store = await open_redis("redis+sentinel://127.0.0.1:1/orders")
    assert store.state is State.DEGRADED
