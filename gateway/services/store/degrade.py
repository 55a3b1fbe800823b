"""The degradation ladder: what happens to a request while the store that its policy needs is away. One for all
plugins.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Final, Generic, NamedTuple, TypeVar

from gateway.errors import StoreUnavailable
from gateway.services.store.contract import Store
from gateway.services.store.memory import MemoryStore
from gateway.services.store.script import Script
from gateway.services.store.wire import Arg

R = TypeVar("R")

DEFAULT_TIMEOUT: Final = 0.02
"""Seconds. Longer than a Redis in the same data centre ever needs, shorter than a client notices."""


class OnStoreError(StrEnum):
    """``local``: go on with state in this process, limits divided; ``allow``: let pass; ``deny``: 503
    store_unavailable.
    """

    LOCAL = "local"
    ALLOW = "allow"
    DENY = "deny"


class Outcome(NamedTuple, Generic[R]):
    """What a run gave, and whether it came from the local copy because the store is away."""

    result: R
    degraded: bool


class Degrading:
    """A store with the operator's choice for its absence around it. The deadline is the store's own (`open_store`).

    ``local`` is the state that is used while the store is away: give its ``share`` as 1/(replicas * workers), and
    change it when replicas come and go. What it counted is not carried over on recovery: a request is counted here or
    there, and only a call that was sent and never answered may have counted in the store as well, so a limit errs to
    the strict side.
    """

    __slots__ = ("_memory", "_store", "degraded", "local", "on_store_error")

    def __init__(
        self, store: Store, on_store_error: OnStoreError = OnStoreError.LOCAL, *, local: MemoryStore | None = None
    ) -> None:
        self._store = store
        self._memory = store if isinstance(store, MemoryStore) else None
        self.on_store_error = on_store_error
        self.local = local
        if local is None and on_store_error is OnStoreError.LOCAL:
            self.local = MemoryStore()
        self.degraded = 0
        """Requests that were answered without the store, or refused for want of it."""

    @property
    def store(self) -> Store:
        return self._store

    async def run(self, script: Script[R], keys: Sequence[bytes], args: Sequence[Arg] = ()) -> Outcome[R] | None:
        """Run the script in the store, or as the policy says: locally, not at all (None: let the request pass), or
        raise `StoreUnavailable`.
        """
        if self._memory is not None:
            return Outcome(self._memory.run_now(script, keys, args), False)
        try:
            return Outcome(await self._store.run(script, keys, args), False)
        except StoreUnavailable as error:
            local = self._step_down(error)
            return None if local is None else Outcome(local.run_now(script, keys, args), True)

    async def attempt(self, call: Callable[[Store], Awaitable[R]]) -> Outcome[R] | None:
        """The same for any other call: ``await degrading.attempt(lambda store: store.get(key))``."""
        try:
            return Outcome(await call(self._store), False)
        except StoreUnavailable as error:
            local = self._step_down(error)
            return None if local is None else Outcome(await call(local), True)

    def _step_down(self, error: StoreUnavailable) -> MemoryStore | None:
        """Count it; the local store, None to let pass, or raise the error."""
        self.degraded += 1
        if self.on_store_error is OnStoreError.DENY:
            raise error
        return self.local if self.on_store_error is OnStoreError.LOCAL else None
