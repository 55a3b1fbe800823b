"""A gigabyte of objects through a cache of 64 MB: hit ratio beside that of an ideal LRU, and the memory that it takes.

Run ``python -m bench.zipf``; `measure` gives the same figures to ``make bench``.
"""

import bisect
import gc
import itertools
import os
import random
import time
from collections import OrderedDict
from pathlib import Path

from plugins.cache.entry import Entry, Place, Since
from plugins.cache.freshness import Terms
from plugins.cache.memory import MOST_HITS, MemoryTier

LIMIT = 64 * 1024 * 1024
TOTAL = 1_000_000_000
SIZES = (500, 2_000, 8_000, 30_000, 100_000)
"""Bytes of bodies, each as often as the others: from a JSON record to a picture."""
REQUESTS = 400_000
SKEW = 0.9
"""Zipf's exponent; what caches on the web see lies between 0.6 and 1."""


class Ideal:
    """LRU that knows no overhead: an upper bound for what a real one of that size can do."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._held: OrderedDict[int, int] = OrderedDict()

    def ask(self, number: int, size: int) -> bool:
        if number in self._held:
            self._held.move_to_end(number)
            return True
        self._held[number] = size
        self._used += size
        while self._used > self._limit:
            self._used -= self._held.popitem(last=False)[1]
        return False


def requests(chance: random.Random, count: int) -> tuple[list[int], list[int]]:
    """(which object each request is for, how large each object is)."""
    sizes: list[int] = []
    total = 0
    while total < TOTAL:
        sizes.append(chance.choice(SIZES))
        total += sizes[-1]
    weights = list(itertools.accumulate(1 / (rank + 1) ** SKEW for rank in range(len(sizes))))
    drawn = (bisect.bisect_left(weights, chance.random() * weights[-1]) for _ in range(count))
    return list(drawn), sizes


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def stored(number: int, size: int) -> Entry:
    """As an answer comes out of a fetch: objects of its own, nothing shared with others."""
    place = Place(f"http://bench.test/objects/{number}", f"bench.test/objects/{number}")
    lines = [
        b"Content-Type: application/json", b"Cache-Control: max-age=600", b'ETag: "%d"' % number,
        b"Date: Sat, 21 Nov 2026 12:00:%02d GMT" % (number % 60), b"Server: bench/%d" % number,
    ]  # fmt: skip
    entry = Entry(place, 200, b"OK", lines, bytes(bytearray(size)), Since(0, 0))
    entry.hold(Terms(600.0, 0.0, False, False, 0.0, 0.0, 60.0, True), 0.0, 0.0, 1.0)
    return entry


def measure(count: int = REQUESTS) -> dict[str, float]:
    """``hits`` and ``lru`` in percent, ``memory`` and ``counted`` in percent of the limit, ``cost`` µs a request."""
    asked, sizes = requests(random.Random(1), count)
    ideal, tier = Ideal(LIMIT), MemoryTier(LIMIT, 32)
    lru = sum(ideal.ask(number, sizes[number]) for number in asked)
    del ideal
    keys = [f"http://bench.test/objects/{number}" for number in range(len(sizes))]
    gc.collect()
    before, most, hits = resident(), 0, 0
    began = time.perf_counter()
    for turn, number in enumerate(asked):
        entry = tier.find(keys[number], None)
        if entry is None:
            tier.put(stored(number, sizes[number]))
        else:
            hits += 1
            entry.hits = min(entry.hits + 1, MOST_HITS)
        if turn % 20_000 == 0:
            most = max(most, resident())
    cost = (time.perf_counter() - began) / count * 1e6
    most = max(most, resident())
    return {
        "hits": hits / count * 100,
        "lru": lru / count * 100,
        "memory": (most - before) / LIMIT * 100,
        "counted": tier.used / LIMIT * 100,
        "objects": len(tier),
        "cost": cost,
    }


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:8} {value:.2f}")
