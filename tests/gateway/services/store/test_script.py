"""Scripts: every case runs over both sides, with the same clock, and must give the same answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from gateway.errors import InternalError
from gateway.services.store import Arg, KeyPrefix, MemoryStore, Script, Store, Table
from gateway.services.store.primitives import INCREMENT, LOCK_ACQUIRE, LOCK_EXTEND, LOCK_RELEASE
from gateway.services.store.redis import RedisStore

START = 1_700_000_000_000_000
KEYS = KeyPrefix("test", "script")


def _spend(table: Table, keys: Sequence[bytes], args: Sequence[Arg], now: int) -> list[int]:
    interval, burst = int(args[0]), int(args[1])
    free = max(table.get(keys[0]) or 0, now)
    if free - now > interval * (burst - 1):
        return [0, free - now - interval * (burst - 1)]
    table.put(keys[0], free + interval, free + interval)
    return [1, 0]


SPEND = Script(
    "spend",
    lua="""
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local free = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
if free - now > interval * (burst - 1) then return {0, free - now - interval * (burst - 1)} end
local ends = string.format('%.0f', free + interval)
redis.call('SET', KEYS[1], ends, 'PX', math.ceil((ends - now) / 1000) + 60000)
return {1, 0}
""",
    local=_spend,
    scale=lambda args, share: (args[0], max(1, int(int(args[1]) * share))),
)
"""A limiter. KEYS: when it is free again. ARGV: µs per request, burst. → allowed, µs to wait."""

Step = tuple[int, Script[Any], tuple[Arg, ...], Any]
"""Seconds since the start, script, arguments, reply."""


@pytest.fixture(params=["memory", "redis"])
def play(request: pytest.FixtureRequest) -> Any:
    """Run steps on one key, at the times they name, on a store of that kind."""
    redis_store: RedisStore | None = request.getfixturevalue("redis_store") if request.param == "redis" else None
    clock = [START]
    memory = MemoryStore(now=lambda: clock[0])

    async def run(steps: Sequence[Step]) -> list[Any]:
        replies = []
        for seconds, script, args, _ in steps:
            now = clock[0] = START + int(seconds * 1_000_000)
            key = KEYS.key("subject")
            if redis_store is None:
                replies.append(await memory.run(script, (key,), args))
            else:
                replies.append(await redis_store.run(script.at(now), (key,), args))
        return replies

    return run


SECOND = 1_000_000


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(
            [(0, INCREMENT, (1, 0), 1), (0, INCREMENT, (5, 0), 6), (0, INCREMENT, (-2, 0), 4)],
            id="increment adds up, down as well",
        ),
        pytest.param(
            [(0, LOCK_ACQUIRE, (b"me", 60_000), 1), (0, LOCK_ACQUIRE, (b"you", 60_000), 0)],
            id="a lock is given to one",
        ),
        pytest.param(
            [
                (0, LOCK_ACQUIRE, (b"me", 60_000), 1),
                (0, LOCK_RELEASE, (b"you",), 0),
                (0, LOCK_RELEASE, (b"me",), 1),
                (0, LOCK_RELEASE, (b"me",), 0),
                (0, LOCK_ACQUIRE, (b"you", 60_000), 1),
            ],
            id="a lock is given up by its holder only",
        ),
        pytest.param(
            [
                (0, LOCK_EXTEND, (b"me", 60_000), 0),
                (0, LOCK_ACQUIRE, (b"me", 60_000), 1),
                (0, LOCK_EXTEND, (b"you", 60_000), 0),
                (0, LOCK_EXTEND, (b"me", 60_000), 1),
            ],
            id="a lease is extended by its holder only",
        ),
        pytest.param(
            [
                (0, SPEND, (SECOND, 2), [1, 0]),
                (0, SPEND, (SECOND, 2), [1, 0]),
                (0, SPEND, (SECOND, 2), [0, SECOND]),
                (0.25, SPEND, (SECOND, 2), [0, 750_000]),
                (1, SPEND, (SECOND, 2), [1, 0]),
                (1, SPEND, (SECOND, 2), [0, SECOND]),
                (60, SPEND, (SECOND, 2), [1, 0]),
            ],
            id="a limiter knows the time to the microsecond",
        ),
        pytest.param(
            [(10, SPEND, (SECOND, 1), [1, 0]), (9, SPEND, (SECOND, 1), [0, 2 * SECOND])],
            id="a clock that steps back makes nobody richer",
        ),
    ],
)
async def test_both_sides_agree(play: Any, steps: list[Step]):
    assert await play(steps) == [reply for *_, reply in steps]


async def test_both_sides_see_the_time_of_their_store(store: Store):
    tell = Script(
        "tell",
        lua="return {math.floor(now / 1000000), type(now)}",
        local=lambda _table, _keys, _args, now: [now // 1_000_000, b"number"],
    )
    import time

    seconds, kind = await store.run(tell, (KEYS.key("t"),))
    assert abs(seconds - time.time()) < 100
    assert kind == b"number"


async def test_a_script_that_fails_in_redis_is_our_fault_and_no_outage(redis_store: RedisStore):
    broken = Script("broken", lua="return redis.call('INCRBY', KEYS[1], 'x')", local=lambda *_: 0)
    with pytest.raises(InternalError) as caught:
        await redis_store.run(broken, (KEYS.key("t"),))
    assert "script broken failed" in caught.value.reason
    assert "not an integer" in caught.value.reason
    assert redis_store.state == "up"


async def test_a_script_that_does_not_compile_says_so(redis_store: RedisStore):
    broken = Script("typo", lua="retrun 1", local=lambda *_: 0)
    for _ in range(2):
        with pytest.raises(InternalError) as caught:
            await redis_store.run(broken, (KEYS.key("t"),))
        assert "script typo failed" in caught.value.reason
        assert "compil" in caught.value.reason
    assert redis_store.state == "up"


@pytest.mark.parametrize(
    ("script", "share", "expected"),
    [
        pytest.param(SPEND, 0.25, (SECOND, 25), id="limits are divided"),
        pytest.param(SPEND, 0.001, (SECOND, 1), id="a limit never falls below what the script says"),
        pytest.param(SPEND, 1.0, (SECOND, 100), id="the whole is left alone"),
        pytest.param(INCREMENT, 0.25, (SECOND, 100), id="a script without limits is left alone"),
    ],
)
def test_a_share_of_the_limits(script: Script[Any], share: float, expected: tuple[int, int]):
    assert tuple(script.scaled((SECOND, 100), share)) == expected


def test_scripts_are_told_apart_by_their_text_and_name_themselves():
    assert SPEND.sha != INCREMENT.sha
    assert repr(SPEND) == "Script('spend')"
