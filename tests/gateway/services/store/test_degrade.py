"""The degradation ladder, over a Redis that is really paused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gateway.errors import StoreUnavailable
from gateway.services.store import (
    Arg,
    Degrading,
    KeyPrefix,
    MemoryStore,
    OnStoreError,
    Outcome,
    Script,
    Table,
)

KEY = KeyPrefix("test", "ladder").key("client")


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
    scale=lambda args, share: (max(1, int(int(args[0]) * share)),),
)


@pytest.fixture
async def paused(start_redis: Callable[..., Any], open_redis: Any) -> Any:
    """A store whose Redis stands still, and the server."""
    server = start_redis()
    store = await open_redis(server.url, timeout=0.2)
    server.pause()
    return store, server


async def test_while_redis_answers_nothing_is_degraded(redis_store: Any):
    for rung in OnStoreError:
        degrading = Degrading(redis_store, rung)
        assert await degrading.run(TAKE, (KEY,), (100,)) == Outcome(1, False)
        assert degrading.degraded == 0
        assert degrading.store is redis_store


async def test_local_goes_on_with_a_share_of_the_limit(paused: Any, is_up: Any):
    store, server = paused
    degrading = Degrading(store, OnStoreError.LOCAL, local=MemoryStore(share=0.25))
    outcomes = [await degrading.run(TAKE, (KEY,), (100,)) for _ in range(60)]
    assert sum(outcome.result for outcome in outcomes if outcome) == 25
    assert all(outcome and outcome.degraded for outcome in outcomes)
    assert degrading.degraded == 60
    assert store.counters.timeouts == 1
    server.resume()
    await is_up(store)
    # The one call that was sent ran when the server woke up; the 59 that never left us did not.
    server.command("INCRBY", KEY, 0)
    assert int(server.command("GET", KEY)) == 1
    assert await degrading.run(TAKE, (KEY,), (100,)) == Outcome(1, False)


async def test_allow_lets_the_request_pass(paused: Any):
    store, _ = paused
    degrading = Degrading(store, OnStoreError.ALLOW)
    assert [await degrading.run(TAKE, (KEY,), (1,)) for _ in range(5)] == [None] * 5
    assert degrading.degraded == 5
    assert store.counters.timeouts == 1


async def test_deny_refuses_it(paused: Any):
    store, _ = paused
    degrading = Degrading(store, OnStoreError.DENY)
    for _ in range(5):
        with pytest.raises(StoreUnavailable) as caught:
            await degrading.run(TAKE, (KEY,), (1,))
        assert (caught.value.status, caught.value.code) == (503, "store_unavailable")
        assert caught.value.detail == ""
    assert degrading.degraded == 5
    assert store.counters.timeouts == 1


async def test_other_calls_take_the_same_ladder(paused: Any):
    store, _ = paused
    local = Degrading(store, OnStoreError.LOCAL)
    assert await local.attempt(lambda store: store.set(KEY, b"x")) == Outcome(True, True)
    assert await local.attempt(lambda store: store.get(KEY)) == Outcome(b"x", True)
    assert await Degrading(store, OnStoreError.ALLOW).attempt(lambda store: store.get(KEY)) is None
    with pytest.raises(StoreUnavailable):
        await Degrading(store, OnStoreError.DENY).attempt(lambda store: store.get(KEY))


async def test_a_memory_store_never_degrades():
    degrading = Degrading(MemoryStore(share=0.5), OnStoreError.DENY)
    assert [await degrading.run(TAKE, (KEY,), (4,)) for _ in range(3)] == [(1, False), (1, False), (0, False)]
    assert await degrading.attempt(lambda store: store.get(KEY)) == Outcome(b"2", False)
    assert degrading.degraded == 0


async def test_a_scripts_own_fault_is_not_hidden(redis_store: Any):
    broken = Script("broken", lua="return redis.call('NOSUCH')", local=lambda *_: 0)
    with pytest.raises(Exception, match="Internal error"):
        await Degrading(redis_store, OnStoreError.LOCAL).run(broken, (KEY,))


async def test_many_replicas_never_let_through_more_than_the_limit_while_redis_comes_and_goes(
    start_redis: Callable[..., Any], open_redis: Any, is_up: Any
):
    server = start_redis()
    replicas = [await open_redis(server.url, timeout=0.5) for _ in range(4)]
    ladders = [Degrading(store, OnStoreError.LOCAL, local=MemoryStore(share=0.25)) for store in replicas]
    passed = {False: 0, True: 0}

    async def client(ladder: Degrading, requests: int) -> None:
        for _ in range(requests):
            outcome = await ladder.run(TAKE, (KEY,), (400,))
            assert outcome is not None
            passed[outcome.degraded] += outcome.result

    def everyone(requests: int) -> list[Any]:
        return [client(ladder, requests) for ladder in ladders for _ in range(4)]

    await asyncio.gather(*everyone(10))
    assert passed == {False: 160, True: 0}
    server.pause()
    await asyncio.gather(*everyone(100))
    assert passed == {False: 160, True: 400}
    assert [store.counters.timeouts for store in replicas] == [1] * 4
    server.resume()
    for store in replicas:
        await is_up(store)
    await asyncio.gather(*everyone(100))
    # 16 calls were under way when it paused; Redis ran them when it woke, though their requests were counted locally.
    assert passed[False] == 400 - 16
    assert passed[True] == 400
