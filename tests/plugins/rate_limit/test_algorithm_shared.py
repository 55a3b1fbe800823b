"""rate_limit with several gateways and a real Redis: exact, in a cluster too, and while it is killed and paused."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.services.store import State
from gateway.testing import answering, opened, ports, request
from plugins.rate_limit import RateLimit

ROOT = Path(__file__).resolve().parents[3]
HOURS = {"algorithm": "gcra", "period": "10h", "rate": 500}

CLIENT = """
import asyncio, json, sys
from gateway.services.store import open_store
from gateway.testing import opened, ports, request
from plugins.rate_limit import RateLimit

async def main(url, settings):
    store = await open_store(url, timeout=10)
    async with opened(RateLimit, settings, ports=ports(store=store)) as limiter:
        async def connection():
            return sum([(await limiter(request())).status == 200 for _ in range(40)])
        passed = sum(await asyncio.gather(*[connection() for _ in range(12)]))
    print(json.dumps([passed, store.counters.calls, store.counters.round_trips]))

asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
"""


async def hammer(limiters, each, connections=8):
    """How many of many requests pass, from all at once."""
    target = answering()

    async def connection(limiter):
        return sum([(await limiter(request(), target)).status == 200 for _ in range(each)])

    return sum(await asyncio.gather(*[connection(limiter) for limiter in limiters for _ in range(connections)]))


class Fleet:
    """Several gateways with one limit."""

    def __init__(self, settings, stores, **given):
        self.settings = settings
        self.ports = [ports(store=store, replicas=len(stores), **given) for store in stores]
        self._open = []

    async def __aenter__(self):
        self._open = [opened(RateLimit, self.settings, ports=each) for each in self.ports]
        return [await each.__aenter__() for each in self._open]

    async def __aexit__(self, *error):
        for each in self._open:
            await each.__aexit__(*error)


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param([HOURS], id="gcra"),
        pytest.param([{**HOURS, "algorithm": "fixed_window"}], id="fixed window"),
        pytest.param([{**HOURS, "algorithm": "sliding_window"}], id="sliding window"),
        pytest.param([{**HOURS, "rate": 600}, {**HOURS, "algorithm": "fixed_window"}], id="two at once"),
    ],
)
async def test_four_processes_with_twelve_connections_each_get_exactly_the_limit(redis_server, limits):
    run = [sys.executable, "-c", CLIENT, redis_server.url, json.dumps({"limits": limits})]
    processes = [subprocess.Popen(run, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(4)]
    try:
        said = [json.loads((await asyncio.to_thread(process.communicate, timeout=60))[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert sum(passed for passed, _, _ in said) == 500  # of 1920
    assert sum(calls for _, calls, _ in said) < 1920, "who was refused was not told again by Redis"


async def test_exactly_the_limit_in_a_cluster(cluster, open_redis):
    stores = [await open_redis(cluster.url, timeout=5.0) for _ in range(3)]
    settings = {
        "key": "header:X",
        "limits": [{**HOURS, "rate": 20}, {**HOURS, "rate": 30, "algorithm": "fixed_window"}],
    }
    async with Fleet(settings, stores) as limiters:

        async def connection(limiter, name):
            asked = [request(headers={"X": name}) for _ in range(10)]
            return sum([(await limiter(each)).status == 200 for each in asked])

        names = [f"key-{number}" for number in range(9)]
        for name in names:
            await asyncio.gather(*[connection(limiter, name) for limiter in limiters for _ in range(2)])
        passed = await asyncio.gather(*[connection(limiters[0], f"other-{n}") for n in range(9) for _ in range(3)])
    assert sum(passed) == 9 * 20
    holding = [server for server in cluster.masters if server.command("DBSIZE") > 1]
    assert len(holding) == 3, "keys lie in all masters"


async def test_who_is_refused_is_not_asked_for_again_until_the_reset(redis_store):
    given = ports(store=redis_store)
    async with opened(RateLimit, {"limits": [{"rate": 1, "period": "60s"}]}, ports=given) as limiter:
        await limiter()
        await limiter()
        calls = redis_store.counters.calls
        answers = [await limiter() for _ in range(50)]
        assert {each.status for each in answers} == {429}
        assert redis_store.counters.calls == calls
        assert given.value("rate_limit_remembered_refusals_total", "test", "rate_limit") == 50
        assert (
            given.value("rate_limit_violations_total", "test", "rate_limit", "client_ip", "1-per-1m", "enforce") == 51
        )
        given.clock.advance(30)
        assert (await limiter()).headers["Retry-After"] in ("29", "30")
        given.clock.advance(30)  # Redis' clock has not moved: it is asked, and says no
        assert (await limiter()).status == 429
        assert redis_store.counters.calls == calls + 1


async def test_long_subjects_are_told_apart_and_take_no_room(redis_store):
    settings = {"key": "header:X", "limits": [{"rate": 1, "period": "1h"}]}
    async with opened(RateLimit, settings, ports=ports(store=redis_store)) as limiter:
        names = ["x" * 8000 + str(number) for number in range(3)]
        statuses = [(await limiter(request(headers={"X": name}))).status for name in names * 2]
        assert statuses == [200] * 3 + [429] * 3
        kept = limiter.plugin._everybody.refusals._by_subject
        assert len(kept) == 3
        assert max(map(len, kept)) < 256


async def test_requests_under_way_together_share_round_trips(redis_store):
    async with opened(RateLimit, {"limits": [HOURS]}, ports=ports(store=redis_store)) as limiter:
        await limiter()
        before = redis_store.counters.round_trips
        await asyncio.gather(*[limiter(request(client_ip=f"192.0.2.{number}")) for number in range(200)])
        assert redis_store.counters.round_trips - before <= 40


LADDER = [
    pytest.param("local", 200, id="local"),
    pytest.param("allow", 200, id="allow"),
    pytest.param("deny", 503, id="deny"),
]


@pytest.mark.parametrize("how", ["killed", "paused"])
@pytest.mark.parametrize(("on_store_error", "status"), LADDER)
async def test_redis_goes_under_load_and_comes_back(start_redis, open_redis, eventually, how, on_store_error, status):
    """One deadline is paid, what the policy says happens, and nothing has to be restarted."""
    server = start_redis()
    stores = [await open_redis(server.url, timeout=0.5) for _ in range(2)]
    settings = {"limits": [{"rate": 100, "period": "10h"}], "on_store_error": on_store_error}
    async with Fleet(settings, stores) as limiters:
        assert await hammer(limiters, 1, 4) == 8
        (server.kill if how == "killed" else server.pause)()
        first = await asyncio.gather(*[limiter() for limiter in limiters for _ in range(10)])
        assert {each.status for each in first} == {status}
        timeouts = [store.counters.timeouts for store in stores]
        assert max(timeouts) <= (1 if how == "paused" else 0)
        assert all(store.state is State.DEGRADED for store in stores)
        passed = await hammer(limiters, 40, 4)
        # Half of the limit for each of two replicas; ten were spent already.
        assert passed == {"local": 2 * 40, "allow": 320, "deny": 0}[on_store_error]
        assert [store.counters.timeouts for store in stores] == timeouts, "an outage costs one deadline"
        (server.start if how == "killed" else server.resume)()
        await eventually(lambda: all(store.state is State.UP for store in stores), "the stores are up")
        spent = 0 if how == "killed" else 8
        again = await hammer(limiters, 40, 4)
    # What was sent to the paused server and never answered may have been counted: strict, never lax.
    assert again == 100 - spent if how == "killed" else 100 - spent - 20 <= again <= 100 - spent


async def test_shadow_lets_pass_while_the_store_is_away(start_redis, open_redis):
    server = start_redis()
    given = ports(store=await open_redis(server.url, timeout=0.5))
    server.kill()
    settings = {"limits": [HOURS], "on_store_error": "deny"}
    async with opened(RateLimit, settings, mode="shadow", ports=given) as limiter:
        assert (await limiter()).status == 200
        assert given.would_refuse == ["store_unavailable"]
        assert given.value("rate_limit_degraded_total", "test", "rate_limit", "deny") == 1


async def test_a_sentinel_fails_over_and_the_limit_goes_on_with_its_count(watched, open_redis, eventually):
    """While nobody is master each replica is on its own, afterwards all count together, nothing twice, no restart."""
    stores = [await open_redis(watched.url, timeout=0.5) for _ in range(2)]
    async with Fleet({"limits": [{"rate": 100, "period": "10h"}]}, stores) as limiters:
        assert await hammer(limiters, 5, 4) == 40
        written = watched.master.command("INFO", "replication")["master_repl_offset"]

        def read():
            return watched.master.command("INFO", "replication")["slave0"]["offset"]

        await eventually(lambda: read() >= written, "the replica has all of it")
        watched.master.kill()
        assert await hammer(limiters, 40, 4) == 2 * 50, "half of the limit each: counted apart, from nought"
        assert all(store.state is State.DEGRADED for store in stores)
        await eventually(lambda: all(store.state is State.UP for store in stores), "the new master is found")
        assert await hammer(limiters, 40, 4) == 100 - 40, "the old count, and nothing of what was counted apart"
        assert all(store.counters.timeouts == 0 for store in stores)


@pytest.mark.parametrize(("on_store_error", "status"), LADDER)
async def test_redis_is_slow(proxy, open_redis, eventually, on_store_error, status):
    store = await open_redis(proxy.url, timeout=0.15)
    async with Fleet({"limits": [{"rate": 100, "period": "10h"}], "on_store_error": on_store_error}, [store]) as (one,):
        assert (await one()).status == 200
        proxy.delay = 0.6
        answers = await asyncio.gather(*[one() for _ in range(20)])
        assert {each.status for each in answers} == {status}
        timeouts = store.counters.timeouts
        assert timeouts == 1, "one deadline for all that were under way"
        assert {(await one()).status for _ in range(20)} == {status}
        assert store.counters.timeouts == timeouts
        proxy.delay = 0.0
        await eventually(lambda: store.state is State.UP, "the store is up")
        assert (await one()).status == 200


@pytest.mark.parametrize(("on_store_error", "status"), LADDER)
async def test_redis_is_full(start_redis, open_redis, eventually, on_store_error, status):
    server = start_redis("--maxmemory-policy", "noeviction")
    store = await open_redis(server.url)
    async with Fleet({"limits": [{"rate": 100, "period": "10h"}], "on_store_error": on_store_error}, [store]) as (one,):
        assert (await one()).status == 200
        server.command("CONFIG", "SET", "maxmemory", "1")
        assert {(await one()).status for _ in range(20)} == {status}
        server.command("CONFIG", "SET", "maxmemory", "0")
        await eventually(lambda: store.state is State.UP, "the store is up")
        assert (await one()).status == 200
