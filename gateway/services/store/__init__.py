"""Shared state for plugins: counters, locks, sessions, replay ids, purges. In memory or in Redis, behind one `Store`.

A plugin declares `Script` objects at module level, names keys with a `KeyPrefix`, gets a `Store` from its context and
wraps it in `Degrading`, which applies the operator's ``on_store_error``. Redis' library is loaded only when a URL
names Redis.
"""

from __future__ import annotations

from gateway.services.store.address import Address, StoreUrlError, parse_store_url
from gateway.services.store.contract import Counters, Scope, State, Store, Subscription
from gateway.services.store.degrade import DEFAULT_TIMEOUT, Degrading, OnStoreError, Outcome, StorePolicy
from gateway.services.store.key import KeyPrefix, channel
from gateway.services.store.lock import Lock
from gateway.services.store.memory import DEFAULT_KEYS, MemoryStore
from gateway.services.store.script import Scale, Script
from gateway.services.store.table import Table
from gateway.services.store.wire import Arg

__all__ = [
    "DEFAULT_TIMEOUT",
    "Address",
    "Arg",
    "Counters",
    "Degrading",
    "KeyPrefix",
    "Lock",
    "MemoryStore",
    "OnStoreError",
    "Outcome",
    "Scale",
    "Scope",
    "Script",
    "State",
    "Store",
    "StorePolicy",
    "StoreUrlError",
    "Subscription",
    "Table",
    "channel",
    "open_store",
    "parse_store_url",
]


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
