"""The same step in this process: all limits of a subject lie in one entry, read once and written once.

It decides exactly as `plugins.rate_limit.algorithm` does, and a test runs the same cases over both. There a key for
each limit lets Redis expire them one by one; here that would be three look-ups for three limits, which is most of what
they cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, cast

from gateway.services.store import Script, Table
from plugins.rate_limit.algorithm import GCRA, WIDTH, Verdict, bucket, scaled, window

LINGER: Final = 10_000_000
"""µs that an entry stays at least, whatever it says: else a caller far below its limit is forgotten after each request
and made anew by the next, which costs more than what there is to remember."""
MIXED: Final = -1
"""In place of an entry's stamp: each limit has a state of its own."""

Numbers = tuple[int, int, int, int]


class Plan:
    """Limits as the step takes them, compared by identity: an entry written by the same plan needs no second look."""

    __slots__ = ("buckets", "cost", "fields", "limits")

    def __init__(self, fields: tuple[str, ...], limits: tuple[Numbers, ...], cost: int) -> None:
        """``fields`` name the limits, so that a changed rate goes on with the same count."""
        self.fields = fields
        self.limits = limits
        self.cost = cost
        self.buckets: tuple[tuple[int, int, int, int], ...] | None = None
        """(unit, drain, capacity, charge) of each, if all are buckets: then they share one stamp."""
        if all(numbers[0] == GCRA for numbers in limits):
            self.buckets = tuple((unit, drain, capacity, cost * unit) for _, unit, drain, capacity in limits)


def plan_of(fields: Sequence[str], args: tuple[int, ...]) -> Plan:
    """The plan that decides as the script does with these arguments."""
    return _made(tuple(fields), args)


@lru_cache(maxsize=1024)
def _made(fields: tuple[str, ...], args: tuple[int, ...]) -> Plan:
    return Plan(fields, _limits(args[1:]), args[0])


@lru_cache(maxsize=1024)
def _limits(numbers: tuple[int, ...]) -> tuple[Numbers, ...]:
    """The same object for the same limits: plans of other costs know each other's entries by it."""
    return tuple(cast("Numbers", numbers[at : at + WIDTH]) for at in range(0, len(numbers), WIDTH))


def _decide(table: Table, keys: Sequence[bytes], args: Sequence[Any], now: int) -> Verdict:
    plan: Plan = args[0]
    key = keys[0]
    held = table.get(key)
    buckets = plan.buckets
    # What an entry holds does not depend on the cost. A stamp after now: the clock was set back, or there is none.
    if buckets is None or (held is not None and not (held[0] is plan.limits and MIXED < held[1] <= now)):
        return _generally(table, key, plan, held, now)
    if len(buckets) == 1:  # what nearly every configuration has, without the lists
        ((unit, drain, capacity, after),) = buckets
        if held is not None:
            after += max(held[2][0] - (now - held[1]) * drain, 0)
        if after > capacity:
            return _generally(table, key, plan, held, now)
        whole = -(-after // drain)
        table.put(key, (plan.limits, now, (after,), plan.fields), now + max(whole, LINGER))
        return [1, (capacity - after) // unit, 0, whole]
    verdict = [1]
    debts = []
    most = 0
    if held is None:
        for unit, drain, capacity, charge in buckets:
            if charge > capacity:
                return _generally(table, key, plan, held, now)
            whole = -(-charge // drain)
            if whole > most:  # noqa: PLR1730 - `max` is a call, and this is the path of a request
                most = whole
            debts.append(charge)
            verdict += ((capacity - charge) // unit, 0, whole)
    else:
        elapsed = now - held[1]
        for (unit, drain, capacity, charge), debt in zip(buckets, held[2], strict=True):
            after = debt - elapsed * drain
            after = after + charge if after > 0 else charge
            if after > capacity:
                return _generally(table, key, plan, held, now)
            whole = -(-after // drain)
            if whole > most:  # noqa: PLR1730 - `max` is a call, and this is the path of a request
                most = whole
            debts.append(after)
            verdict += ((capacity - after) // unit, 0, whole)
    table.put(key, (plan.limits, now, debts, plan.fields), now + max(most, LINGER))
    return verdict


def _generally(table: Table, key: bytes, plan: Plan, held: Any, now: int) -> Verdict:
    """Windows, refusals, changed limits, a clock that was set back: by the functions that say what is right."""
    limits, cost, fields = plan.limits, plan.cost, plan.fields
    if held is None:
        known: Sequence[Any] = (None,) * len(limits)
    elif held[0] is limits and held[1] == MIXED:
        known = held[2]
    else:
        by_field = _states(held)
        known = [by_field.get(field) for field in fields]
    steps = [
        (bucket if numbers[0] == GCRA else window)(state, numbers, cost, now)
        for state, numbers in zip(known, limits, strict=True)
    ]
    if any(wait for _, _, _, wait, _ in steps):
        return [0, *(number for _, _, left, wait, whole in steps for number in (left, wait, whole))]
    verdict = [1]
    for numbers, (_, end, left, _, whole) in zip(limits, steps, strict=True):
        verdict += (max(left - cost, 0), 0, end - now if numbers[0] == GCRA else whole)
    end = max(now + LINGER, *(end for _, end, _, _, _ in steps))
    states = [state for state, _, _, _, _ in steps]
    if plan.buckets is not None and len({stamp for stamp, _, _ in states}) == 1:
        table.put(key, (limits, states[0][0], [debt for _, debt, _ in states], fields), end)
    else:
        table.put(key, (limits, MIXED, states, fields), end)
    return verdict


def _states(held: Any) -> dict[str, Any]:
    """What an entry holds, by field."""
    limits, stamp, kept, fields = held
    if stamp != MIXED:
        kept = [(stamp, debt, numbers[1]) for debt, numbers in zip(kept, limits, strict=True)]
    return dict(zip(fields, kept, strict=True))


def _scaled(args: Sequence[Any], share: float) -> Sequence[Any]:
    return _share_of(args[0], share)


@lru_cache(maxsize=1024)
def _share_of(plan: Plan, share: float) -> tuple[Plan]:
    flat = (plan.cost, *(number for numbers in plan.limits for number in numbers))
    return (plan_of(plan.fields, scaled(flat, share)),)


DECIDE_HERE: Final = Script(
    "rate_limit_here", lua="return redis.error_reply('memory only')", local=_decide, scale=_scaled
)
"""KEYS: the subject's. ARGV: the `Plan`. → `Verdict`. Never run in Redis."""
