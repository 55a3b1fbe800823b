"""Scripts behind the plain calls of a store and behind `Lock`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.services.store.script import Script
from gateway.services.store.table import Table
from gateway.services.store.wire import Arg, encode


def micros(seconds: float) -> int:
    """Seconds as whole microseconds. Raises ValueError unless above zero."""
    if seconds <= 0:
        raise ValueError("a time to live is above zero")
    return max(int(seconds * 1_000_000), 1)


def millis(seconds: float) -> int:
    """Seconds as whole milliseconds, at least one (what Redis counts in). Raises ValueError unless above zero."""
    return max(micros(seconds) // 1000, 1)


def _increment(table: Table, keys: Sequence[bytes], args: Sequence[Arg], now: int) -> int:
    key, by, ttl = keys[0], int(args[0]), int(args[1])
    held = table.get(key)
    value = by if held is None else int(held) + by
    if held is None:
        table.put(key, value, now + ttl if ttl else 0)
    else:
        table.put(key, value, table.expires(key))
    return value


INCREMENT: Final = Script(
    "increment",
    lua="""
local value = redis.call('INCRBY', KEYS[1], ARGV[1])
if tonumber(ARGV[2]) > 0 and redis.call('PTTL', KEYS[1]) == -1 then
  redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[2] / 1000))
end
return value
""",
    local=_increment,
)
"""KEYS: the counter. ARGV: what to add, time to live in µs (0: none). → its value."""


def _acquire(table: Table, keys: Sequence[bytes], args: Sequence[Arg], now: int) -> int:
    if table.get(keys[0]) is not None:
        return 0
    table.put(keys[0], encode(args[0]), now + int(args[1]) * 1000)
    return 1


LOCK_ACQUIRE: Final = Script(
    "lock_acquire",
    lua="return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0",
    local=_acquire,
)
"""KEYS: the lock. ARGV: the holder's token, lease in ms. → 1 if it is ours now."""


def _extend(table: Table, keys: Sequence[bytes], args: Sequence[Arg], now: int) -> int:
    if table.get(keys[0]) != encode(args[0]):
        return 0
    table.put(keys[0], encode(args[0]), now + int(args[1]) * 1000)
    return 1


LOCK_EXTEND: Final = Script(
    "lock_extend",
    lua="return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2]) or 0",
    local=_extend,
)
"""KEYS: the lock. ARGV: the holder's token, lease in ms from now. → 1 if it was still ours."""


def _release(table: Table, keys: Sequence[bytes], args: Sequence[Arg], now: int) -> int:  # noqa: ARG001 - one shape
    return int(table.get(keys[0]) == encode(args[0]) and table.drop(keys[0]))


LOCK_RELEASE: Final = Script(
    "lock_release",
    lua="return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0",
    local=_release,
)
"""KEYS: the lock. ARGV: the holder's token. → 1 if it was still ours."""
