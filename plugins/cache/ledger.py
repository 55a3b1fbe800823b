"""How what is purged reaches every cache: those of this worker, of the gateway's other workers, and of other replicas.

With a store in memory the other workers are told over the supervisor's line before the purger goes on. With a shared
store every purge gets a number there, is written to a bounded log and published; a worker that has missed one, by the
number, reads the log, and forgets all it has if even that does not reach back. While the store is away purges hold in
this worker, and are written as soon as it is back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from gateway.errors import StoreUnavailable
from gateway.plugin import Context
from gateway.services.store import KeyPrefix, Scope, Script, Store, Subscription, Table, channel
from plugins.cache.purge import Kind, Purge, PurgeLog

if TYPE_CHECKING:
    from gateway.services.relay import Hearing
    from gateway.services.store import Arg

TOPIC: Final = "cache/purges"
MOST_WRITTEN: Final = 1000
"""Batches in the shared log, of those that name URLs and of the others."""
MOST_PENDING: Final = 1000
"""Purges that wait for a store that is away; with more, everything is purged when it is back."""
RETRY: Final = 1.0
"""Seconds between two tries to write what was put off."""
_LIFE: Final = 31 * 86400 * 1_000_000
"""µs that the log outlives the last purge: longer than anything is kept."""
_CHANNEL: Final = channel(TOPIC)
_PREFIX: Final = KeyPrefix("cache")
_KEYS: Final = tuple(_PREFIX.key("purges", name) for name in ("number", "urls", "others", "horizon"))

Written = list[tuple[str, str, bool]]
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Written).decode


def _append(table: Table, keys: Sequence[bytes], args: Sequence[Arg], now: int) -> int:
    number, urls, others, horizon = keys
    payload, broad, most, life = args[0], int(args[1]), int(args[2]), int(args[3])
    seq = int(table.get(number) or now // 1000) + 1
    table.put(number, seq, now + life)
    name = others if broad else urls
    raw = payload if isinstance(payload, bytes) else str(payload).encode()
    written = [*(table.get(name) or ()), b"%d %b" % (seq, raw)]
    while len(written) > most:
        gone = written.pop(0)
        if broad:
            table.put(horizon, int(gone.split(b" ", 1)[0]), now + life)
    table.put(name, tuple(written), now + life)
    return seq


APPEND: Final = Script(
    "cache_purges_append",
    lua="""
redis.call('SET', KEYS[1], math.floor(now / 1000), 'NX')
local seq = redis.call('INCR', KEYS[1])
local name = tonumber(ARGV[2]) == 1 and KEYS[3] or KEYS[2]
redis.call('RPUSH', name, seq .. ' ' .. ARGV[1])
while redis.call('LLEN', name) > tonumber(ARGV[3]) do
  local gone = redis.call('LPOP', name)
  if name == KEYS[3] then redis.call('SET', KEYS[4], string.match(gone, '^%d+')) end
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, math.ceil(ARGV[4] / 1000)) end
return seq
""",
    local=_append,
)
"""KEYS: number, URLs' log, others' log, horizon. ARGV: batch, 1 if it names more than URLs, most, life in µs. → its
number. They begin with the time in ms, so that a store which was emptied gives none a second time.
"""


def _read(table: Table, keys: Sequence[bytes], args: Sequence[Arg], now: int) -> list[object]:  # noqa: ARG001 - one shape
    number, urls, others, horizon = keys
    written = [*(table.get(urls) or ()), *(table.get(others) or ())]
    return [int(table.get(number) or 0), int(table.get(horizon) or 0), *written]


READ: Final = Script(
    "cache_purges_read",
    lua="""
local found = {tonumber(redis.call('GET', KEYS[1]) or 0), tonumber(redis.call('GET', KEYS[4]) or 0)}
for _, name in ipairs({KEYS[2], KEYS[3]}) do
  for _, batch in ipairs(redis.call('LRANGE', name, 0, -1)) do table.insert(found, batch) end
end
return found
""",
    local=_read,
)
"""KEYS as above. → the latest number, the number of the last forgotten that named more than URLs, batches."""


class Holder(Protocol):
    """A cache that keeps answers in the shared store, too."""

    def dropped(self, purges: Sequence[Purge], *, ours: bool) -> None:
        """These URLs are purged: take out what the store has of them. ``ours``: nobody else does."""
        ...


class Ledger:
    """One worker's view of what was purged, for all its caches."""

    def __init__(self, context: Context, store: Store) -> None:
        self.log = PurgeLog()
        self.holders: list[Holder] = []
        self._context = context
        self._store = store
        self._fleet = store.scope is Scope.FLEET
        self._taken: deque[int] = deque(maxlen=4 * MOST_WRITTEN)
        """Numbers of batches that are entered already: each comes by several ways."""
        self._pending: list[Purge] = []
        self._hearing: Hearing | Subscription | None = None
        self._reading = False
        self.caught_up = not self._fleet
        """What was purged before this worker began is known."""
        self._retrying: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self.lost = 0
        """Times that the whole cache was forgotten because purges were missed."""

    def open(self) -> None:
        """Listen. Idempotent."""
        if self._hearing is not None:
            return
        if self._fleet:
            self._hearing = self._store.subscribe(_CHANNEL, self._published, self._missed)
        else:
            self._hearing = self._context.relay.hear(TOPIC, self._relayed)

    async def close(self) -> None:
        """Listen no more. Idempotent."""
        hearing, self._hearing = self._hearing, None
        if hearing is not None:
            hearing.close()
        for task in (self._task, self._retrying):
            if task is not None:
                task.cancel()

    async def declare(self, purges: Sequence[Purge], *, asked_all: bool = False) -> bool:
        """Purge, here and everywhere. Whether everybody has been told, or soon will be by what is written.

        ``asked_all``: the other workers of this gateway need not be told.
        """
        if not purges:
            return True
        if not self._fleet:
            self._enter(purges, None, ours=True)
            return asked_all or await self._context.relay.tell(TOPIC, _encode(_written(purges)).decode())
        return await self._write(purges)

    async def _write(self, purges: Sequence[Purge], *, again: bool = False) -> bool:
        payload = _encode(_written(purges))
        broad = any(purge.kind is not Kind.URL for purge in purges)
        try:
            seq = await self._store.run(APPEND, _KEYS, (payload, int(broad), MOST_WRITTEN, _LIFE))
        except StoreUnavailable:
            if not again:
                self._enter(purges, None, ours=True)
                self._put_off(purges)
            return False
        self._enter(purges, seq, ours=True)
        self._counted(seq)
        try:
            await self._store.publish(_CHANNEL, b"%d %b" % (seq, payload))
        except StoreUnavailable:
            return again  # it is written: who listens again reads it
        return True

    def _put_off(self, purges: Sequence[Purge]) -> None:
        """Write them when the store is back."""
        retrying = bool(self._pending)
        self._pending += purges
        if len(self._pending) > MOST_PENDING:
            self._pending = [Purge(Kind.ALL, "")]
        if not retrying and self._hearing is not None:
            self._retrying = asyncio.get_running_loop().create_task(self._retry())

    async def _retry(self) -> None:
        while self._pending:
            await asyncio.sleep(RETRY)
            pending, self._pending = self._pending, []
            if not await self._write(pending, again=True):
                self._pending += pending
            if len(self._pending) > MOST_PENDING:
                self._pending = [Purge(Kind.ALL, "")]

    def _enter(self, purges: Sequence[Purge], seq: int | None, *, ours: bool) -> None:
        if seq is not None:
            self._taken.append(seq)
        for purge in purges:
            self.log.add(purge, seq)
        named = [purge for purge in purges if purge.kind is Kind.URL]
        if named:
            for holder in self.holders:
                holder.dropped(named, ours=ours)

    def _counted(self, seq: int) -> None:
        if seq == self.log.fleet + 1:
            self.log.fleet = seq
        elif seq > self.log.fleet:
            self._catch_up()

    # -- from others -------------------------------------------------------------------------------------------

    def _relayed(self, message: str) -> None:
        self._enter(_purges(_decode(message)), None, ours=False)

    def _published(self, message: bytes) -> None:
        seq, purges = _parsed(message)
        if seq > self.log.fleet and seq not in self._taken:
            self._enter(purges, seq, ours=False)
            self._counted(seq)

    def _missed(self) -> None:
        self._catch_up()

    def _catch_up(self) -> None:
        if not self._reading and self._hearing is not None:
            self._reading = True
            self._task = self._context.spawn(self._read_log(), "cache purges")

    async def _read_log(self) -> None:
        try:
            number, horizon, *batches = await self._store.run(READ, _KEYS)
            self._take(int(str(number)), int(str(horizon)), [_parsed(each) for each in batches])  # type: ignore[arg-type]
        except StoreUnavailable:
            pass  # `_missed` comes again with the next connection
        finally:
            self._reading = False

    def _take(self, number: int, horizon: int, batches: Sequence[tuple[int, list[Purge]]]) -> None:
        log = self.log
        known = log.fleet
        complete = number >= known and len({seq for seq, _ in batches if seq > known}) >= number - known
        unknown = sorted(
            [each for each in batches if each[0] > known and each[0] not in self._taken], key=lambda each: each[0]
        )
        if known and not complete:
            self._taken.clear()
            self.lost += 1
            self._context.log.warning("purges were missed that are not in the log any more: the cache begins anew")
            log.add(Purge(Kind.ALL, ""), number)
        for seq, purges in unknown:
            self._enter(purges, seq, ours=False)
        log.fleet = number
        log.horizon = max(log.horizon, horizon)
        self.caught_up = True


def _written(purges: Sequence[Purge]) -> Written:
    return [(purge.kind.value, purge.what, purge.soft) for purge in purges]


def _purges(written: Written) -> list[Purge]:
    return [Purge(Kind(kind), what, soft) for kind, what, soft in written]


def _parsed(message: bytes) -> tuple[int, list[Purge]]:
    seq, _, payload = message.partition(b" ")
    return int(seq), _purges(_decode(payload))
