"""All limits of a request, judged in one atomic step: either every one of them has room and is charged, or none is.

GCRA is kept as the leaky bucket that it is equal to (ITU-T I.371, annex A): a level of debt in whole units, of which a
request adds ``unit`` and each microsecond drains ``drain``, so that nothing is ever rounded in anybody's favour. A
window is counted from the epoch: a minute begins at second zero, a day at midnight UTC, in every replica.

Both sides do the same arithmetic on the same numbers, whole ones below 2**53 and doubles; a test runs the same cases
over both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, cast

from gateway.services.store import Script, Table

GCRA: Final = 0
FIXED: Final = 1
SLIDING: Final = 2
WIDTH: Final = 4
"""Numbers of a limit: kind, then (unit, drain, capacity) of a bucket or (period, limit, 0) of a window."""
MOST_UNITS: Final = 2**52
"""Of a full bucket: with a request's cost on top it still is a whole number in Redis' doubles."""

Verdict = list[int]
"""Whether it fits (1) or not (0), then for each limit: what is left of it, µs until the request would fit (0 if it
does), µs until it is whole again (GCRA) or its window ends.
"""


def gcra_numbers(rate: int, period: int, burst: int) -> tuple[int, int, int, int]:
    """A limit's arguments for the script; ``period`` in µs. Raises ValueError if they are too large to be exact."""
    shared = math.gcd(rate, period)
    unit, drain = period // shared, rate // shared
    if burst * unit > MOST_UNITS:
        raise ValueError("too large to be counted exactly")
    return GCRA, unit, drain, burst * unit


def bucket(held: Any, numbers: Sequence[int], cost: int, now: int) -> tuple[Any, int, int, int, int]:
    """State if charged, its end, and the limit's part of the verdict *as if not charged*."""
    _, unit, drain, capacity = numbers
    stamp, debt = now, 0
    if held is not None:
        since, debt, was = held
        if was != unit:  # another rate than when it was written: as many requests, in the units of today
            debt = int(debt / was * unit)
        if since > now:  # the clock was set back; time stands still until then
            stamp = since
        else:
            debt -= (now - since) * drain
            debt = max(debt, 0)
    after = debt + cost * unit
    wait = 0 if after <= capacity else -((capacity - after) // drain) + stamp - now
    return (
        (stamp, after, unit),
        stamp - (-after // drain),
        (capacity - debt) // unit,
        wait,
        stamp - now - (-debt // drain),
    )


def window(held: Any, numbers: Sequence[int], cost: int, now: int) -> tuple[Any, int, int, int, int]:
    kind, period, limit, _ = numbers
    index, count, before = now // period, 0, 0
    if held is not None:
        at, counted, earlier = held
        if at >= index:  # later only if the clock was set back; time stands still until then
            index, count, before = at, counted, earlier
        elif at == index - 1:
            before = counted
    begin = index * period
    behind = max(begin - now, 0)
    elapsed = max(now - begin, 0)
    if kind == FIXED:
        fits, left, wait = count + cost <= limit, limit - count, period - elapsed
        end = begin + period
    else:
        used = before * ((period - elapsed) / period) + count
        fits, left = used + cost <= limit, math.floor(limit - used)
        wait = 0 if fits else _until(before, count, limit, cost, period) - elapsed
        end = begin + 2 * period
    return (index, count + cost, before), end, max(left, 0), 0 if fits else wait + behind, period - elapsed + behind


def _until(before: int, count: int, limit: int, cost: int, period: int) -> int:
    """µs from the window's begin until what slides out makes room; one more, for the quotient may be rounded."""
    if count + cost <= limit:
        return math.ceil(period - (limit - count - cost) / before * period) + 1
    return period + max(math.ceil(period - (limit - cost) / count * period), 0) + 1


def _decide(table: Table, keys: Sequence[bytes], args: Sequence[Any], now: int) -> Verdict:
    cost = args[0]
    if len(keys) == 1 and args[1] == GCRA:  # what nearly every configuration has, without the lists
        state, end, left, wait, whole = bucket(table.get(keys[0]), args[1:], cost, now)
        if wait:
            return [0, left, wait, whole]
        table.put(keys[0], state, end)
        return [1, left - cost, 0, end - now]
    each = [args[at : at + WIDTH] for at in range(1, len(args), WIDTH)]
    states = [
        (bucket if numbers[0] == GCRA else window)(table.get(key), numbers, cost, now)
        for key, numbers in zip(keys, each, strict=True)
    ]
    fits = not any(wait for _, _, _, wait, _ in states)
    verdict = [int(fits)]
    for key, numbers, (state, end, left, wait, whole) in zip(keys, each, states, strict=True):
        if fits:
            table.put(key, state, end)
            verdict += (max(left - cost, 0), 0, end - now if numbers[0] == GCRA else whole)
        else:
            verdict += (left, wait, whole)
    return verdict


_LUA: Final = """
local cost = tonumber(ARGV[1])
local function numbers(text)
  local found = {}
  for each in string.gmatch(text, '%d+') do found[#found + 1] = tonumber(each) end
  return found[1], found[2], found[3]
end
local function bucket(held, unit, drain, capacity)
  local stamp, debt = now, 0
  if held then
    local since, was
    since, debt, was = numbers(held)
    if was ~= unit then debt = math.floor(debt / was * unit) end
    if since > now then
      stamp = since
    else
      debt = math.max(debt - (now - since) * drain, 0)
    end
  end
  local after = debt + cost * unit
  local wait = 0
  if after > capacity then wait = math.ceil((after - capacity) / drain) + stamp - now end
  local ends = stamp + math.ceil(after / drain)
  return {
    state = string.format('%.0f %.0f %.0f', stamp, after, unit), ends = ends, wait = wait,
    left = math.floor((capacity - debt) / unit),
    whole = stamp - now + math.ceil(debt / drain), charged = ends - now
  }
end
local function till(before, count, limit, period)
  if count + cost <= limit then
    return math.ceil(period - (limit - count - cost) / before * period) + 1
  end
  return period + math.max(math.ceil(period - (limit - cost) / count * period), 0) + 1
end
local function window(held, kind, period, limit)
  local index, count, before = math.floor(now / period), 0, 0
  if held then
    local at, counted, earlier = numbers(held)
    if at >= index then
      index, count, before = at, counted, earlier
    elseif at == index - 1 then
      before = counted
    end
  end
  local begin = index * period
  local behind, elapsed = math.max(begin - now, 0), math.max(now - begin, 0)
  local fits, left, wait, ends
  if kind == 1 then
    fits, left, wait, ends = count + cost <= limit, limit - count, period - elapsed, begin + period
  else
    local used = before * ((period - elapsed) / period) + count
    fits, left, ends = used + cost <= limit, math.floor(limit - used), begin + 2 * period
    wait = fits and 0 or till(before, count, limit, period) - elapsed
  end
  local whole = period - elapsed + behind
  return {
    state = string.format('%.0f %.0f %.0f', index, count + cost, before), ends = ends,
    wait = fits and 0 or wait + behind, left = math.max(left, 0), whole = whole, charged = whole
  }
end
local found, fits = {}, true
for i = 1, #KEYS do
  local at = 4 * i - 2
  local kind, x = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local y, z = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local held = redis.call('GET', KEYS[i])
  found[i] = kind == 0 and bucket(held, x, y, z) or window(held, kind, x, y)
  fits = fits and found[i].wait == 0
end
local verdict = {fits and 1 or 0}
for i = 1, #KEYS do
  local one = found[i]
  if fits then
    redis.call('SET', KEYS[i], one.state, 'PX', string.format('%.0f', math.max(math.ceil((one.ends - now) / 1000), 1)))
    one.left, one.whole = math.max(one.left - cost, 0), one.charged
  end
  verdict[#verdict + 1] = one.left
  verdict[#verdict + 1] = one.wait
  verdict[#verdict + 1] = one.whole
end
return verdict
"""


@lru_cache(maxsize=1024)  # by what a configuration has, which is little, and by shares, which seldom change
def scaled(args: tuple[int, ...], share: float) -> tuple[int, ...]:
    """The arguments for a ``share``. A bucket's units grow, its size stays: rate and burst fall alike. What could never
    pass then may pass alone.
    """
    cost, scaled = args[0], [args[0]]
    for at in range(1, len(args), WIDTH):
        kind, first, second, third = args[at : at + WIDTH]
        if kind == GCRA:
            unit = math.ceil(first / share)
            scaled += (kind, unit, second, max(third, max(cost, 1) * unit))
        else:
            scaled += (kind, first, max(int(second * share + 1e-9), cost, 1), third)
    return tuple(scaled)


DECIDE: Final = Script(
    "rate_limit", lua=_LUA, local=_decide, scale=lambda args, share: scaled(cast("tuple[int, ...]", args), share)
)
"""KEYS: one for each limit. ARGV: the cost, then `WIDTH` numbers for each limit. → `Verdict`."""
