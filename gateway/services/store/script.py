"""A script: one atomic step on shared state, declared once with its two sides.

``lua`` runs in Redis, ``local`` runs in this process on a `Table`. Both see the same keys, the same arguments and
**one** time of their own store, ``now`` in microseconds since the epoch: in Lua it is a local variable that comes
from Redis' ``TIME`` (so that replicas whose clocks differ agree), locally it is the fourth argument. Both give back
the same reply. A test runs the same table of cases over both sides.

Rules for the Lua side: all keys through ``KEYS`` and all of one `KeyPrefix` subject (they share a slot); numbers that
do not fit 53 bits, or fractions, go back as strings, for Redis cuts a Lua number to an integer. Redis drops a key by
its own clock, so a script must be right about a key that is *still there*, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from gateway.services.store.table import Table
from gateway.services.store.wire import Arg, pack

R_co = TypeVar("R_co", covariant=True)

Scale = Callable[[Sequence[Arg], float], Sequence[Arg]]
"""The arguments of a script and a share (0 < share ≤ 1) → the arguments with their limits divided by it."""

LIVE_CLOCK: Final = "local now = redis.call('TIME'); now = now[1] * 1000000 + now[2]\n"


class Script(Generic[R_co]):
    """One atomic step; make it once, at module level. ``R_co`` is what a run gives back: int, bytes, None or lists of
    these.

    ``scale`` says which arguments are limits, so that a copy of the state that stands for one of several (a worker's,
    or a replica's while the store is away) lets through its share only. A script without limits needs none.
    A ``durable`` one succeeds only when as many replicas have it as the store's URL asks for (``wait``).
    """

    __slots__ = ("durable", "load_command", "local", "lua", "name", "scale", "sha")

    def __init__(
        self,
        name: str,
        *,
        lua: str,
        local: Callable[[Table, Sequence[bytes], Sequence[Arg], int], R_co],
        scale: Scale | None = None,
        durable: bool = False,
    ) -> None:
        self.name = name
        self.local = local
        self.scale = scale
        self.lua = lua
        self.durable = durable
        text = (LIVE_CLOCK + lua).encode()
        # Redis names scripts by SHA-1; nothing rests on it being hard to collide.
        self.sha = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
        self.load_command = pack(b"SCRIPT", b"LOAD", text)

    def __repr__(self) -> str:
        return f"Script({self.name!r})"

    def at(self, now: int) -> Script[R_co]:
        """The same script with Redis' clock standing at ``now`` (µs): for tables of cases, never in service."""
        fixed: Script[R_co] = Script(self.name, lua=self.lua, local=self.local, scale=self.scale)
        text = f"local now = {now:d}\n{self.lua}".encode()
        fixed.sha = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
        fixed.load_command = pack(b"SCRIPT", b"LOAD", text)
        return fixed

    def scaled(self, args: Sequence[Arg], share: float) -> Sequence[Arg]:
        """``args`` for a copy of the state that stands for ``share`` of the whole."""
        return args if self.scale is None or share >= 1 else self.scale(args, share)
