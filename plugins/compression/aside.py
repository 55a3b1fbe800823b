"""Coding beside the event loop: what would hold others up for longer than a moment is done in a few threads.

The threads are the codings' own. In the loop's usual ones a page at brotli's highest level, a hundred milliseconds for
64 KB, would stand before whoever looks up a name. There are as many as processors, so what is coded waits for what is
coded, and the loop for nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")

MOST_THREADS: Final = 4
MOMENT: Final = 540_000
"""Nanoseconds that the loop may be held: half of what gzip at its usual level takes for 64 KB, which a read brings."""
_COSTS: Final[dict[str, tuple[int, ...]]] = {
    "gzip": (0, 5, 8, 10, 12, 13, 16, 26, 45, 45),
    "br": (4, 5, 10, 12, 16, 28, 30),
    "zstd": (0, 3, 4, 4, 8, 8, 11, 11, 15, 15),
}
"""Nanoseconds for a byte of JSON by level (measured, 2026). Levels above these begin with tables that take
milliseconds to set up."""


def inline_below(coding: str, level: int) -> int:
    """Bytes from which a piece is coded aside; 0: always."""
    costs = _COSTS[coding]
    return MOMENT // costs[level] if level < len(costs) else 0


class Threads:
    """A worker's threads for coding."""

    def __init__(self) -> None:
        most = min(MOST_THREADS, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(max_workers=most, thread_name_prefix="coding")
        self._closed = False

    async def run(self, work: Callable[..., T], *given: object) -> T:
        """Do it there, when a thread is free; here, for what is still streaming when they are gone."""
        if self._closed:
            return work(*given)
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *given)

    async def close(self) -> None:
        """Idempotent. What is being coded is not waited for."""
        self._closed = True
        self._pool.shutdown(wait=False)
