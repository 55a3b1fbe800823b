"""Answers in the shared store, for all workers and replicas: sealed if there is a key, large bodies in pieces.

What is stored of one URL stands in one hash, so that one call takes all of it out, whoever it was kept for. An answer
that cannot be read, because the store is away, it was changed or a piece of it is gone, is one that is not there.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.errors import StoreUnavailable
from gateway.services.seal import Broken, Seal
from gateway.services.store import KeyPrefix, Lock, Script, Store, Table
from plugins.cache.entry import Entry, Packed, pack, revive, unpack
from plugins.cache.vary import Selecting, chosen_by

if TYPE_CHECKING:
    from multidict import MultiMapping

    from gateway.services.clock import Clock
    from gateway.services.store import Arg

PIECE: Final = 64 * 1024
"""Bytes of a body that go in one call: small enough for the store's deadline."""
AT_ONCE: Final = 4
MOST_FIELDS: Final = 256
"""Answers of one URL, of all callers and variants; with more, all go and it begins anew."""
MOST_SELECTIONS: Final = 4
RETAINED: Final = 3600.0
"""Seconds for which what can be validated is kept beyond its use."""
LONGEST: Final = 30 * 86400.0
MOST_RECENT: Final = 4096
RECENTLY: Final = 60.0
_PURPOSE: Final = b"cache"


def _put(table: Table, keys: Sequence[bytes], args: Sequence[Arg], now: int) -> int:
    field, value, life, most, name, names = args
    held: dict[bytes, bytes] = dict(table.get(keys[0]) or {})
    if len(held) >= int(most) and field not in held:
        held = {}
    held[_raw(field)] = _raw(value)
    if names:
        held[_raw(name)] = _raw(names)
    table.put(keys[0], held, max(table.expires(keys[0]), now + int(life) * 1000))
    return len(held)


def _raw(arg: Arg) -> bytes:
    return arg if isinstance(arg, bytes) else str(arg).encode()


PUT: Final = Script(
    "cache_put",
    lua="""
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if ARGV[6] ~= '' then redis.call('HSET', KEYS[1], ARGV[5], ARGV[6]) end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return redis.call('HLEN', KEYS[1])
""",
    local=_put,
)
"""KEYS: the URL's hash. ARGV: field, value, life in ms, most fields, field of the selections, these or nothing."""


def _get(table: Table, keys: Sequence[bytes], args: Sequence[Arg], now: int) -> list[bytes | None]:  # noqa: ARG001
    held: dict[bytes, bytes] = table.get(keys[0]) or {}
    return [held.get(_raw(field)) for field in args]


GET: Final = Script("cache_get", lua="return redis.call('HMGET', KEYS[1], unpack(ARGV))", local=_get)
"""KEYS: the URL's hash. ARGV: fields. → their values."""


def _digest(text: str) -> bytes:
    return blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest().encode()


class SharedTier:
    """What one cache keeps in the shared store. Raises nothing: whatever fails is a miss, and counted."""

    def __init__(
        self, store: Store, prefix: KeyPrefix, clock: Clock, *, keys: Sequence[str], early_refresh: float
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._clock = clock
        self._seal = Seal(keys) if keys else None
        self._early_refresh = early_refresh
        self._recent: OrderedDict[str, float] = OrderedDict()
        """URLs written here a moment ago: a purge by another process may have come before the write."""
        self.failures = 0
        """Calls that the store did not answer."""
        self.broken = 0
        """Answers that could not be opened."""
        self.found = 0
        self.written = 0

    def _hash(self, url: str) -> bytes:
        return self._prefix.key(_digest(url), "r")

    def _piece(self, url: str, blob: bytes, number: int) -> bytes:
        return self._prefix.key(_digest(url), f"{blob.hex()}.{number}")

    async def clear(self) -> int:
        """Take out everything of this cache; how many keys of the store. Raises StoreUnavailable."""
        return await self._store.clear(self._prefix.beginning())

    async def find(self, key: str, url: str, headers: MultiMapping[str]) -> tuple[Packed, Entry] | None:
        """The answer that a request selects, the latest of several."""
        try:
            return await self._find(key, url, headers)
        except StoreUnavailable:
            self.failures += 1
        except (Broken, ValueError, msgspec.MsgspecError):
            self.broken += 1
        return None

    async def _find(self, key: str, url: str, headers: MultiMapping[str]) -> tuple[Packed, Entry] | None:
        place = self._hash(url)
        plain, names = await self._store.run(GET, (place,), (b"e" + _digest(key), b"s" + _digest(key)))
        found = [plain] if plain is not None else []
        if names is not None:
            selections: list[Selecting] = msgspec.msgpack.decode(names, type=list[tuple[str, ...]])
            fields = [b"e" + _digest(_slot(key, each, chosen_by(each, headers))) for each in selections]
            found += [each for each in await self._store.run(GET, (place,), fields) if each is not None]
        packed = [unpack(self._opened(each)) for each in found]
        wanted = [each for each in packed if each.key == key and each.url == url and _suits(each, headers)]
        if not wanted:
            return None
        latest = max(wanted, key=lambda each: each.arrived)
        body = await self._body(latest)
        if body is None:
            return None
        self.found += 1
        return latest, revive(latest, body, self._clock.now(), self._clock.time(), self._early_refresh)

    async def _body(self, packed: Packed) -> bytes | None:
        if not packed.pieces:
            return packed.blob
        body = bytearray()
        for first in range(0, packed.pieces, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, packed.pieces))
            for piece in await asyncio.gather(
                *[self._store.get(self._piece(packed.url, packed.blob, number)) for number in numbers]
            ):
                if piece is None:
                    return None
                body += self._opened(piece)
        whole = bytes(body)
        return whole if blake2b(whole, digest_size=16).digest() == packed.blob else None

    async def put(self, entry: Entry) -> bool:
        """Keep it. False if the store did not take it."""
        now = self._clock.now()
        life = max(entry.usable_until() - now, 0.0) + (RETAINED if entry.has_validator else 0.0)
        life = min(life, LONGEST)
        if life < 0.001:
            return False
        try:
            blob, pieces = entry.body, 0
            if len(entry.body) > PIECE:
                blob = blake2b(entry.body, digest_size=16).digest()
                pieces = await self._put_body(entry, blob, life)
            value = self._sealed(pack(entry, blob, pieces))
            names = await self._selections(entry)
            field = b"e" + _digest(_slot(entry.key, entry.selecting, entry.chosen))
            args = (field, value, int(life * 1000) + 1, MOST_FIELDS, b"s" + _digest(entry.key), names)
            await self._store.run(PUT, (self._hash(entry.url),), args)
        except StoreUnavailable:
            self.failures += 1
            return False
        self.written += 1
        self._recent[entry.url] = now
        if len(self._recent) > MOST_RECENT:
            self._recent.popitem(last=False)
        return True

    async def _put_body(self, entry: Entry, blob: bytes, life: float) -> int:
        pieces = [entry.body[at : at + PIECE] for at in range(0, len(entry.body), PIECE)]
        for first in range(0, len(pieces), AT_ONCE):
            await asyncio.gather(
                *[
                    # A little longer than the head, which names them.
                    self._store.set(self._piece(entry.url, blob, first + at), self._sealed(piece), ttl=life + 60.0)
                    for at, piece in enumerate(pieces[first : first + AT_ONCE])
                ]
            )
        return len(pieces)

    async def _selections(self, entry: Entry) -> bytes:
        """The sets of fields by which answers of this key are told apart, the latest first."""
        if not entry.selecting:
            return b""
        (held,) = await self._store.run(GET, (self._hash(entry.url),), (b"s" + _digest(entry.key),))
        known: list[Selecting] = msgspec.msgpack.decode(held, type=list[tuple[str, ...]]) if held is not None else []
        made = [entry.selecting, *[each for each in known if each != entry.selecting]][:MOST_SELECTIONS]
        return msgspec.msgpack.encode(made)

    def turn(self, key: str, url: str, lease: float) -> Lock:
        """Whose turn it is to fetch this, of all workers and replicas."""
        return Lock(self._store, self._prefix.key(_digest(url), "l" + _digest(key).decode()), lease=lease)

    def _mark(self, key: str, url: str) -> bytes:
        return self._prefix.key(_digest(url), "p" + _digest(key).decode())

    async def mark(self, key: str, url: str, seconds: float) -> None:
        """Its answer could not be kept: nobody need wait for another's."""
        try:
            await self._store.set(self._mark(key, url), b"1", ttl=seconds)
        except StoreUnavailable:
            self.failures += 1

    async def marked(self, key: str, url: str) -> bool:
        """Whether somebody found that. Raises StoreUnavailable."""
        return await self._store.get(self._mark(key, url)) is not None

    async def drop(self, urls: Sequence[str], *, ours: bool) -> None:
        """Take out all of these URLs; of those that another process purged, what was written here a moment ago."""
        now = self._clock.now()
        wanted = urls if ours else [url for url in urls if now - self._recent.get(url, now - RECENTLY) < RECENTLY]
        calls: list[Any] = [self._store.delete(self._hash(url)) for url in wanted]
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(outcome, StoreUnavailable):
                self.failures += 1

    def _sealed(self, plain: bytes) -> bytes:
        return plain if self._seal is None else self._seal.seal(plain, _PURPOSE)

    def _opened(self, sealed: bytes) -> bytes:
        return sealed if self._seal is None else self._seal.open(sealed, _PURPOSE)


def _slot(key: str, selecting: Selecting, chosen: str) -> str:
    return key if not selecting else f"{key}\n{','.join(selecting)}\n{chosen}"


def _suits(packed: Packed, headers: MultiMapping[str]) -> bool:
    return not packed.selecting or chosen_by(packed.selecting, headers) == packed.chosen
