"""Answers in this process: bounded by bytes, kept by S3-FIFO, which a scan of things asked for once cannot empty.

Newcomers stand in a small queue; those asked for again before they reach its end move to the main one, the others
leave a trace by which a second coming is recognised. A hit costs one addition and moves nothing. Everything that an
entry takes is counted, its share of dictionaries and queues included.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

from plugins.cache.entry import Entry
from plugins.cache.vary import Selecting, chosen_by, prefers_language

_ENTRY: Final = 760
"""Bytes of an entry itself: the object with its numbers, a place in a queue and in the index, the terms."""
_LINE: Final = 33 + 8
"""Bytes of an object of bytes, and of the place in the list that holds it."""
_TRACE: Final = 120
"""Bytes of what is left of an entry that is gone."""
SMALL_SHARE: Final = 0.1
"""Of the bytes, for newcomers (the figure of S3-FIFO's authors)."""
MOST_HITS: Final = 3
SMALL, MAIN = 1, 2


class Variants:
    """The answers to one URL that ``Vary`` tells apart."""

    __slots__ = ("by_fields", "count")

    def __init__(self) -> None:
        self.by_fields: dict[Selecting, dict[str, Entry]] = {}
        self.count = 0

    def __iter__(self) -> Iterator[Entry]:
        for entries in self.by_fields.values():
            yield from entries.values()

    def select(self, headers: object) -> Entry | None:
        """The one that a request selects, of several the latest (RFC 9111 §4.1)."""
        best: Entry | None = None
        for names, entries in self.by_fields.items():
            entry = entries.get(chosen_by(names, headers))  # type: ignore[arg-type]
            if entry is None and "accept-language" in names:
                entry = self._by_language(names, headers)
            if entry is not None and (best is None or entry.arrived > best.arrived):
                best = entry
        return best

    def _by_language(self, names: Selecting, headers: object) -> Entry | None:
        if names != ("accept-language",):
            return None
        for entry in self.by_fields[names].values():
            if entry.language and prefers_language(headers, entry.language):  # type: ignore[arg-type]
                return entry
        return None


class MemoryTier:
    """At most ``limit`` bytes of answers."""

    __slots__ = ("_ghosts", "_main", "_most_variants", "_small", "_small_used", "evicted", "index", "limit", "used")

    def __init__(self, limit: int, most_variants: int) -> None:
        self.limit = limit
        self.used = 0
        self.evicted = 0
        self.index: dict[str, Entry | Variants] = {}
        """Key → its answer, or answers. To be read by whoever serves hits."""
        self._most_variants = most_variants
        self._small: OrderedDict[str, Entry] = OrderedDict()
        self._main: OrderedDict[str, Entry] = OrderedDict()
        self._ghosts: OrderedDict[int, None] = OrderedDict()
        self._small_used = 0

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def __iter__(self) -> Iterator[Entry]:
        """All entries, as they are now."""
        yield from list(self._small.values())
        yield from list(self._main.values())

    def find(self, key: str, headers: object) -> Entry | None:
        """The answer that a request with these fields selects."""
        found = self.index.get(key)
        if found is None or type(found) is Entry:
            return found
        return found.select(headers)  # type: ignore[union-attr]

    def all_of(self, key: str) -> list[Entry]:
        """Every answer of a key."""
        found = self.index.get(key)
        if found is None:
            return []
        return [found] if isinstance(found, Entry) else list(found)

    def has_newer(self, entry: Entry) -> bool:
        """Whether another answer stands in its place by now, of a later time."""
        held = self._small.get(entry.slot) or self._main.get(entry.slot)
        return held is not None and held is not entry and held.arrived > entry.arrived

    def put(self, entry: Entry) -> bool:
        """Keep it in place of what it replaces. False if it is too large to be kept at all."""
        size = entry.size = size_of(entry)
        if size > self.limit // 2:
            self.remove_slot(entry.slot)
            return False
        old = self._small.get(entry.slot) or self._main.get(entry.slot)
        if old is not None:
            entry.queue, entry.hits = old.queue, old.hits
            queue = self._small if old.queue == SMALL else self._main
            queue[entry.slot] = entry  # takes its place: what is renewed every second must not fill the queue
            self.used += size - old.size
            if old.queue == SMALL:
                self._small_used += size - old.size
            old.queue = 0
        else:
            self._make_room(size)
            self._enqueue(entry)
        self._enter(entry)
        self._make_room(0)
        return entry.queue != 0

    def _enqueue(self, entry: Entry) -> None:
        trace = hash(entry.slot)
        if trace in self._ghosts:
            del self._ghosts[trace]
            self.used -= _TRACE
            entry.queue = MAIN
            self._main[entry.slot] = entry
        else:
            entry.queue = SMALL
            self._small[entry.slot] = entry
            self._small_used += entry.size
        self.used += entry.size

    def _enter(self, entry: Entry) -> None:
        """Into the index, beside or in place of what stands there."""
        found = self.index.get(entry.key)
        if not entry.selecting:
            if isinstance(found, Variants):  # the origin has stopped to vary
                for each in list(found):
                    self._drop(each)
            self.index[entry.key] = entry
            return
        if not isinstance(found, Variants):
            if found is not None:
                self._drop(found)
            found = self.index[entry.key] = Variants()
        entries = found.by_fields.setdefault(entry.selecting, {})
        if entry.chosen not in entries:
            found.count += 1
        entries[entry.chosen] = entry
        if found.count > self._most_variants:
            self._drop(min((each for each in found if each is not entry), key=lambda each: each.arrived))

    def _make_room(self, size: int) -> None:
        while self.used + size > self.limit and (self._small or self._main):
            if self._small and (self._small_used > self.limit * SMALL_SHARE or not self._main):
                self._leave_small()
            else:
                self._leave_main()

    def _leave_small(self) -> None:
        slot, entry = self._small.popitem(last=False)
        self._small_used -= entry.size
        if entry.hits:
            entry.hits = 0
            entry.queue = MAIN
            self._main[slot] = entry
            return
        self._forget(entry)
        self.evicted += 1
        self._ghosts[hash(slot)] = None
        self.used += _TRACE
        while len(self._ghosts) > len(self._main) + len(self._small):
            self._ghosts.popitem(last=False)
            self.used -= _TRACE

    def _leave_main(self) -> None:
        slot, entry = self._main.popitem(last=False)
        if entry.hits:
            entry.hits -= 1
            self._main[slot] = entry
            return
        self._forget(entry)
        self.evicted += 1

    def _forget(self, entry: Entry) -> None:
        """Out of the index and the count; it has left its queue."""
        self.used -= entry.size
        entry.queue = 0
        found = self.index.get(entry.key)
        if found is entry:
            del self.index[entry.key]
        elif isinstance(found, Variants):
            entries = found.by_fields.get(entry.selecting, {})
            if entries.get(entry.chosen) is entry:
                del entries[entry.chosen]
                found.count -= 1
                if not entries:
                    del found.by_fields[entry.selecting]
                if not found.count:
                    del self.index[entry.key]

    def _drop(self, entry: Entry) -> None:
        queue = self._small if entry.queue == SMALL else self._main
        if queue.get(entry.slot) is not entry:
            return
        del queue[entry.slot]
        if entry.queue == SMALL:
            self._small_used -= entry.size
        self._forget(entry)

    def remove(self, entry: Entry) -> bool:
        """Take it out; whether it was there."""
        if not entry.queue:
            return False
        self._drop(entry)
        return True

    def remove_slot(self, slot: str) -> None:
        """Take out what is kept there."""
        entry = self._small.get(slot) or self._main.get(slot)
        if entry is not None:
            self._drop(entry)

    def remove_where(self, unwanted: Callable[[Entry], bool]) -> int:
        """Take out all that is unwanted; how many."""
        return sum([self.remove(entry) for entry in self if unwanted(entry)])

    def resize(self, limit: int, most_variants: int) -> None:
        """Hold so much from now on."""
        self.limit, self._most_variants = limit, most_variants
        self._make_room(0)

    async def close(self) -> None:
        """Forget everything: nobody uses it any more."""
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        for each in (self._small, self._main):
            for entry in each.values():
                entry.queue = 0
            each.clear()
        self._ghosts.clear()
        self.index.clear()
        self.used = self._small_used = 0


def size_of(entry: Entry) -> int:
    """Bytes that an entry takes, all told."""
    texts = 2 * len(entry.key) + len(entry.url) + len(entry.chosen)
    # Twice the lines: the list for the current second holds the same objects and two more.
    return _ENTRY + texts + sum([len(line) + _LINE + 8 for line in entry.lines]) + len(entry.body) + 33
