"""Keys in this process: bounded, each with an end of life, constant time, no timer and no task.

When the table is full, what has expired goes first, then what was used longest ago. Expired entries are found through
buckets of about a second; every key sits in at most one of them, and each write clears away a few that are due, so
neither a burst of endings nor a long silence makes one call slow.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from typing import Any, Final

BUCKET_BITS: Final = 20
"""2**20 µs: buckets of 1.05 s."""
HORIZON: Final = 3600
"""An entry that ends later than this many buckets ahead is looked at again then: so there are never more buckets than
that.
"""
SWEEP: Final = 4
"""Due entries cleared by one write: more than a write can add."""


class Entry:
    __slots__ = ("bucket", "expires", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.expires = 0
        self.bucket = 0


class Table:
    """What the local side of a script works on. ``now`` is set (µs) before a script runs; values may be any object.

    A value belongs to the table: put a new one rather than change one that was got.
    """

    __slots__ = ("_buckets", "_due", "_entries", "capacity", "evicted", "expired", "now")

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("a table holds at least one key")
        self.capacity = capacity
        self.now = 0
        self.evicted = 0
        """Live keys that had to make room."""
        self.expired = 0
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._buckets: dict[int, set[bytes]] = {}
        self._due: list[int] = []

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> Any:
        """The value, or None when there is none or its time is over."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if 0 < entry.expires <= self.now:
            self._remove(key, entry)
            self.expired += 1
            return None
        self._entries.move_to_end(key)
        return entry.value

    def expires(self, key: bytes) -> int:
        """When the key ends (µs, the table's clock), 0 if it does not or is not there."""
        entry = self._entries.get(key)
        return 0 if entry is None else entry.expires

    def put(self, key: bytes, value: Any, expires: int = 0) -> None:
        """Set the value and its end of life: a time in µs on the table's clock, 0 for none."""
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= self.capacity:
                self._make_room()
            self._entries[key] = entry = Entry(value)
        else:
            entry.value = value
            self._entries.move_to_end(key)
        entry.expires = expires
        if expires:
            self._file(key, entry)
        if self._due and self._due[0] < self.now >> BUCKET_BITS:
            self._sweep(SWEEP)

    def drop(self, key: bytes) -> bool:
        """Remove the key; whether it was there and alive."""
        entry = self._entries.get(key)
        if entry is None:
            return False
        self._remove(key, entry)
        return entry.expires == 0 or entry.expires > self.now

    def keys_under(self, beginning: bytes) -> list[bytes]:
        """All keys that begin so, over or not. Looks at every key."""
        return [key for key in self._entries if key.startswith(beginning)]

    def clear(self) -> None:
        self._entries.clear()
        self._buckets.clear()
        self._due.clear()

    def _remove(self, key: bytes, entry: Entry) -> None:
        del self._entries[key]
        if entry.bucket:
            self._buckets[entry.bucket].discard(key)

    def _file(self, key: bytes, entry: Entry) -> None:
        """Put the key in the bucket of its end. One that sits in an earlier bucket stays: it is filed again when that
        is due.
        """
        bucket = min(entry.expires >> BUCKET_BITS, (self.now >> BUCKET_BITS) + HORIZON)
        if entry.bucket:
            if entry.bucket <= bucket:
                return
            self._buckets[entry.bucket].discard(key)
        entry.bucket = bucket
        keys = self._buckets.get(bucket)
        if keys is None:
            self._buckets[bucket] = {key}
            heapq.heappush(self._due, bucket)
        else:
            keys.add(key)

    def _sweep(self, most: int) -> None:
        """Clear up to ``most`` entries out of buckets that are wholly past."""
        current = self.now >> BUCKET_BITS
        while most and self._due and self._due[0] < current:
            keys = self._buckets[self._due[0]]
            while keys and most:
                most -= 1
                key = keys.pop()
                entry = self._entries[key]
                entry.bucket = 0
                if 0 < entry.expires <= self.now:
                    del self._entries[key]
                    self.expired += 1
                elif entry.expires:
                    self._file(key, entry)
            if not keys:
                del self._buckets[heapq.heappop(self._due)]

    def _make_room(self) -> None:
        self._sweep(SWEEP)
        if len(self._entries) >= self.capacity:
            key, entry = next(iter(self._entries.items()))
            if not 0 < entry.expires <= self.now:
                self.evicted += 1
            else:
                self.expired += 1
            self._remove(key, entry)
