"""Which server has a key: always the same one, whichever the sentinels call master, or the one that owns the key's
slot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol

from redis.asyncio.connection import AbstractConnection
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, RedisError

from gateway.errors import StoreUnavailable
from gateway.services.store.address import Address
from gateway.services.store.call import Call
from gateway.services.store.contract import Counters
from gateway.services.store.dial import Dialer, ask
from gateway.services.store.link import Link

SLOTS: Final = 16384
REFRESH_PAUSE: Final = 0.2
REFRESH_PATIENCE: Final = 2.0
ANY_KEY: Final = b"sg:{any}"

Place = tuple[str, int]


class Topology(Protocol):
    """Where a store's keys are."""

    def link(self, key: bytes) -> Link:
        """The way to the server that has the key. Raises `StoreUnavailable` if it is not known."""
        ...

    def links(self) -> Iterable[Link]:
        """All servers that hold keys."""
        ...

    @property
    def whole(self) -> bool:
        """Whether every key has a server that answers."""
        ...

    async def dial(self) -> AbstractConnection:
        """A connection of its own to a server that takes subscriptions."""
        ...

    async def open(self) -> None: ...
    async def close(self) -> None: ...


class One:
    """A single server, or the master that the sentinels name whenever a connection is made."""

    def __init__(self, address: Address, *, timeout: float, counters: Counters) -> None:
        dialer = Dialer(address)
        self.dial = dialer.master if address.kind == "sentinel" else dialer.first
        self._link = Link(self.dial, timeout=timeout, counters=counters, replicas=address.replicas)

    def link(self, key: bytes) -> Link:  # noqa: ARG002 - it has them all
        return self._link

    def links(self) -> Iterable[Link]:
        return (self._link,)

    @property
    def whole(self) -> bool:
        return self._link.up and not self._link.impaired

    async def open(self) -> None:
        await self._link.open()

    async def close(self) -> None:
        await self._link.close()


class Cluster:
    """Redis Cluster: a link to each master, and the map of slots. The map is read again when a server says a key
    moved, and while one is away, until each slot has a server that answers.
    """

    def __init__(self, address: Address, *, timeout: float, counters: Counters) -> None:
        self._dialer = Dialer(address)
        self._seeds = address.hosts
        self._replicas = address.replicas
        self._timeout = timeout
        self._counters = counters
        self._slots: list[Link | None] = [None] * SLOTS
        self._covered = False
        """Each slot has a server, as far as is known."""
        self._settled = True
        """Nothing is wrong that a new reading of the map may put right."""
        self._links: dict[Place, Link] = {}
        self._refreshing: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def link(self, key: bytes) -> Link:
        found = self._slots[key_slot(key)]
        if found is None:
            self._counters.refused += 1
            raise StoreUnavailable(reason="the store is away: no server is known for the key's slot")
        return found

    def links(self) -> Iterable[Link]:
        return tuple(self._links.values())

    @property
    def whole(self) -> bool:
        return (
            bool(self._links) and all(link.up and not link.impaired for link in self._links.values()) and self._covered
        )

    async def open(self) -> None:
        try:
            await self._refresh()
        except (RedisError, OSError, TimeoutError):
            self._outage()
            return
        await asyncio.gather(*[link.open() for link in self.links()])

    async def close(self) -> None:
        self._closed = True
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)
        await asyncio.gather(*[link.close() for link in self.links()], *self._closing)
        self._links.clear()
        self._slots = [None] * SLOTS

    async def dial(self) -> AbstractConnection:
        problem: Exception = OSError("no server of the cluster answers")
        for place in self._places():
            try:
                async with asyncio.timeout(REFRESH_PATIENCE):
                    return await self._dialer.to(*place)
            except (RedisError, OSError, TimeoutError) as error:
                problem = error
        raise problem

    def _places(self) -> list[Place]:
        """Servers to ask, those first that answered last."""
        known = sorted(self._links.items(), key=lambda item: not item[1].up)
        return list(dict.fromkeys([*(place for place, _ in known), *self._seeds]))

    def _outage(self) -> None:
        self._settled = False
        self._refresh_soon()

    def _refresh_soon(self) -> None:
        if self._closed or (self._refreshing is not None and not self._refreshing.done()):
            return
        self._refreshing = asyncio.get_running_loop().create_task(self._keep_refreshing())

    async def _keep_refreshing(self) -> None:
        while True:
            known = set(self.links())
            with suppress(RedisError, OSError, TimeoutError):
                await self._refresh()
                await asyncio.gather(*[link.open() for link in set(self.links()) - known])
            if self._covered and all(link.up for link in self._links.values()):
                self._settled = True
                return
            await asyncio.sleep(REFRESH_PAUSE)

    async def _refresh(self) -> None:
        """Read the map from the first server that has one. Raises RedisError, OSError or TimeoutError if none has."""
        problem: Exception = OSError("no server of the cluster answers")
        for place in self._places():
            try:
                async with asyncio.timeout(REFRESH_PATIENCE):
                    connection = await self._dialer.to(*place)
                    try:
                        ranges = await ask(connection, b"CLUSTER", b"SLOTS")
                    finally:
                        await connection.disconnect(nowait=True)
            except (RedisError, OSError, TimeoutError) as error:
                problem = error
                continue
            if ranges:
                self._learn(ranges, place)
                return
        raise problem

    def _learn(self, ranges: list[list[Any]], asked: Place) -> None:
        """Take over an answer of CLUSTER SLOTS: ``[first, last, [host, port, …] of the master, …]``."""
        slots: list[Link | None] = [None] * SLOTS
        owners: dict[Place, int] = {}
        for first, last, master, *_ in ranges:
            # An empty host means the one that was asked (cluster-preferred-endpoint-type unknown-endpoint).
            place = (master[0].decode() if master[0] else asked[0], int(master[1]))
            owners.setdefault(place, first)
            slots[first : last + 1] = [self._link_to(place)] * (last - first + 1)
        self._slots = slots
        self._covered = None not in slots
        keys = _keys_of_slots(owners.values())
        for place, first in owners.items():
            self._links[place].probe_key = keys[first]
        for place in [place for place in self._links if place not in owners]:
            task = asyncio.get_running_loop().create_task(self._links.pop(place).close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _link_to(self, place: Place) -> Link:
        link = self._links.get(place)
        if link is None:
            self._links[place] = link = Link(
                partial(self._dialer.to, *place),
                timeout=self._timeout,
                counters=self._counters,
                redirect=partial(self._redirect, place),
                replicas=self._replicas,
                on_outage=self._outage,
            )
        return link

    def _redirect(self, source: Place, call: Call, error: AskError) -> None:
        link = self._link_to((error.host or source[0], error.port))
        if isinstance(error, MovedError):
            self._slots[error.slot_id] = link
            self._refresh_soon()
        link.enqueue(call)


def _keys_of_slots(wanted: Iterable[int]) -> dict[int, bytes]:
    """A key of ours for each slot."""
    missing, keys = set(wanted), dict[int, bytes]()
    number = 0
    while missing:
        key = b"sg:{probe/%d}" % number
        slot = key_slot(key)
        if slot in missing:
            missing.discard(slot)
            keys[slot] = key
        number += 1
    return keys


Build = Callable[..., Topology]


def topology_of(address: Address, *, timeout: float, counters: Counters) -> Topology:
    """The topology of a Redis address."""
    build: Build = Cluster if address.kind == "cluster" else One
    return build(address, timeout=timeout, counters=counters)
