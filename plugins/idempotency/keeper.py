"""Those keys that this worker holds: renewed while the work goes on, and written down once it is known how it ended.

One timer for all of them, and none while there are none. What the store would not take is tried again until it does or
its time is over; meanwhile this worker answers repetitions out of what it has.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from gateway.errors import StoreUnavailable
from gateway.plugin import Context
from gateway.services.store import Degrading, Script
from plugins.idempotency.record import BEGIN, END, FREE, RENEW, TOKEN, Args
from plugins.idempotency.settings import Choice, IdempotencySettings

AGAIN: Final = 1.0
"""Seconds between two tries to write down what the store would not take."""
MOST_UNSAVED: Final = 1000
"""Outcomes that wait for the store; beyond it the oldest is given up, and its key free when its lease ends."""


class Claim:
    """One key, taken for one request."""

    __slots__ = ("began", "fingerprint", "key", "local", "token")

    def __init__(self, key: bytes, fingerprint: bytes, began: float) -> None:
        self.key = key
        self.fingerprint = fingerprint
        self.token = secrets.token_bytes(TOKEN)
        self.began = began
        self.local = False
        """Begun while the store was away, by what this process knows."""

    def value(self, state: bytes, rest: bytes = b"") -> bytes:
        """What the store holds of it."""
        return state + self.token + self.fingerprint + rest


class Keeper:
    """The claims of one plugin instance, in one worker."""

    def __init__(self, settings: IdempotencySettings, context: Context, degrading: Degrading) -> None:
        self._context = context
        self._degrading = degrading
        self._lease = round(settings.lease * 1_000_000)
        self._ttl = round(settings.ttl * 1_000_000)
        self._lapse = int(settings.on_crash is Choice.REFUSE)
        self._again = int(settings.backend_honours_key or settings.on_unknown is Choice.FORWARD)
        self._pause = settings.lease / 3
        self._ttl_seconds = settings.ttl
        self._claims: set[Claim] = set()
        self._unsaved: dict[bytes, tuple[Claim, bytes, float]] = {}
        self._unfreed: dict[Claim, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        place = (context.route, context.id)
        self._lost = context.metrics.counter(
            "idempotency_lost_total",
            "Outcomes that could not be written down: the key went to another meanwhile, or the store stayed away.",
            ("route", "plugin"),
        ).child(*place)

    @property
    def unsaved(self) -> int:
        """Outcomes that wait for the store."""
        return len(self._unsaved)

    async def begin(self, claim: Claim) -> bytes | None:
        """Nothing: the key is ours. Else what is held by another. None: go on without protection.

        Raises StoreUnavailable where the policy is to refuse. It may have been taken even so: `free` it then.
        """
        known = self._unsaved.get(claim.key)
        if known is not None:
            return known[1]
        args: Args = (claim.token, claim.fingerprint, self._lease, self._ttl, self._lapse, self._again)
        outcome = await self._degrading.run(BEGIN, (claim.key,), args)
        if outcome is None:
            return None
        if not outcome.result:
            claim.local = outcome.degraded
            self._claims.add(claim)
            self._wake(self._pause)
        return outcome.result

    async def end(self, claim: Claim, state: bytes, rest: bytes = b"") -> None:
        """The outcome is known, or known to be unknown. Kept here if the store does not take it."""
        self._claims.discard(claim)
        value = claim.value(state, rest)
        try:
            if not await self._run(END, claim, (claim.token, value, self._ttl)):
                self._gone()
        except StoreUnavailable:
            if len(self._unsaved) >= MOST_UNSAVED:
                del self._unsaved[next(iter(self._unsaved))]
                self._lost.value += 1
            self._unsaved[claim.key] = (claim, value, self._context.clock.now() + self._ttl_seconds)
            self._wake(AGAIN)

    async def free(self, claim: Claim) -> None:
        """Nothing came of it: the key may be used again. A store that is away hears of it later."""
        self._claims.discard(claim)
        try:
            await self._run(FREE, claim, (claim.token,))
        except StoreUnavailable:
            if len(self._unfreed) < MOST_UNSAVED:
                self._unfreed[claim] = self._context.clock.now() + self._ttl_seconds
                self._wake(AGAIN)

    async def _run(self, script: Script[int], claim: Claim, args: Args) -> int:
        """What the shared store says. What a ``local`` policy began is known here, too, while the store is away."""
        degrading = self._degrading
        if claim.local and degrading.local is not None:
            degrading.local.run_now(script, (claim.key,), args)
        return await degrading.store.run(script, (claim.key,), args)

    def _gone(self) -> None:
        self._lost.value += 1
        self._context.log.warning(
            "idempotency on %s: a key was taken by another while its request was under way; the lease is too short, "
            "or the store lost it",
            self._context.route,
            extra={"route": self._context.route, "plugin": self._context.id},
        )

    async def erase(self, beginning: bytes) -> int:
        """Delete what is kept under keys that begin so; how much. Raises StoreUnavailable."""
        for key in [key for key in self._unsaved if key.startswith(beginning)]:
            del self._unsaved[key]
        degrading = self._degrading
        if degrading.local is not None and degrading.local is not degrading.store:
            await degrading.local.clear(beginning)
        return await degrading.store.clear(beginning)

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
        if self._claims or self._unsaved or self._unfreed:
            _ = self._context.spawn(self.tend(), f"idempotency: keys of {self._context.route}")

    async def tend(self) -> None:
        """Renew every lease that has been held for a while, and try again to write down what could not be."""
        now = self._context.clock.now()
        old = [claim for claim in self._claims if now - claim.began >= self._pause / 2]
        await asyncio.gather(
            *[self._renew(claim) for claim in old],
            *[self._save(*each) for each in list(self._unsaved.values())],
            *[self._unfree(*each) for each in list(self._unfreed.items())],
        )
        if self._unsaved or self._unfreed:
            self._wake(AGAIN)
        if self._claims:
            self._wake(self._pause)

    async def _renew(self, claim: Claim) -> None:
        if claim not in self._claims:  # it has ended since; a key that is free must not be taken again
            return
        try:
            ours = await self._run(RENEW, claim, (claim.token, claim.fingerprint, self._lease, self._ttl, self._lapse))
        except StoreUnavailable:
            return
        if not ours:
            self._claims.discard(claim)

    async def _unfree(self, claim: Claim, until: float) -> None:
        try:
            if self._context.clock.now() < until:
                await self._degrading.store.run(FREE, (claim.key,), (claim.token,))
        except StoreUnavailable:
            return
        self._unfreed.pop(claim, None)

    async def _save(self, claim: Claim, value: bytes, until: float) -> None:
        if self._context.clock.now() >= until:
            self._unsaved.pop(claim.key, None)
            self._lost.value += 1
            return
        try:
            ours = await self._degrading.store.run(END, (claim.key,), (claim.token, value, self._ttl))
        except StoreUnavailable:
            return
        self._unsaved.pop(claim.key, None)
        if not ours:
            self._gone()

    def close(self) -> None:
        """No more than what is under way: requests that outlive their client outlive this configuration, too."""
        if self._timer is not None and not (self._claims or self._unsaved or self._unfreed):
            self._timer.cancel()
            self._timer = None
