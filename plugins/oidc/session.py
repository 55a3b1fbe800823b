"""Sessions: what one holds, how it is sealed, and where in the shared store it and the marks of its end stand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final, TypeVar

import msgspec

from gateway.services.seal import Broken, Seal
from gateway.services.store import Arg, KeyPrefix, Script, Store, Table

LARGEST: Final = 128 * 1024
"""Bytes of a session."""


class Session(msgspec.Struct, frozen=True):
    """Somebody who is logged in. Times are seconds since 1970, by our clock unless said otherwise."""

    id: str
    subject: str
    sid: str
    """The provider's name for its own session, or nothing."""
    issued: float
    """When the ID token of the login was made, by the provider's clock: what its logouts are compared with."""
    began: float
    seen: float
    claims: dict[str, Any]
    access: str
    access_expires: float
    """0: the provider did not say."""
    refreshed: float
    """When the tokens came."""
    refresh: str = ""
    id_token: str = ""
    generation: int = 0
    """How often it was refreshed."""


class Handle(msgspec.Struct, frozen=True):
    """What the cookie holds of a session in the store: enough to see that it was ended."""

    id: str
    subject: str
    sid: str
    issued: float
    began: float


S = TypeVar("S", Session, Handle)


class Sealed:
    """Seals and opens for one client of one provider: a session of another is none here."""

    def __init__(self, keys: Sequence[str], owner: bytes) -> None:
        self._seal = Seal(keys)
        self._owner = owner

    def seal(self, value: msgspec.Struct) -> bytes:
        """Sealed, for its kind only."""
        return self._seal.seal(msgspec.msgpack.encode(value), self._purpose(type(value)))

    def open(self, sealed: bytes | None, kind: type[msgspec.Struct]) -> Any:
        """The value of that kind; None if it is none, or not by our hand."""
        if not sealed or len(sealed) > LARGEST:
            return None
        try:
            return msgspec.msgpack.decode(self._seal.open(sealed, self._purpose(kind)), type=kind)
        except (Broken, msgspec.DecodeError):  # forged, of a key that was taken out, or of another version of us
            return None

    def _purpose(self, kind: type[msgspec.Struct]) -> bytes:
        return b"oidc " + kind.__name__.encode() + b" " + self._owner


def owner_of(issuer: str, client: str, cookie: str) -> bytes:
    """A name for all that one client of one provider keeps under one cookie's name."""
    return blake2b(f"{issuer}\0{client}\0{cookie}".encode(), digest_size=12).hexdigest().encode()


def _replace(table: Table, keys: Sequence[bytes], args: Sequence[Arg], now: int) -> int:
    if table.get(keys[0]) is None:
        return 0
    table.put(keys[0], args[0], now + int(args[1]) * 1000)
    return 1


REPLACE: Final = Script(
    "oidc_replace",
    lua="return redis.call('SET', KEYS[1], ARGV[1], 'XX', 'PX', ARGV[2]) and 1 or 0",
    local=_replace,
)
"""KEYS: a session. ARGV: its value, time to live in ms. → 1; 0 if it was ended meanwhile, and stays so."""


def _touch(table: Table, keys: Sequence[bytes], args: Sequence[Arg], now: int) -> int:
    held = table.get(keys[0])
    if held is None:
        return 0
    table.put(keys[0], held, now + int(args[0]) * 1000)
    return 1


TOUCH: Final = Script("oidc_touch", lua="return redis.call('PEXPIRE', KEYS[1], ARGV[1])", local=_touch)
"""KEYS: a session. ARGV: time to live in ms. → 1; 0 if it is gone."""


def _mark(table: Table, keys: Sequence[bytes], args: Sequence[Arg], now: int) -> int:
    at = max(int(args[0]), int(table.get(keys[0]) or 0))
    table.put(keys[0], at, now + int(args[1]) * 1000)
    return at


MARK: Final = Script(
    "oidc_mark",
    lua="""
local at = tonumber(ARGV[1])
local held = tonumber(redis.call('GET', KEYS[1]) or 0)
if held > at then at = held end
redis.call('SET', KEYS[1], string.format('%.0f', at), 'PX', ARGV[2])
return at
""",
    local=_mark,
)
"""KEYS: the mark of an end. ARGV: sessions made until when it ends (s), time to live in ms. → the latest so far."""


class Records:
    """Sessions and marks in the shared store. All may raise StoreUnavailable."""

    def __init__(self, store: Store, sealed: Sealed, owner: bytes, max_age: float, idle: float | None) -> None:
        self.store = store
        self._sealed = sealed
        self._prefix = KeyPrefix("oidc", owner.decode())
        self._max_age = max_age
        self._idle = idle

    def lock(self, session: str) -> bytes:
        """The key of a session's lock."""
        return self._prefix.key(session, "lock")

    async def read(self, session: str) -> Session | None:
        """The session as it was written last."""
        found = self._sealed.open(await self.store.get(self._key(session)), Session)
        return found if isinstance(found, Session) and found.id == session else None

    async def put(self, session: Session, now: float) -> bool:
        """Write it, whether or not it is there."""
        return await self.store.set(self._key(session.id), self._sealed.seal(session), ttl=self._left(session, now))

    async def replace(self, session: Session, now: float) -> bool:
        """Write it if it has not been ended; whether it was."""
        sealed, left = self._sealed.seal(session), int(self._left(session, now) * 1000)
        return bool(await self.store.run(REPLACE, (self._key(session.id),), (sealed, left)))

    async def touch(self, session: Session, now: float) -> None:
        """It is in use: begin its idle time anew."""
        await self.store.run(TOUCH, (self._key(session.id),), (int(self._left(session, now) * 1000),))

    async def end(self, session: Session | Handle) -> None:
        """End one session."""
        await asyncio.gather(self.store.delete(self._key(session.id)), self.mark("id", session.id, session.issued))

    async def mark(self, kind: str, name: str, until: float) -> None:
        """End all sessions of this name that were made until then, by the provider's clock."""
        args = (int(until), int(self._max_age * 1000) + 60_000)
        await self.store.run(MARK, (self._prefix.key(f"{kind}:{name}", "ended"),), args)

    async def ended(self, session: Session | Handle) -> bool:
        """Whether somebody ended it: here, or at the provider."""
        ours = ("sid", session.sid) if session.sid else ("lone", session.subject)
        names = (("id", session.id), ("sub", session.subject), ours)
        marks = await asyncio.gather(
            *(self.store.get(self._prefix.key(f"{kind}:{name}", "ended")) for kind, name in names)
        )
        return any(mark is not None and int(float(mark)) >= int(session.issued) for mark in marks)

    async def once(self, state: str, seconds: float) -> bool:
        """Whether this login is finished for the first time."""
        return await self.store.set(self._prefix.key(state, "used"), b"1", ttl=seconds, if_absent=True)

    def _key(self, session: str) -> bytes:
        return self._prefix.key(session, "session")

    def _left(self, session: Session, now: float) -> float:
        left = max(session.began + self._max_age - now, 1.0)
        return min(left, self._idle) if self._idle is not None else left
