"""What a worker has once, whatever configuration is in force: time, counters, stores, the client, the logs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.config.model import Config
from gateway.http import Exchange
from gateway.runtime.ports import LivePorts
from gateway.services.client import Client
from gateway.services.clock import Clock, Wheel
from gateway.services.metrics import Metrics
from gateway.services.store import Store, open_store

RECEIVE_BUFFER = 64 * 1024
"""Bytes read from a target at once: small enough that a thousand stalled streams stay small."""


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
        self.buffer = memoryview(bytearray(RECEIVE_BUFFER))
        self.log_exchange: Callable[[Exchange], None] | None = None
        """The access log, if there is one."""
        self._client: Client | None = None
        self._store: Store | None = None
        self._store_identity: tuple[str, float] | None = None
        self._replaced: list[Store] = []
        self.ports = LivePorts(self)

    async def prepare(self, config: Config) -> None:
        """Have the stores that ``config`` names. What was there before serves until `settle`. Raises StoreUrlError."""
        identity = (config.stores.shared.get_secret_value(), config.stores.deadline)
        if identity != self._store_identity:
            store = await open_store(identity[0], timeout=identity[1], workers=self.workers)
            if self._store is not None:
                self._replaced.append(self._store)
            self._store, self._store_identity = store, identity
        if isinstance(config.replicas, int):
            self.replicas = config.replicas

    async def settle(self) -> None:
        """Close what a configuration that is no longer in force had."""
        replaced, self._replaced = self._replaced, []
        for store in replaced:
            await store.close()

    def store(self) -> Store:
        """The shared store. Raises RuntimeError before `prepare`."""
        if self._store is None:
            raise RuntimeError("the shared store is not open yet")
        return self._store

    @property
    def has_store(self) -> bool:
        """`prepare` was called."""
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
        await self.settle()
        if self._client is not None:
            await self._client.close()
            self._client = None
        if self._store is not None:
            store, self._store, self._store_identity = self._store, None, None
            await store.close()
        self.wheel.close()
        await asyncio.sleep(0)  # let closed transports say so before the loop ends
