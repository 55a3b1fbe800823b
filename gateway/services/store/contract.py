"""What a store is to those who use it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from gateway.services.store.script import Script
from gateway.services.store.wire import Arg

R = TypeVar("R")


class Scope(StrEnum):
    """Who shares the state."""

    WORKER = "worker"
    GATEWAY = "gateway"
    FLEET = "fleet"


class State(StrEnum):
    """``degraded``: some or all calls fail at once with `StoreUnavailable`, until a background probe succeeds."""

    UP = "up"
    DEGRADED = "degraded"


@dataclass(slots=True)
class Counters:
    """Totals since the store was opened, for a collector to read."""

    calls: int = 0
    """Script runs and commands asked for."""
    round_trips: int = 0
    """Batches sent to Redis on behalf of calls. ``calls / round_trips`` is how many share one."""
    refused: int = 0
    """Calls that failed without being sent, because the store was known to be away."""
    timeouts: int = 0
    """Batches that were not answered in time."""
    errors: int = 0
    """Calls sent, or about to be, that ended in `StoreUnavailable`."""
    outages: int = 0
    """Times a Redis server was given up until a probe found it again."""
    connects: int = 0
    script_loads: int = 0
    redirects: int = 0
    """Answers of Redis Cluster that the key lives elsewhere."""


class Subscription(Protocol):
    """An interest in a channel, until it is closed."""

    def close(self) -> None: ...


class Store(Protocol):
    """State shared by requests, workers or replicas; got through `Context.store`.

    Every call may raise `gateway.errors.StoreUnavailable`: it was not answered within the store's deadline, or the
    store is known to be away, in which case it fails at once. It is then not known whether the call took effect, and
    it is never sent twice. Calls made while others are under way share a round trip with them. `Degrading` puts the
    ladder ``local | allow | deny`` around it.

    Keys are bytes made by `KeyPrefix`; all keys of one call belong to one subject. Times to live are seconds, above
    zero.
    """

    @property
    def scope(self) -> Scope: ...
    @property
    def state(self) -> State: ...
    @property
    def counters(self) -> Counters: ...
    @property
    def approximate(self) -> bool:
        """Whether limits are divided between several copies of the state, because each knows only its own."""
        ...

    def run(self, script: Script[R], keys: Sequence[bytes], args: Sequence[Arg] = ()) -> Awaitable[R]:
        """Run the script atomically."""
        ...

    def get(self, key: bytes) -> Awaitable[bytes | None]: ...

    def set(self, key: bytes, value: bytes, *, ttl: float | None = None, if_absent: bool = False) -> Awaitable[bool]:
        """Set the value; with ``if_absent`` only if there is none. Whether it was set."""
        ...

    def delete(self, *keys: bytes) -> Awaitable[int]:
        """Remove the keys (of one subject); how many were there."""
        ...

    async def clear(self, beginning: bytes) -> int:
        """Remove all keys that begin so (`KeyPrefix.beginning`); how many were there. It looks at every key there is:
        for what operators ask, never for a request. What is set meanwhile may stay.
        """
        ...

    def incr(self, key: bytes, by: int = 1, *, ttl: float | None = None) -> Awaitable[int]:
        """Add to a counter and return its value. ``ttl`` counts from when the key was made, not from the last call."""
        ...

    def publish(self, channel: bytes, message: bytes) -> Awaitable[None]:
        """Tell all subscribers there are now, in every process that shares the store, this one included. None is told
        twice.
        """
        ...

    def subscribe(
        self, channel: bytes, deliver: Callable[[bytes], None], missed: Callable[[], None] | None = None
    ) -> Subscription:
        """Call ``deliver`` for each message. ``missed`` is called whenever messages may have been lost before: each
        time listening begins over a connection, the first included. Never by a memory store, which loses none.

        Both are called on the event loop and must be quick.
        """
        ...

    async def ping(self) -> float:
        """Seconds a small write takes, on the slowest server of those that hold keys. Raises `StoreUnavailable`."""
        ...

    async def close(self) -> None:
        """Let go of connections and tasks; calls under way fail. Idempotent."""
        ...
