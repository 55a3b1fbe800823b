"""How the C library's allocator keeps memory, for a process that takes and gives back the same megabytes all day."""

from __future__ import annotations

import ctypes
import os
from typing import Final

_TRIM_THRESHOLD: Final = -1
_TOP_PAD: Final = -2
_MMAP_THRESHOLD: Final = -3
"""Of mallopt(3), as glibc numbers them."""

KEPT: Final = 32 << 20
"""Free bytes at the top of the heap beyond which they are given back. By default that is 128 KB, so that answers of
100 KB had their pages taken away and zeroed anew for each: more than a third of their cost."""
GROWN: Final = 1 << 20
"""Bytes that the heap grows by at least."""
MAPPED: Final = 1 << 20
"""What is larger is mapped, and given back, by itself. Said here, as glibc no longer adapts it once another is set."""


def keep_memory() -> bool:
    """Set the allocator up for this process; False where it is not glibc's, or the environment has said something."""
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl, macOS
        return False
    settings = ((_TRIM_THRESHOLD, KEPT), (_TOP_PAD, GROWN), (_MMAP_THRESHOLD, MAPPED))
    return all(mallopt(what, value) == 1 for what, value in settings)
