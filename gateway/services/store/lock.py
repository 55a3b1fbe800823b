"""A lock with a lease, for work that one process at a time should do (refresh a session, deliver, sweep)."""

from __future__ import annotations

import asyncio
import random
import secrets
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from gateway.errors import StoreUnavailable
from gateway.services.store.contract import Store
from gateway.services.store.primitives import LOCK_ACQUIRE, LOCK_EXTEND, LOCK_RELEASE, millis

FIRST_PAUSE: Final = 0.01
LONGEST_PAUSE: Final = 0.25


class Lock:
    """Held by at most one for as long as its lease lasts.

    ``async with Lock(store, key, lease=10, wait=2):`` waits up to ``wait`` seconds and raises TimeoutError if others
    kept it. The lease ends by the store's clock whether or not the work is done: choose it longer than the work or
    call `extend`, and let what must never happen twice be checked again under the lock. Raises `StoreUnavailable`
    when the store is away.
    """

    __slots__ = ("_keys", "_lease", "_store", "_token", "_wait")

    def __init__(self, store: Store, key: bytes, *, lease: float, wait: float = 0.0) -> None:
        self._store = store
        self._keys = (key,)
        self._lease = millis(lease)
        self._wait = wait
        self._token = secrets.token_bytes(16)

    async def acquire(self) -> bool:
        """Take the lock if nobody has it; whether it is ours."""
        return bool(await self._store.run(LOCK_ACQUIRE, self._keys, (self._token, self._lease)))

    async def extend(self) -> bool:
        """Begin the lease anew; False if the lock was lost meanwhile."""
        return bool(await self._store.run(LOCK_EXTEND, self._keys, (self._token, self._lease)))

    async def release(self) -> bool:
        """Give the lock up; False if the lease had ended before."""
        return bool(await self._store.run(LOCK_RELEASE, self._keys, (self._token,)))

    async def __aenter__(self) -> Self:
        until = asyncio.get_running_loop().time() + self._wait
        pause = FIRST_PAUSE
        while not await self.acquire():
            left = until - asyncio.get_running_loop().time()
            if left <= 0:
                raise TimeoutError("the lock is held by another")
            await asyncio.sleep(min(left, pause * random.uniform(0.5, 1)))  # noqa: S311 - spreads waiters, no secret
            pause = min(pause * 2, LONGEST_PAUSE)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(StoreUnavailable):  # the lease ends by itself; what the body returned or raised counts more
            await self.release()
