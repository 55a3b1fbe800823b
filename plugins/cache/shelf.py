"""Where answers are kept: in this worker's memory, in the shared store, or in both, memory first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from gateway.http import Request
from gateway.plugin import Context
from gateway.services.store import KeyPrefix, Scope
from plugins.cache.entry import Entry
from plugins.cache.key import is_of
from plugins.cache.ledger import Ledger
from plugins.cache.memory import MOST_HITS, MemoryTier
from plugins.cache.purge import Kind, Purge, PurgeLog
from plugins.cache.settings import CacheSettings, Partition, Tier
from plugins.cache.vary import chosen_by

if TYPE_CHECKING:
    from gateway.services.shared import Hold
    from plugins.cache.shared import SharedTier

MOST_WRITES: Final = 64
"""Answers on their way to the shared store; what comes then is kept in memory only."""


class Shelf:
    """One cache's answers."""

    def __init__(self, settings: CacheSettings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._clock = context.clock
        self._in_memory = Tier.MEMORY in settings.tiers
        self.memory = MemoryTier(settings.memory, settings.max_variants)
        self.purges = PurgeLog()
        self.shared: SharedTier | None = None
        self._ledger: Ledger | None = None
        self._holds: list[Hold[Any]] = []
        self._looking: dict[str, asyncio.Task[Entry | None]] = {}
        self._writes: set[asyncio.Task[None]] = set()
        self._drops: set[asyncio.Task[None]] = set()
        self.unwritten = 0
        """Answers that did not go to the shared store because too many others were on their way."""

    def open(self) -> None:
        """Take over what a cache of the same route and id holds that is about to close, and listen for purges."""
        context, settings = self._context, self._settings
        store = context.store()
        ledger = context.shared.hold(("cache", "ledger", store), lambda: Ledger(context, store))
        # What is kept by other keys, or for others, is not the same any more: then it begins anew.
        shape = (settings.key, settings.partition, settings.methods, settings.set_cookie)
        name = ("cache", "memory", store, context.route, context.id, repr(shape))
        memory = context.shared.hold(name, lambda: MemoryTier(settings.memory, settings.max_variants))
        self._holds = [ledger, memory]
        self._ledger, self.memory = ledger.thing, memory.thing
        self.memory.resize(settings.memory, settings.max_variants)
        self.purges = ledger.thing.log
        self.purges.sweeps.append(self._sweep)
        ledger.thing.open()
        if store.scope is not Scope.FLEET:
            self._in_memory = True  # there is nothing else
        if store.scope is not Scope.FLEET and (context.ports.replicas > 1 or Tier.SHARED in settings.tiers):
            context.log.warning(
                "%s %s: `stores.shared` is in memory, so neither answers nor purges reach other replicas",
                context.route,
                context.id,
            )
        if Tier.SHARED in settings.tiers and store.scope is Scope.FLEET:
            from plugins.cache.shared import SharedTier  # noqa: PLC0415 - its ciphers' memory is paid by who wants them

            keys = [key.get_secret_value() for key in settings.seal]
            prefix = KeyPrefix("cache", context.route, context.id)
            self.shared = SharedTier(store, prefix, self._clock, keys=keys, early_refresh=settings.early_refresh)
            ledger.thing.holders.append(self)

    async def close(self) -> None:
        """Idempotent."""
        if self._sweep in self.purges.sweeps:
            self.purges.sweeps.remove(self._sweep)
        if self._ledger is not None and self in self._ledger.holders:
            self._ledger.holders.remove(self)
        tasks: list[asyncio.Task[Any]] = [*self._looking.values(), *self._writes, *self._drops]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        holds, self._holds = self._holds, []
        for hold in holds:
            await hold.release()

    @property
    def durable(self) -> bool:
        """Answers outlive this worker."""
        return self.shared is not None

    # -- finding -----------------------------------------------------------------------------------------------

    async def find(self, key: str, url: str, request: Request) -> Entry | None:
        """The stored answer that the request selects and that no purge speaks of."""
        entry = self.memory.find(key, request.headers)
        if entry is not None and not self.purged(entry):
            if entry.hits < MOST_HITS:
                entry.hits += 1
            return entry
        # Until it is known what was purged, nothing that others have written is trusted.
        if self.shared is not None and self._ledger is not None and self._ledger.caught_up:
            return await self._find_shared(key, url, request)
        return None

    async def _find_shared(self, key: str, url: str, request: Request) -> Entry | None:
        # Whoever looks for the same meanwhile waits for one look.
        task = self._looking.get(key)
        if task is None:
            task = self._looking[key] = asyncio.get_running_loop().create_task(self._look(key, url, request))
            task.add_done_callback(lambda _done: self._looking.pop(key, None))
        entry = await asyncio.shield(task)
        if entry is None or not entry.selecting or chosen_by(entry.selecting, request.headers) == entry.chosen:
            return entry
        return await self._look(key, url, request)

    async def settled(self) -> None:
        """Wait until what is on its way to the shared store now is there."""
        if self._writes:
            await asyncio.wait(set(self._writes))

    async def look(self, key: str, url: str, request: Request) -> Entry | None:
        """What the shared store has, whatever is in memory."""
        if self.shared is None or self._ledger is None or not self._ledger.caught_up:
            return None
        return await self._look(key, url, request)

    async def _look(self, key: str, url: str, request: Request) -> Entry | None:
        assert self.shared is not None
        found = await self.shared.find(key, url, request.headers)
        if found is None:
            return None
        packed, entry = found
        purge = self.purges.missed_by_fleet(entry.url, entry.groups, packed.seq)
        if purge is not None and not purge.soft:
            return None
        entry.fleet = packed.seq
        entry.seq = entry.vouched = self.purges.seq
        if purge is not None:
            entry.soften(self._clock.now())
        if self._in_memory:
            self.memory.put(entry)
        return entry

    def purged(self, entry: Entry) -> bool:
        """Whether it is gone by a purge; one that is only to be stale is made so."""
        if entry.vouched == self.purges.seq:
            return False
        purge = self.purges.judge(entry)
        if purge is None:
            return False
        if purge.soft:
            entry.soften(self._clock.now())
            entry.vouched = self.purges.seq
            return False
        self.memory.remove(entry)
        return True

    # -- keeping -----------------------------------------------------------------------------------------------

    def put(self, entry: Entry) -> bool:
        """Keep it."""
        kept = self.memory.put(entry) if self._in_memory else False
        if self.shared is None:
            return kept
        if len(self._writes) >= MOST_WRITES:
            self.unwritten += 1
            return kept
        task = asyncio.get_running_loop().create_task(self._write(self.shared, entry))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return True

    async def _write(self, shared: SharedTier, entry: Entry) -> None:
        if await shared.put(entry) and self.purges.missed_by(entry.url, entry.groups, entry.seq):
            await shared.drop([entry.url], ours=True)  # purged while it was written

    def discard(self, entry: Entry) -> None:
        """It does not hold any more."""
        self.memory.remove(entry)
        if self.shared is not None:
            self._drop([entry.url], ours=True)

    # -- purging -----------------------------------------------------------------------------------------------

    async def purge(self, purges: Sequence[Purge], *, asked_all: bool = False) -> bool:
        """Declare out of date, here and wherever else it is stored. Whether everybody has been told."""
        if self._ledger is None:
            return False
        told = await self._ledger.declare(purges, asked_all=asked_all)
        if self._drops:  # taken out, and not only declared, before whoever purged goes on
            await asyncio.wait(set(self._drops))
        return told

    def dropped(self, purges: Sequence[Purge], *, ours: bool) -> None:
        """These URLs are purged: out of the shared store with them."""
        self._drop([purge.what for purge in purges if not purge.soft], ours=ours)

    def _drop(self, urls: Sequence[str], *, ours: bool) -> None:
        if urls and self.shared is not None:
            task = asyncio.get_running_loop().create_task(self.shared.drop(urls, ours=ours))
            self._drops.add(task)
            task.add_done_callback(self._drops.discard)

    def clean(self) -> int:
        """Take out of memory what purges speak of; how many answers. They are not used in any case."""
        return sum([self.purged(entry) for entry in self.memory])

    async def erase(self, principal: str) -> int:
        """Take out what is kept for a principal alone. The shared store knows not whose an answer is: there all go.

        Raises StoreUnavailable.
        """
        found = [entry for entry in self.memory if is_of(entry.key, principal)]
        for entry in found:
            self.memory.remove(entry)
        if self._settings.partition not in (Partition.AUTO, Partition.PRINCIPAL) or self.shared is None:
            return len(found)
        if self._writes:
            await asyncio.wait(set(self._writes))
        return len(found) + await self.shared.clear()

    def _sweep(self, purges: Sequence[Purge]) -> None:
        """The same for purges that are about to be forgotten."""
        now = self._clock.now()
        self._drop([purge.what for purge in purges if purge.kind is Kind.URL and purge.soft], ours=True)
        by_url = {purge.what: purge for purge in purges if purge.kind is Kind.URL}
        others = [purge for purge in purges if purge.kind is not Kind.URL]
        for entry in self.memory:
            found = [each for each in others if each.seq > entry.seq and each.matches(entry.url, entry.groups)]
            if (named := by_url.get(entry.url)) is not None and named.seq > entry.seq:
                found.append(named)
            if any(not each.soft for each in found):
                self.memory.remove(entry)
            elif found:
                entry.soften(now)
