"""One Redis: shared round trips, one deadline, one breaker. Real servers are killed, paused, filled and slowed down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import uvloop

from gateway.errors import StoreUnavailable
from gateway.services.store import Arg, KeyPrefix, Script, State, Table
from gateway.services.store.address import parse_store_url
from gateway.services.store.redis import RedisStore

KEYS = KeyPrefix("test", "link")
KEY = KEYS.key("a")


def _count(table: Table, keys: Sequence[bytes], args: Sequence[Arg], _now: int) -> int:
    raise AssertionError("these tests are about the other side")


COUNT = Script("count", lua="return redis.call('INCR', KEYS[1])", local=_count)


async def refused(store: RedisStore) -> str:
    """The reason why a call fails."""
    with pytest.raises(StoreUnavailable) as caught:
        await store.run(COUNT, (KEY,))
    return caught.value.reason


# --- batches ---------------------------------------------------------------------------------------------------------


async def test_calls_of_one_turn_share_a_round_trip(redis_store: RedisStore):
    before = redis_store.counters.round_trips
    replies = await asyncio.gather(*[redis_store.run(COUNT, (KEY,)) for _ in range(50)])
    assert replies == list(range(1, 51))
    assert redis_store.counters.round_trips == before + 1


async def test_plain_calls_and_scripts_share_it_too(redis_store: RedisStore):
    replies = await asyncio.gather(
        redis_store.set(KEY, b"7"), redis_store.run(COUNT, (KEY,)), redis_store.get(KEY), redis_store.incr(KEY)
    )
    assert replies == [True, 8, b"8", 9]
    assert redis_store.counters.round_trips == 1


async def test_calls_made_while_a_batch_is_under_way_share_the_next(proxy: Any, open_redis: Any):
    store = await open_redis(proxy.url, timeout=10.0)
    proxy.delay = 0.1
    first = asyncio.ensure_future(store.get(KEY))
    await asyncio.sleep(0.02)
    later = []
    for _ in range(5):
        later.append(asyncio.ensure_future(store.run(COUNT, (KEY,))))
        await asyncio.sleep(0.002)
    await asyncio.gather(first, *later)
    assert store.counters.round_trips == 2


async def test_sixty_four_busy_clients_need_few_round_trips(redis_store: RedisStore):
    async def client(number: int) -> None:
        for _ in range(50):
            await redis_store.run(COUNT, (KEYS.key(f"client{number}"),))

    await asyncio.gather(*[client(number) for number in range(64)])
    counters = redis_store.counters
    assert counters.calls == 64 * 50
    assert counters.round_trips <= 0.2 * counters.calls
    assert counters.script_loads == 1


async def test_more_calls_than_fit_a_batch_all_get_their_own_answer(redis_store: RedisStore):
    replies = await asyncio.gather(*[redis_store.incr(KEYS.key(str(n)), n) for n in range(1, 1001)])
    assert replies == list(range(1, 1001))
    assert redis_store.counters.round_trips == 4


async def test_a_slow_redis_gets_another_connection_before_the_deadline(proxy: Any, open_redis: Any):
    store = await open_redis(proxy.url, timeout=2.0)
    await store.get(KEY)
    opened = store.counters.connects
    proxy.delay = 1.2
    first = asyncio.ensure_future(store.get(KEY))
    await asyncio.sleep(0.1)
    # Behind the first it would take 1.1 + 1.2 seconds, which is too long.
    assert await asyncio.gather(first, store.get(KEY)) == [None, None]
    assert store.counters.timeouts == 0
    assert store.counters.connects == opened + 1


async def test_a_caller_that_leaves_spoils_nothing_for_the_others(redis_store: RedisStore):
    calls = [asyncio.ensure_future(redis_store.run(COUNT, (KEY,))) for _ in range(10)]
    await asyncio.sleep(0)
    calls[3].cancel()
    replies = await asyncio.gather(*calls, return_exceptions=True)
    assert [reply for reply in replies if not isinstance(reply, BaseException)] == [1, 2, 3, 5, 6, 7, 8, 9, 10]


async def test_two_calls_that_are_wrong_do_not_spoil_their_batch(redis_store: RedisStore):
    await redis_store.set(KEYS.key("word"), b"word")
    replies = await asyncio.gather(
        redis_store.incr(KEY), redis_store.incr(KEYS.key("word")), redis_store.incr(KEY), return_exceptions=True
    )
    assert replies[0::2] == [1, 2]
    assert isinstance(replies[1], Exception)


# --- scripts ---------------------------------------------------------------------------------------------------------


async def test_a_forgotten_script_is_loaded_again(redis_store: RedisStore, redis_server: Any):
    assert await redis_store.run(COUNT, (KEY,)) == 1
    redis_server.command("SCRIPT", "FLUSH")
    assert await asyncio.gather(*[redis_store.run(COUNT, (KEY,)) for _ in range(3)]) == [2, 3, 4]
    assert redis_store.counters.script_loads == 2
    assert await redis_store.run(COUNT, (KEY,)) == 5


async def test_a_restart_between_calls_costs_no_call(start_redis: Callable[..., Any], open_redis: Any):
    server = start_redis()
    store = await open_redis(server.url)
    assert await store.run(COUNT, (KEY,)) == 1
    server.restart()
    await asyncio.sleep(0.05)  # for the event loop to see the end of the connection
    assert await store.run(COUNT, (KEY,)) == 1
    assert store.counters.errors == 0


# --- outages ---------------------------------------------------------------------------------------------------------


async def test_a_paused_redis_costs_one_timeout_and_comes_back(
    start_redis: Callable[..., Any], open_redis: Any, is_up: Any
):
    server = start_redis()
    store = await open_redis(server.url, timeout=0.2)
    assert await store.run(COUNT, (KEY,)) == 1
    server.pause()
    calls = [asyncio.ensure_future(store.run(COUNT, (KEY,))) for _ in range(20)]
    failures = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(failure, StoreUnavailable) for failure in failures)
    assert store.counters.timeouts == 1
    sent = store.counters.round_trips
    for _ in range(1000):
        # Fails before anything is awaited: nobody waits, and nothing is sent.
        with pytest.raises(StoreUnavailable):
            store.run(COUNT, (KEY,))
    assert (store.counters.timeouts, store.counters.refused, store.counters.round_trips) == (1, 1000, sent)
    assert store.state is State.DEGRADED
    assert "no answer within 200 ms" in failures[0].reason  # type: ignore[union-attr]
    server.resume()
    await is_up(store)
    # The twenty that were sent ran when the server woke up, once each; the thousand were never sent.
    assert await store.run(COUNT, (KEY,)) == 22
    assert store.counters.outages == 1


async def test_a_killed_redis_fails_what_is_under_way_and_comes_back(
    start_redis: Callable[..., Any], open_redis: Any, is_up: Any
):
    server = start_redis()
    store = await open_redis(server.url, timeout=5.0)
    stop = False
    served, failed = 0, 0

    async def client() -> None:
        nonlocal served, failed
        while not stop:
            try:
                await store.run(COUNT, (KEY,))
                served += 1
            except StoreUnavailable:
                failed += 1
                await asyncio.sleep(0.001)

    clients = [asyncio.ensure_future(client()) for _ in range(16)]
    await asyncio.sleep(0.2)
    server.kill()
    while not failed:
        await asyncio.sleep(0.01)
    assert store.state is State.DEGRADED
    assert store.counters.timeouts == 0
    server.start()
    await is_up(store)
    before = served
    while served < before + 100:
        await asyncio.sleep(0.01)
    stop = True
    await asyncio.gather(*clients)


async def test_a_store_may_be_opened_before_its_redis(start_redis: Callable[..., Any], open_redis: Any, is_up: Any):
    server = start_redis()
    server.kill()
    store = await open_redis(server.url)
    assert store.state is State.DEGRADED
    assert "connect" in await refused(store)
    assert "connect" in store.problem
    with pytest.raises(StoreUnavailable):
        await store.ping()
    server.start()
    await is_up(store)
    assert await store.run(COUNT, (KEY,)) == 1
    assert store.problem == ""


async def test_a_redis_slower_than_the_deadline_is_an_outage_until_it_is_fast_again(
    proxy: Any, open_redis: Any, is_up: Any, eventually: Any
):
    store = await open_redis(proxy.url, timeout=0.15)
    assert await store.run(COUNT, (KEY,)) == 1
    proxy.delay = 0.6
    assert "no answer within 150 ms" in await refused(store)
    # Probes that are answered too late do not let requests in again.
    tried = proxy.connections
    await eventually(lambda: proxy.connections > tried + 1, "it is probed twice")
    assert store.state is State.DEGRADED
    assert store.counters.timeouts == 1
    proxy.delay = 0.0
    await is_up(store)
    assert await store.run(COUNT, (KEY,)) == 3


async def test_a_reset_connection_is_replaced(proxy: Any, open_redis: Any, is_up: Any):
    store = await open_redis(proxy.url)
    proxy.delay = 0.2
    call = asyncio.ensure_future(store.run(COUNT, (KEY,)))
    await asyncio.sleep(0.05)
    proxy.cut()
    with pytest.raises(StoreUnavailable):
        await call
    proxy.delay = 0.0
    await is_up(store)
    assert await store.run(COUNT, (KEY,)) >= 1


async def test_our_own_standstill_is_not_taken_for_an_outage(
    redis_store: RedisStore, open_redis: Any, redis_server: Any
):

    store = await open_redis(redis_server.url, timeout=0.05)
    for _ in range(5):
        call = asyncio.ensure_future(store.run(COUNT, (KEY,)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(0.1)  # the answer has long been there when the loop goes on
        await call
    assert store.counters.timeouts == 0


async def test_a_full_redis_takes_no_writes_and_still_reads(
    start_redis: Callable[..., Any], open_redis: Any, is_up: Any
):
    server = start_redis("--maxmemory-policy", "noeviction")
    store = await open_redis(server.url)
    await store.set(KEY, b"1")
    server.command("CONFIG", "SET", "maxmemory", "1")
    assert "OOM" in await refused(store) or "maxmemory" in await refused(store)
    with pytest.raises(StoreUnavailable):
        await store.set(KEY, b"2")
    assert await store.get(KEY) == b"1"
    assert store.state is State.DEGRADED
    with pytest.raises(StoreUnavailable):
        await store.ping()
    assert store.counters.outages == 0
    server.command("CONFIG", "SET", "maxmemory", "0")
    await is_up(store)
    assert await store.run(COUNT, (KEY,)) == 2


async def test_a_replica_is_no_store(start_redis: Callable[..., Any], open_redis: Any, is_up: Any):
    server, master = start_redis(), start_redis()
    store = await open_redis(server.url)
    server.command("REPLICAOF", "127.0.0.1", master.port)
    await refused(store)
    assert store.state is State.DEGRADED
    server.command("REPLICAOF", "NO", "ONE")
    await is_up(store)
    assert await store.run(COUNT, (KEY,)) == 1


async def test_a_busy_redis_is_away_until_its_script_ends(start_redis: Callable[..., Any], open_redis: Any, is_up: Any):
    server = start_redis("--lua-time-limit", "50")
    store = await open_redis(server.url, timeout=0.5)
    blocker = await open_redis(server.url, timeout=20.0)
    forever = Script("forever", lua="while true do end", local=_count)
    endless = asyncio.ensure_future(blocker.run(forever, (KEY,)))
    await asyncio.sleep(0.2)
    await refused(store)
    assert store.state is State.DEGRADED
    server.command("SCRIPT", "KILL")
    with pytest.raises(Exception, match=r"."):
        await endless
    await is_up(store)


async def test_a_wrong_password_is_an_outage_that_says_so_and_shows_no_secret(
    start_redis: Callable[..., Any], open_redis: Any
):
    server = start_redis()
    server.command("CONFIG", "SET", "requirepass", "hunter2")
    host, port = server.address
    store = await open_redis(f"redis://:wrong-secret@{host}:{port}")
    reason = await refused(store)
    assert "password" in reason.lower() or "auth" in reason.lower()
    assert "secret" not in reason
    right = await open_redis(f"redis://:hunter2@{host}:{port}/3")
    assert await right.run(COUNT, (KEY,)) == 1


# --- ways to Redis and event loops -----------------------------------------------------------------------------------


async def test_over_a_unix_socket(start_redis: Callable[..., Any], open_redis: Any, tmp_path: Any):
    path = tmp_path / "r.sock"
    start_redis("--unixsocket", str(path))
    store = await open_redis(f"unix://{path}?db=1")
    assert await store.run(COUNT, (KEY,)) == 1


@pytest.mark.parametrize(
    "loop_factory",
    [pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(uvloop.new_event_loop, id="uvloop")],
)
def test_on_either_event_loop(loop_factory: Any, start_redis: Callable[..., Any]):
    server = start_redis()

    async def scenario() -> None:
        store = RedisStore(parse_store_url(server.url), timeout=0.2)
        await store.open()
        heard: list[bytes] = []
        ready = asyncio.Event()
        store.subscribe(b"sg:x", heard.append, ready.set)
        await ready.wait()
        assert await asyncio.gather(*[store.run(COUNT, (KEY,)) for _ in range(5)]) == [1, 2, 3, 4, 5]
        await store.publish(b"sg:x", b"m")
        server.pause()
        failures = await asyncio.gather(*[store.run(COUNT, (KEY,)) for _ in range(5)], return_exceptions=True)
        assert all(isinstance(failure, StoreUnavailable) for failure in failures)
        assert store.counters.timeouts == 1
        server.resume()
        while store.state is not State.UP or not heard:
            await asyncio.sleep(0.01)
        assert await store.run(COUNT, (KEY,)) == 11
        await store.close()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(asyncio.wait_for(scenario(), 30))


async def test_closing_fails_what_waits_and_leaves_nothing_behind(proxy: Any, open_redis: Any):
    store = await open_redis(proxy.url, timeout=30.0)
    proxy.delay = 5.0
    calls = [asyncio.ensure_future(store.get(KEY)) for _ in range(3)]
    await asyncio.sleep(0.05)
    waiting = asyncio.ensure_future(store.get(KEY))
    await asyncio.sleep(0)
    before = asyncio.all_tasks()
    await store.close()
    failures = await asyncio.gather(*calls, waiting, return_exceptions=True)
    assert [type(failure) for failure in failures] == [StoreUnavailable] * 4
    assert len(asyncio.all_tasks()) < len(before)
