"""From a URL to a store."""

from __future__ import annotations

from gateway.services.store.address import parse_store_url
from gateway.services.store.contract import Store
from gateway.services.store.degrade import DEFAULT_TIMEOUT
from gateway.services.store.memory import DEFAULT_KEYS, MemoryStore


async def open_store(url: str, *, timeout: float = DEFAULT_TIMEOUT, workers: int = 1) -> Store:  # noqa: ASYNC109
    """The store that a URL names, open. ``timeout``: seconds a call may take; ``workers``: over how many processes of
    this gateway a memory store's limits are divided.

    A Redis that does not answer is no error: the store is degraded until it does. Raises `StoreUrlError`.
    """
    address = parse_store_url(url)
    if address.kind == "memory":
        return MemoryStore(address.keys or DEFAULT_KEYS, share=1 / workers)
    # Here and not above: whoever has no Redis should not pay for its library's memory.
    from gateway.services.store.redis import RedisStore  # noqa: PLC0415

    store = RedisStore(address, timeout=timeout)
    await store.open()
    return store
