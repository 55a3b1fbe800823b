"""Where things lie: one tag per topic, so that each script touches one slot of a cluster; an id names its topic's tag.

The tag holds a digest and not the topic's name: an id leads to its topic's keys without a look-up, and what operators
name their routes chooses neither how long keys are nor which characters they hold.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

TOPICS: Final = b"sg:{q}:topics"
"""Hash: digest → name of every topic there ever was."""
_ID: Final = re.compile(r"[0-9a-f]{26}")
_STAMP: Final = 14
"""Hexadecimal digits of microseconds since the epoch at the beginning of an id; good for two thousand years."""


def digest(text: str, size: int = 16) -> str:
    """``size`` bytes of BLAKE2b (RFC 7693) in hexadecimal."""
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=size).hexdigest()


def tag_of_topic(topic: str) -> bytes:
    """What every key of the topic begins with."""
    return b"sg:{q/%b}" % digest(topic, 6).encode()


def tag_of_id(id: str) -> bytes | None:  # noqa: A002 - the contract's word
    """The tag of the topic that an item belongs to; None for what is no id of ours."""
    return b"sg:{q/%b}" % id[_STAMP:].encode() if _ID.fullmatch(id) else None


def lowest_id(stamp: int) -> str:
    """What no id is below that was given at or after ``stamp`` (µs)."""
    return f"{max(stamp, 0):0{_STAMP}x}"


def kept_key(name_digest: str) -> bytes:
    """Of a kept value."""
    return b"sg:{q/kept/%b}" % name_digest.encode()


def subject_key(subject_digest: str) -> bytes:
    """Of the index of values that are kept under a subject."""
    return b"sg:{q/of/%b}" % subject_digest.encode()
