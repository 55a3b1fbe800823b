"""What a worker has once, whatever configuration is in force: time, counters, stores, the client, the logs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from gateway.config.model import Config
from gateway.http import Exchange
from gateway.runtime.durable import Durable
from gateway.runtime.ports import LivePorts
from gateway.runtime.telemetry import tracing_options
from gateway.services.audit import Audit
from gateway.services.client import Client
from gateway.services.clock import Clock, Wheel
from gateway.services.masking import Masking
from gateway.services.metrics import Metrics
from gateway.services.queue import Queue
from gateway.services.relay import Relay
from gateway.services.store import Store, open_store
from gateway.services.tracing import Tracing

RECEIVE_BUFFER = 64 * 1024
"""Bytes read from a target at once: small enough that a thousand stalled streams stay small."""

StoreIdentity = tuple[str, float]

_building: ContextVar[Store | None] = ContextVar("store of the configuration that is being built", default=None)
"""What is built beside the runtime in force gets its own store, while everybody else keeps theirs."""


class Services:
    """One worker's services. Opened before the first runtime, closed after the last."""

    def __init__(self, *, workers: int = 1, owner: bool = True) -> None:
        self.workers = workers
        self.owner = owner
        """This worker does what must be done once a gateway."""
        self.replicas = 1
        self.clock = Clock()
        self.wheel = Wheel()
        self.metrics = Metrics()
        self.relay = Relay()
        self.masking = Masking()
        """What data goes through before people see it; the runtime in force refills it."""
        self.tracing = Tracing(self.metrics, self.masking)
        self.buffer = memoryview(bytearray(RECEIVE_BUFFER))
        self.log_exchange: Callable[[Exchange], None] | None = None
        """The access log, if there is one."""
        self._client: Client | None = None
        self._store: Store | None = None
        self.store_identity: StoreIdentity | None = None
        """Of the store in force."""
        self._next: tuple[StoreIdentity, Store, int] | None = None
        self._replaced: list[Store] = []
        self.durable = Durable(self.clock, self.metrics, owner=owner)
        self.audit = Audit(self.metrics, self.masking)
        self.ports = LivePorts(self)

    async def prepare(self, config: Config) -> StoreIdentity:
        """Have the store that ``config`` names, beside the one in force, until `commit` or `abandon`.

        Returns what the store is known by. Raises StoreUrlError; OSError or ValueError for traces that cannot be sent.
        """
        await self.abandon()
        await self.tracing.prepare(tracing_options(config))
        identity = (config.stores.shared.get_secret_value(), config.stores.deadline)
        replicas = config.replicas if isinstance(config.replicas, int) else self.replicas
        if identity == self.store_identity and self._store is not None:
            store = self._store
        else:
            store = await open_store(identity[0], timeout=identity[1], workers=self.workers)
        self._next = (identity, store, replicas)
        await self.audit.prepare(config.audit.options if config.audit is not None else None)
        await self.durable.prepare(config)
        return identity

    @contextmanager
    def building(self) -> Iterator[None]:
        """What asks for store or queue inside, and the tasks that it starts, get the prepared one."""
        token = _building.set(self._next[1] if self._next is not None else self._store)
        try:
            with self.durable.building():
                yield
        finally:
            _building.reset(token)

    def commit(self, topics: Collection[str] = ()) -> None:
        """What was prepared is in force. The store before serves those who still have it, until `settle`.

        ``topics`` of the durable queue are delivered from now on.
        """
        self.durable.commit(topics)
        if self._next is None:
            return
        self.tracing.commit()
        self.audit.commit()
        identity, store, self.replicas = self._next
        self._next = None
        if self._store is not None and store is not self._store:
            self._replaced.append(self._store)
        self._store, self.store_identity = store, identity

    async def abandon(self) -> None:
        """Close what was prepared and is not wanted."""
        await self.tracing.abandon()
        await self.durable.abandon()
        await self.audit.abandon()
        unwanted, self._next = self._next, None
        if unwanted is not None and unwanted[1] is not self._store:
            await unwanted[1].close()

    async def settle(self) -> None:
        """Close what configurations had that are no longer in force; nobody may be using it."""
        replaced, self._replaced = self._replaced, []
        for store in replaced:
            await store.close()
        await self.tracing.settle()
        await self.durable.settle()

    async def queue(self) -> Queue:
        """The durable queue. Raises RuntimeError without one, QueueUnavailable or QueueUrlError if it cannot open."""
        return await self.durable.get()

    def store(self) -> Store:
        """The shared store. Raises RuntimeError before `prepare`."""
        store = _building.get()
        prepared = [self._next[1]] if self._next is not None else []
        if store is not None and any(store is each for each in (self._store, *prepared, *self._replaced)):
            return store
        if self._store is None:
            raise RuntimeError("the shared store is not open yet")
        return self._store

    @property
    def has_store(self) -> bool:
        """`commit` was called."""
        return self._store is not None

    def client(self) -> Client:
        """For calls of the gateway's own."""
        if self._client is None:
            self._client = Client()
        return self._client

    def record(self, exchange: Exchange) -> None:
        """Count and log an exchange after its end."""
        exchange.request.route.leave(exchange)
        if self.log_exchange is not None:
            self.log_exchange(exchange)

    async def close(self) -> None:
        """Idempotent."""
        await self.ports.close()
        await self.abandon()
        await self.settle()
        await self.tracing.close()
        await self.durable.close()
        if self._client is not None:
            await self._client.close()
            self._client = None
        if self._store is not None:
            store, self._store, self.store_identity = self._store, None, None
            await store.close()
        await self.audit.close()
        self.wheel.close()
        await asyncio.sleep(0)  # let closed transports say so before the loop ends
