"""What workers and replicas know of each other's breakers: who opens or closes one tells all, and one at a time probes.

Counts stay where they are made: a target that fails for one gateway is left alone by all within the time a message
takes, and no request waits for the store but the one that would be a probe. While the store is away each is on its own,
as `on_store_error` says.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from gateway.errors import StoreUnavailable
from gateway.plugin import Context
from gateway.services.store import KeyPrefix, OnStoreError, channel
from gateway.services.store.contract import Store, Subscription
from plugins.circuit_breaker.breaker import Breaker, State
from plugins.circuit_breaker.outbox import Outbox

_WAITING: Final = 1000
"""Messages that wait while the store does not answer; the newest count."""
_LEASE: Final = 10.0
"""Seconds after which another may probe, if the one that does is gone or waits for its answer still."""
_KEPT: Final = 60.0
"""Seconds that an open state is remembered beyond its time, so that who comes later probes instead of trusting."""
_SHORTEST: Final = 0.05


class Told(NamedTuple):
    """A breaker's state, as it is told."""

    target: str
    state: State
    wait: float
    """Seconds until it may be tried again, from when it was told."""
    opens: int


class Fleet:
    """One plugin's view of its like."""

    def __init__(
        self,
        context: Context,
        on_store_error: OnStoreError,
        find: Callable[[str], Breaker | None],
        known: Callable[[], list[Breaker]],
        adopted: Callable[[Breaker, str], None],
    ) -> None:
        self._context = context
        self._on_store_error = on_store_error
        self._find = find
        self._known = known
        self._adopted = adopted
        self._me = secrets.token_hex(8)
        self._prefix = KeyPrefix("circuit_breaker", context.route, context.id)
        self._channel = channel(f"circuit_breaker/{context.route}/{context.id}")
        self._outbox = Outbox(context, f"circuit breaker state of {context.route}", self._publish, _WAITING)
        self._learning = Outbox(context, f"circuit breaker states of {context.route}", self._learn, _WAITING)
        self._store: Store | None = None
        self._subscription: Subscription | None = None
        self.alone = False
        """The store did not answer when it was last asked who probes."""
        self.degraded = context.metrics.counter(
            "circuit_breaker_degraded_total",
            "Times that a shared breaker met no store and each gateway was on its own.",
            ("upstream", "plugin"),
        ).child(context.route.removeprefix("upstream:"), context.id)

    def open(self) -> None:
        self._store = self._context.store()
        self._subscription = self._store.subscribe(self._channel, self._hear, self._missed)

    async def close(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.close()
        await self._outbox.close(_SHORTEST)
        await self._learning.close(0)

    # -- telling -------------------------------------------------------------------------------------------------------

    def tell(self, breaker: Breaker) -> None:
        """It opened or closed here. That it is half-open is nobody else's business: one probes, the others wait."""
        if breaker.state is not State.HALF_OPEN:
            self._outbox.put(Told(breaker.target, breaker.state, breaker.wait, breaker.opens))

    async def _publish(self, told: Told) -> None:
        store = self._store
        assert store is not None, "it was opened"
        key = self._prefix.key(told.target, "state")
        message: dict[str, Any] = {
            "from": self._me,
            "target": told.target,
            "state": int(told.state),
            "wait": told.wait,
            "opens": told.opens,
            "until": self._context.clock.time() + told.wait,
        }
        encoded = msgspec.json.encode(message)
        try:
            if told.state is State.OPEN:
                await store.set(key, encoded, ttl=told.wait + _KEPT)
            else:
                await store.delete(key)
            await store.delete(self._prefix.key(told.target, "probe"))
            await store.publish(self._channel, encoded)
        except StoreUnavailable:
            self.degraded.value += 1

    # -- hearing -------------------------------------------------------------------------------------------------------

    def _hear(self, message: bytes) -> None:
        self._take(message, "another gateway says so")

    def _take(self, message: bytes, why: str, *, stored: bool = False) -> None:
        try:
            said = msgspec.json.decode(message)
            own, target = said["from"] == self._me, str(said["target"])
            state, opens = State(said["state"]), min(max(int(said["opens"]), 0), 1000)
            # A message is as old as the way it came; what is stored, as the clocks of two machines say.
            wait = float(said["until"]) - self._context.clock.time() if stored else float(said["wait"])
        except (ValueError, KeyError, TypeError, AttributeError, msgspec.DecodeError):
            self._context.log.warning("a message about circuit breakers cannot be read")
            return
        breaker = None if own else self._find(target)
        if breaker is not None and breaker.adopt(state, wait, opens):
            self._adopted(breaker, why)

    def learn(self, breaker: Breaker) -> None:
        """It is new here: what others know of it is in the store."""
        self._learning.put(breaker)

    def _missed(self) -> None:
        for breaker in self._known():
            self._learning.put(breaker)

    async def _learn(self, breaker: Breaker) -> None:
        store = self._store
        assert store is not None, "it was opened"
        try:
            message = await store.get(self._prefix.key(breaker.target, "state"))
        except StoreUnavailable:
            self.degraded.value += 1
            return
        if message is not None and breaker.state is State.CLOSED:
            self._take(message, "it is so in the store", stored=True)

    # -- probing -------------------------------------------------------------------------------------------------------

    async def may_probe(self, breaker: Breaker) -> bool:
        """Whether this gateway is the one whose requests probe."""
        store = self._store
        assert store is not None, "it was opened"
        try:
            key = self._prefix.key(breaker.target, "probe")
            may = await store.set(key, self._me.encode(), ttl=_LEASE, if_absent=True)
        except StoreUnavailable:
            self.alone = True
            self.degraded.value += 1
            return self._on_store_error is not OnStoreError.DENY
        else:
            self.alone = False
            return may
