"""State in Redis: one server, the master of a set of sentinels, or a cluster; shared by all workers and replicas."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from redis.asyncio.connection import AbstractConnection

from gateway.errors import StoreUnavailable
from gateway.services.store.address import Address
from gateway.services.store.contract import Counters, Scope, State
from gateway.services.store.degrade import DEFAULT_TIMEOUT
from gateway.services.store.primitives import INCREMENT, micros, millis
from gateway.services.store.script import Script
from gateway.services.store.subscription import Channels, ChannelSubscription
from gateway.services.store.topology import ANY_KEY, topology_of
from gateway.services.store.wire import Arg, pack, pack_evalsha

if TYPE_CHECKING:
    from gateway.services.store.link import Link

R = TypeVar("R")

SCANNED: Final = 1000
"""Keys that Redis looks at in one call: a fraction of a millisecond, in which it does nothing else."""


class RedisStore:
    """A `Store` in Redis. Make it on the event loop that uses it, and `open` it."""

    scope = Scope.FLEET
    approximate = False

    def __init__(self, address: Address, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.address = address
        self.timeout = timeout
        """Seconds a call may take, from when it was made."""
        self.counters = Counters()
        self._topology = topology_of(address, timeout=timeout, counters=self.counters)
        self._link = self._topology.link
        self._spans = address.kind == "cluster"
        self._channels = Channels(self._topology.dial)
        self._closed = False

    @property
    def state(self) -> State:
        return State.UP if self._topology.whole else State.DEGRADED

    @property
    def problem(self) -> str:
        """Why it is degraded; empty when it is not."""
        return "; ".join(link.problem for link in self._topology.links() if not link.up or link.impaired)

    async def open(self) -> None:
        """Connect. A Redis that does not answer is no error: the store starts degraded and recovers by itself."""
        await self._topology.open()

    def run(self, script: Script[R], keys: Sequence[bytes], args: Sequence[Arg] = ()) -> Awaitable[R]:
        # Not a coroutine: a call costs a future and no task or frame of its own.
        self.counters.calls += 1
        if self._spans and len(keys) > 1:
            self._check_slot(keys)
        return self._link(keys[0]).submit(pack_evalsha(script.sha, keys, args), script)

    def get(self, key: bytes) -> Awaitable[bytes | None]:
        return self._command(key, b"GET", key)

    def set(self, key: bytes, value: bytes, *, ttl: float | None = None, if_absent: bool = False) -> Awaitable[bool]:
        words: list[Arg] = [b"SET", key, value]
        if if_absent:
            words.append(b"NX")
        if ttl is not None:
            words += (b"PX", millis(ttl))
        return self._command(key, *words, read=_is_something)

    def delete(self, *keys: bytes) -> Awaitable[int]:
        if self._spans:
            self._check_slot(keys)
        return self._command(keys[0], b"DEL", *keys)

    async def clear(self, beginning: bytes) -> int:
        links = tuple(self._topology.links())
        if not links:
            raise StoreUnavailable(reason="the store is away: no server of the cluster answered")
        removed: list[int] = await asyncio.gather(*[_cleared(link, beginning) for link in links])
        return sum(removed)

    def incr(self, key: bytes, by: int = 1, *, ttl: float | None = None) -> Awaitable[int]:
        return self.run(INCREMENT, (key,), (by, 0 if ttl is None else micros(ttl)))

    def publish(self, channel: bytes, message: bytes) -> Awaitable[None]:
        return self._command(ANY_KEY, b"PUBLISH", channel, message, read=_nothing)

    def subscribe(
        self, channel: bytes, deliver: Callable[[bytes], None], missed: Callable[[], None] | None = None
    ) -> ChannelSubscription:
        return self._channels.add(channel, deliver, missed)

    async def ping(self) -> float:
        loop = asyncio.get_running_loop()
        started = loop.time()
        links = tuple(self._topology.links())
        if not links:
            raise StoreUnavailable(reason="the store is away: no server of the cluster answered")
        await asyncio.gather(*[link.submit(pack(b"SET", link.probe_key, b"1", b"PX", 1000)) for link in links])
        return loop.time() - started

    async def ask_each(self, *words: Arg) -> list[Any]:
        """The answers of all servers that hold keys, one after the other. Raises `StoreUnavailable`, and InternalError
        if one refuses the command.
        """
        links = tuple(self._topology.links())
        if not links:
            raise StoreUnavailable(reason="the store is away: no server of the cluster answered")
        command = pack(*words)
        return list(await asyncio.gather(*[link.submit(command) for link in links]))

    async def apart(self, key: bytes) -> AbstractConnection:
        """A connection of its own to the server that has the key, for commands that block; whoever asked closes it.
        Raises `StoreUnavailable`, RedisError, OSError or TimeoutError.
        """
        return await self._link(key).apart()

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._channels.close()
            await self._topology.close()

    def _command(self, key: bytes, *words: Arg, read: Callable[[Any], Any] | None = None) -> Awaitable[Any]:
        self.counters.calls += 1
        return self._link(key).submit(pack(*words), read=read)

    def _check_slot(self, keys: Sequence[bytes]) -> None:
        head = _tag(keys[0])
        if any(_tag(key) != head for key in keys):
            raise ValueError(
                "the keys of one call belong to one subject: make them with the same KeyPrefix and subject"
            )


async def _cleared(link: Link, beginning: bytes) -> int:
    """Of one server. It lists keys that have been there throughout at least once, and some twice."""
    pattern = re.sub(rb"([*?\[\]\\^])", rb"\\\1", beginning) + b"*"
    removed = 0
    cursor: bytes = b"0"
    while True:
        cursor, found = await link.submit(pack(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", SCANNED))
        there: list[int] = await asyncio.gather(*[link.submit(pack(b"UNLINK", key)) for key in found])
        removed += sum(there)
        if int(cursor) == 0:
            return removed


def _tag(key: bytes) -> bytes:
    """What Redis Cluster hashes of one of our keys."""
    return key.partition(b"}")[0]


def _is_something(reply: Any) -> bool:
    return reply is not None


def _nothing(_reply: Any) -> None:
    return None
