"""What several plugins use and should exist once a worker, such as an issuer's keys: made by the first who asks, closed
by the last who is done. A reload opens the new before it closes the old, so what both use lives on.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, Protocol, TypeVar


class Closable(Protocol):
    """What can be held."""

    async def close(self) -> None: ...


T = TypeVar("T", bound=Closable)


class Hold(Generic[T]):
    """One user's share in a thing."""

    __slots__ = ("_key", "_owner", "thing")

    def __init__(self, owner: Shared, key: Hashable, thing: T) -> None:
        self.thing = thing
        self._owner: Shared | None = owner
        self._key = key

    async def release(self) -> None:
        """Be done with it; it closes when nobody holds it any more. Idempotent."""
        owner, self._owner = self._owner, None
        if owner is not None and owner.leave(self._key):
            await self.thing.close()


class Shared:
    """The things of a worker that are counted by reference."""

    def __init__(self) -> None:
        self._things: dict[Hashable, tuple[Any, int]] = {}

    def __len__(self) -> int:
        return len(self._things)

    def hold(self, key: Hashable, make: Callable[[], T]) -> Hold[T]:
        """The thing of this key, made if there is none. Whoever uses a key agrees on what stands under it."""
        thing, users = self._things.get(key) or (make(), 0)
        self._things[key] = (thing, users + 1)
        return Hold(self, key, thing)

    def leave(self, key: Hashable) -> bool:
        """One user less; whether that was the last. Called by `Hold.release`."""
        thing, users = self._things.pop(key)
        if users > 1:
            self._things[key] = (thing, users - 1)
        return users == 1
