"""Shared state for plugins: counters, locks, sessions, replay ids, purges. In memory or in Redis, behind one `Store`.

A plugin declares `Script` objects at module level, names keys with a `KeyPrefix`, gets a `Store` from its context and
wraps it in `Degrading`, which applies the operator's ``on_store_error``. Redis' library is loaded only when a URL
names Redis.
"""

from __future__ import annotations

from gateway.services.store.address import Address, StoreUrlError, parse_store_url
from gateway.services.store.contract import Counters, Scope, State, Store, Subscription
from gateway.services.store.degrade import DEFAULT_TIMEOUT, Degrading, OnStoreError, Outcome
from gateway.services.store.key import KeyPrefix, channel
from gateway.services.store.lock import Lock
from gateway.services.store.memory import MemoryStore
from gateway.services.store.opening import open_store
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
    "StoreUrlError",
    "Subscription",
    "Table",
    "channel",
    "open_store",
    "parse_store_url",
]
