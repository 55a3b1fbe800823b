"""Events that were delivered, and those that are being delivered, so that each goes through once.

A value is ``p`` and who delivers it, until its lease ends, or ``d`` once the exchange ended in 2xx:

    absent  --begin--> p      p --end--> d      p --free--> absent      p, lease over: absent

What the store would not take is tried again until it does; meanwhile this worker knows.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Sequence
from typing import Any, Final

from gateway.errors import StoreUnavailable
from gateway.plugin import Context
from gateway.services.store import Degrading, MemoryStore, Script, Table

AGAIN: Final = 1.0
"""Seconds between two tries to write down what the store would not take."""
MOST_UNSAVED: Final = 10_000
"""Delivered events that wait for the store; beyond it the oldest is given up."""
DELIVERED: Final = b"d"


def _begin(table: Table, keys: Sequence[bytes], args: Sequence[Any], now: int) -> bytes:
    held: bytes | None = table.get(keys[0])
    if held is not None:
        return held[:1]
    table.put(keys[0], b"p" + args[0], now + args[1])
    return b""


BEGIN: Final = Script(
    "webhook_begin",
    lua="""
local held = redis.call('GET', KEYS[1])
if held then return string.sub(held, 1, 1) end
redis.call('SET', KEYS[1], 'p' .. ARGV[1], 'PX', math.ceil(ARGV[2] / 1000))
return ''
""",
    local=_begin,
)
"""KEYS: the event. ARGV: token, lease in µs. → its state with another, or nothing: ours."""


def _end(table: Table, keys: Sequence[bytes], args: Sequence[Any], now: int) -> int:
    table.put(keys[0], DELIVERED, now + args[0])
    return 1


END: Final = Script(
    "webhook_end",
    lua="""
redis.call('SET', KEYS[1], 'd', 'PX', math.ceil(ARGV[1] / 1000))
return 1
""",
    local=_end,
)
"""KEYS: the event. ARGV: time to live in µs. It was delivered, whoever else has it by now."""


def _free(table: Table, keys: Sequence[bytes], args: Sequence[Any], now: int) -> int:  # noqa: ARG001 - one shape
    return int(table.get(keys[0]) == b"p" + args[0] and table.drop(keys[0]))


FREE: Final = Script(
    "webhook_free",
    lua="""
if redis.call('GET', KEYS[1]) == 'p' .. ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
""",
    local=_free,
)
"""KEYS: the event. ARGV: token. → 1 if it was ours."""


def _renew(table: Table, keys: Sequence[bytes], args: Sequence[Any], now: int) -> int:
    value = b"p" + args[0]
    if table.get(keys[0]) not in (None, value):
        return 0
    table.put(keys[0], value, now + args[1])
    return 1


RENEW: Final = Script(
    "webhook_renew",
    lua="""
local held = redis.call('GET', KEYS[1])
if held and held ~= 'p' .. ARGV[1] then return 0 end
redis.call('SET', KEYS[1], 'p' .. ARGV[1], 'PX', math.ceil(ARGV[2] / 1000))
return 1
""",
    local=_renew,
)
"""KEYS: the event. ARGV: token, lease in µs. → 1; 0 if it is another's by now, or was delivered."""


class Claim:
    """An event that is being delivered."""

    __slots__ = ("began", "key", "token")

    def __init__(self, key: bytes, token: bytes, began: float) -> None:
        self.key = key
        self.token = token
        self.began = began


class Memory:
    """The events of one plugin instance, in one worker. No timer while nothing is under way."""

    def __init__(self, context: Context, degrading: Degrading, *, ttl: float, lease: float) -> None:
        self._context = context
        self._degrading = degrading
        self._memory = degrading.store if isinstance(degrading.store, MemoryStore) else None
        self._ttl = round(ttl * 1_000_000)
        self._ttl_seconds = ttl
        self._lease = round(lease * 1_000_000)
        self._pause = lease / 3
        self._mine = secrets.token_bytes(12)
        self._count = itertools.count()
        self._claims: set[Claim] = set()
        self._unsaved: dict[bytes, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._lost = context.metrics.counter(
            "webhook_replay_lost_total",
            "Delivered events that the store never heard of: their retries are delivered again.",
            ("route", "plugin"),
        ).child(context.route, context.id)

    @property
    def unsaved(self) -> int:
        """Delivered events that wait for the store."""
        return len(self._unsaved)

    @property
    def under_way(self) -> int:
        """Events that are being delivered by this worker."""
        return len(self._claims)

    async def begin(self, key: bytes) -> Claim | bytes | None:
        """A claim: deliver it, then `end` or `free`. Else the state it is in with another. None: go on without.

        Raises StoreUnavailable where the policy is to refuse.
        """
        if key in self._unsaved:
            return DELIVERED
        claim = Claim(key, self._mine + next(self._count).to_bytes(8, "big"), self._context.clock.now())
        if self._memory is not None:
            state = self._memory.run_now(BEGIN, (key,), (claim.token, self._lease))
        else:
            try:
                outcome = await self._degrading.run(BEGIN, (key,), (claim.token, self._lease))
            except BaseException:  # it may have been taken even so
                self.free(claim)
                raise
            if outcome is None:
                self.free(claim)
                return None
            state = outcome.result
        if state:
            return state
        self._claims.add(claim)
        if self._timer is None:
            self._wake(self._pause)
        return claim

    def end(self, claim: Claim) -> None:
        """It was delivered."""
        self._claims.discard(claim)
        if self._memory is not None:
            self._memory.run_now(END, (claim.key,), (self._ttl,))
            return
        if self._degrading.local is not None:
            self._degrading.local.run_now(END, (claim.key,), (self._ttl,))
        if len(self._unsaved) >= MOST_UNSAVED:
            del self._unsaved[next(iter(self._unsaved))]
            self._lost.value += 1
        self._unsaved[claim.key] = self._context.clock.now() + self._ttl_seconds
        _ = self._context.spawn(self._save(claim.key), "webhook_signature: an event was delivered")

    def free(self, claim: Claim) -> None:
        """It was not: the sender's next try goes through."""
        self._claims.discard(claim)
        if self._memory is not None:
            self._memory.run_now(FREE, (claim.key,), (claim.token,))
            return
        if self._degrading.local is not None:
            self._degrading.local.run_now(FREE, (claim.key,), (claim.token,))
        _ = self._context.spawn(self._forget(claim), "webhook_signature: an event was not delivered")

    async def _forget(self, claim: Claim) -> None:
        try:
            await self._degrading.store.run(FREE, (claim.key,), (claim.token,))
        except StoreUnavailable:
            return  # its lease ends

    async def _save(self, key: bytes) -> None:
        until = self._unsaved.get(key)
        if until is None:
            return
        left = until - self._context.clock.now()
        if left <= 0:
            del self._unsaved[key]
            self._lost.value += 1
            return
        try:
            await self._degrading.store.run(END, (key,), (round(left * 1_000_000),))
        except StoreUnavailable:
            self._wake(AGAIN)
            return
        self._unsaved.pop(key, None)

    # -- now and then ------------------------------------------------------------------------------------------

    def _wake(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer, self._timer_at = loop.call_at(at, self._look), at

    def _look(self) -> None:
        self._timer = None
        if self._claims or self._unsaved:
            _ = self._context.spawn(self.tend(), "webhook_signature: events under way")

    async def tend(self) -> None:
        """Renew leases that have been held for a while; write down what could not be."""
        now = self._context.clock.now()
        old = [claim for claim in self._claims if now - claim.began >= self._pause / 2]
        waiting = list(itertools.islice(self._unsaved, 100))
        await asyncio.gather(*map(self._renew, old), *map(self._save, waiting))
        if self._unsaved:
            self._wake(AGAIN / 10 if len(waiting) == 100 else AGAIN)
        if self._claims:
            self._wake(self._pause)

    async def _renew(self, claim: Claim) -> None:
        if claim not in self._claims:
            return
        arguments = (claim.token, self._lease)
        try:
            if self._memory is not None:
                self._memory.run_now(RENEW, (claim.key,), arguments)
                return
            if self._degrading.local is not None:
                self._degrading.local.run_now(RENEW, (claim.key,), arguments)
            await self._degrading.store.run(RENEW, (claim.key,), arguments)
        except StoreUnavailable:
            return
        if claim not in self._claims:  # it has ended meanwhile: what was renewed must not outlive it
            if claim.key in self._unsaved:
                await self._save(claim.key)
            else:
                await self._forget(claim)

    async def close(self) -> None:
        """Write down what is left, if the store takes it. Idempotent."""
        await asyncio.gather(*map(self._save, list(self._unsaved)))
        if self._timer is not None and not self._claims:
            self._timer.cancel()
            self._timer = None
