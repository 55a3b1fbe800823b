"""Cache groups (RFC 9875): what an answer belongs to, and what an answer to an unsafe request invalidates."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import http_sf

MOST: Final = 64
"""Groups of one answer that are heeded; the standard wants 32 at least."""
LONGEST: Final = 128
"""Characters of a group's name; the standard wants 32 at least."""


def groups_of(lines: Sequence[str]) -> tuple[str, ...]:
    """The members of ``Cache-Groups`` or ``Cache-Group-Invalidation``: a List of Strings; nothing if it is none."""
    if not lines:
        return ()
    return _groups(", ".join(lines))


@lru_cache(maxsize=1024)
def _groups(text: str) -> tuple[str, ...]:
    try:
        members: Any = http_sf.parse(text.encode("ascii"), tltype="list")
    except (ValueError, UnicodeError):
        return ()
    found = [member[0] for member in members if isinstance(member[0], str) and type(member[0]) is str]
    return tuple(dict.fromkeys(name for name in found if len(name) <= LONGEST))[:MOST]
