"""What every store does, in memory and in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.errors import StoreUnavailable
from gateway.services.store import Arg, KeyPrefix, Scope, Script, State, Store, Table, channel

KEYS = KeyPrefix("test", "contract")
KEY = KEYS.key("a")


async def test_a_value_is_set_read_and_removed(store: Store):
    assert await store.get(KEY) is None
    assert await store.set(KEY, b"\x00\r\n") is True
    assert await store.get(KEY) == b"\x00\r\n"
    assert await store.delete(KEY) == 1
    assert await store.get(KEY) is None


async def test_a_value_is_set_once_if_absent(store: Store):
    assert await store.set(KEY, b"first", if_absent=True, ttl=60) is True
    assert await store.set(KEY, b"second", if_absent=True, ttl=60) is False
    assert await store.get(KEY) == b"first"


async def test_of_many_that_set_if_absent_one_wins(store: Store):
    results = await asyncio.gather(*[store.set(KEY, b"%d" % n, if_absent=True) for n in range(50)])
    assert sum(results) == 1


async def test_a_value_ends_with_its_time(store: Store):
    await store.set(KEY, b"x", ttl=0.02)
    await asyncio.sleep(0.08)
    assert await store.get(KEY) is None
    assert await store.set(KEY, b"y", if_absent=True) is True


async def test_fields_of_a_subject_are_removed_together(store: Store):
    await store.set(KEYS.key("a", "x"), b"1")
    await store.set(KEYS.key("a", "y"), b"2")
    assert await store.delete(KEYS.key("a", "x"), KEYS.key("a", "y"), KEYS.key("a", "z")) == 2


async def test_a_counter_counts_and_is_read_like_a_value(store: Store):
    assert [await store.incr(KEY), await store.incr(KEY, 4), await store.incr(KEY, -2)] == [1, 5, 3]
    assert await store.get(KEY) == b"3"


async def test_a_counter_goes_on_from_a_value_that_was_set(store: Store):
    await store.set(KEY, b"41")
    assert await store.incr(KEY) == 42


async def test_a_counters_time_runs_from_its_first_call(store: Store):
    await store.incr(KEY, ttl=0.15)
    await asyncio.sleep(0.1)
    await store.incr(KEY, ttl=0.15)
    await asyncio.sleep(0.1)
    assert await store.incr(KEY, ttl=60) == 1


@pytest.mark.parametrize("ttl", [pytest.param(0, id="zero"), pytest.param(-1.0, id="negative")])
async def test_a_time_to_live_is_above_zero(store: Store, ttl: float):
    with pytest.raises(ValueError, match="above zero"):
        await store.set(KEY, b"x", ttl=ttl)
    with pytest.raises(ValueError, match="above zero"):
        await store.incr(KEY, ttl=ttl)


def _take(table: Table, keys: Sequence[bytes], args: Sequence[Arg], _now: int) -> int:
    taken = table.get(keys[0]) or 0
    if taken >= int(args[0]):
        return 0
    table.put(keys[0], taken + 1)
    return 1


TAKE = Script(
    "take",
    lua="""
if tonumber(redis.call('GET', KEYS[1]) or 0) >= tonumber(ARGV[1]) then return 0 end
redis.call('INCR', KEYS[1])
return 1
""",
    local=_take,
)


async def test_eight_tasks_take_exactly_the_limit(store: Store):
    async def worker() -> int:
        return sum([await store.run(TAKE, (KEY,), (500,)) for _ in range(150)])

    assert sum(await asyncio.gather(*[worker() for _ in range(8)])) == 500


async def test_messages_reach_every_subscriber_of_their_channel(store: Store, eventually):
    heard: list[tuple[str, bytes]] = []
    ready: list[str] = []

    def subscribe(name: str, to: bytes):
        return store.subscribe(to, lambda message: heard.append((name, message)), lambda: ready.append(name))

    first, second = subscribe("first", channel("purge")), subscribe("second", channel("purge"))
    other = subscribe("other", channel("keys"))
    if store.scope is Scope.FLEET:
        await eventually(lambda: {"first", "second", "other"} <= set(ready), "all are subscribed")
    await store.publish(channel("purge"), b"/a")
    await store.publish(channel("keys"), b"k")
    await eventually(lambda: len(heard) == 3, "all messages arrive")
    assert sorted(heard) == [("first", b"/a"), ("other", b"k"), ("second", b"/a")]
    second.close()
    second.close()
    await store.publish(channel("purge"), b"/b")
    await store.publish(channel("purge"), b"/c")
    await eventually(lambda: len(heard) == 5, "the first is still subscribed")
    assert heard[3:] == [("first", b"/b"), ("first", b"/c")]
    first.close()
    other.close()


async def test_a_subscriber_that_fails_harms_nobody(store: Store, eventually):
    heard: list[bytes] = []
    ready: list[int] = []
    problems: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context["message"]))
    store.subscribe(channel("x"), lambda _message: 1 / 0)
    store.subscribe(channel("x"), heard.append, lambda: ready.append(1))
    if store.scope is Scope.FLEET:
        await eventually(lambda: ready, "it is subscribed")
    await store.publish(channel("x"), b"m")
    await eventually(lambda: heard == [b"m"], "the message arrives")
    assert problems == ["a store subscriber failed"]


async def test_a_ping_takes_some_time(store: Store):
    assert 0 <= await store.ping() < 60


async def test_a_closed_store_is_away(store: Store):
    assert store.state is State.UP
    await store.close()
    await store.close()
    assert store.state is State.DEGRADED
    with pytest.raises(StoreUnavailable):
        await store.get(KEY)
    with pytest.raises(StoreUnavailable):
        await store.ping()


async def test_all_keys_that_begin_alike_are_removed(store: Store):
    keys = KeyPrefix("test", "r*[e]?\\x")
    for number in range(2500):
        await store.set(keys.key(f"alice.{number}"), b"1", ttl=600)
    others = [keys.key("alicia.1"), KEYS.key("alice.1"), KeyPrefix("test", "rue\\x").key("alice.1")]
    for key in others:
        await store.set(key, b"1", ttl=600)
    assert await store.clear(keys.beginning("alice.")) == 2500
    assert await store.clear(keys.beginning("alice.")) == 0
    assert [await store.get(key) for key in others] == [b"1"] * 3
    assert await store.clear(keys.beginning()) == 1
