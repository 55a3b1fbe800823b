"""State in this process: for a single worker, for tests, and for the time a shared store is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from gateway.errors import StoreUnavailable
from gateway.services.store.contract import Counters, Scope, State
from gateway.services.store.primitives import INCREMENT, micros
from gateway.services.store.script import Script
from gateway.services.store.table import Table
from gateway.services.store.wire import Arg

R = TypeVar("R")

DEFAULT_KEYS: Final = 100_000
_OFFSET: Final = time.time_ns() - time.monotonic_ns()


def wall_micros() -> int:
    """Microseconds since the epoch; counted from the process's start, so a step of the machine's clock moves no
    window.
    """
    return (time.monotonic_ns() + _OFFSET) // 1000


class Subscriber:
    """One subscription of a `MemoryStore`."""

    __slots__ = ("_deliver", "_listeners")

    def __init__(self, listeners: list[Subscriber], deliver: Callable[[bytes], None]) -> None:
        self._listeners = listeners
        self._deliver = deliver
        listeners.append(self)

    def __call__(self, message: bytes) -> None:
        self._deliver(message)

    def close(self) -> None:
        if self in self._listeners:
            self._listeners.remove(self)


class MemoryStore:
    """A `Store` of at most ``capacity`` keys in this process.

    ``share`` is the part of every limit that this copy may give away: 1/workers when it is one of several. It may be
    changed at any time.
    """

    __slots__ = ("_channels", "_closed", "_now", "counters", "share", "table")

    scope = Scope.WORKER

    def __init__(
        self, capacity: int = DEFAULT_KEYS, *, share: float = 1.0, now: Callable[[], int] = wall_micros
    ) -> None:
        self.table = Table(capacity)
        self.share = share
        self.counters = Counters()
        self._now = now
        self._channels: dict[bytes, list[Subscriber]] = {}
        self._closed = False

    @property
    def state(self) -> State:
        return State.DEGRADED if self._closed else State.UP

    @property
    def approximate(self) -> bool:
        return self.share < 1

    def run_now(self, script: Script[R], keys: Sequence[bytes], args: Sequence[Arg] = ()) -> R:
        """`run` without a coroutine."""
        if self.share < 1:
            args = script.scaled(args, self.share)
        table = self._open_table()
        return script.local(table, keys, args, table.now)

    async def run(self, script: Script[R], keys: Sequence[bytes], args: Sequence[Arg] = ()) -> R:
        return self.run_now(script, keys, args)

    async def get(self, key: bytes) -> bytes | None:
        value = self._open_table().get(key)
        return value if value is None or isinstance(value, bytes) else str(value).encode()

    async def set(self, key: bytes, value: bytes, *, ttl: float | None = None, if_absent: bool = False) -> bool:
        table = self._open_table()
        if if_absent and table.get(key) is not None:
            return False
        table.put(key, value, 0 if ttl is None else table.now + micros(ttl))
        return True

    async def delete(self, *keys: bytes) -> int:
        table = self._open_table()
        return sum([table.drop(key) for key in keys])

    async def clear(self, beginning: bytes) -> int:
        table = self._open_table()
        return sum([table.drop(key) for key in table.keys_under(beginning)])

    async def incr(self, key: bytes, by: int = 1, *, ttl: float | None = None) -> int:
        return self.run_now(INCREMENT, (key,), (by, 0 if ttl is None else micros(ttl)))

    async def publish(self, channel: bytes, message: bytes) -> None:
        self._open_table()
        for subscriber in tuple(self._channels.get(channel, ())):
            deliver_safely(subscriber, message)

    def subscribe(
        self,
        channel: bytes,
        deliver: Callable[[bytes], None],
        missed: Callable[[], None] | None = None,  # noqa: ARG002 - nothing is ever lost here
    ) -> Subscriber:
        return Subscriber(self._channels.setdefault(channel, []), deliver)

    async def ping(self) -> float:
        started = time.perf_counter()
        self._open_table()
        return time.perf_counter() - started

    async def close(self) -> None:
        self._closed = True
        self.table.clear()
        self._channels.clear()

    def _open_table(self) -> Table:
        if self._closed:
            raise StoreUnavailable(reason="the store is closed")
        self.counters.calls += 1
        self.table.now = self._now()
        return self.table


def deliver_safely(deliver: Callable[..., None], *message: Any) -> None:
    """Call a subscriber; what it raises goes to the event loop's exception handler and not to the publisher."""
    try:
        deliver(*message)
    except Exception as error:  # noqa: BLE001 - a subscriber's bug is not the publisher's
        asyncio.get_running_loop().call_exception_handler(
            {"message": "a store subscriber failed", "exception": error},
        )
