"""How keys are named: ``sg:{tag}:field``.

The part in braces is what Redis Cluster hashes, so all fields of one subject lie in one slot and a script may touch
them together. The tag is made of the plugin's name, what the state belongs to (route, plugin id …) and the subject (a
client, an idempotency key). Subjects come from clients: characters that have a meaning in a key are written ``%xx``
and long ones are replaced by their digest, so no two subjects meet in one key and no client chooses how long it is.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

LONGEST: Final = 120
_SPECIAL: Final = re.compile(rb"[\x00-\x20%{}:/~\x7f]")


def channel(name: str) -> bytes:
    """The channel of that name for `Store.publish` and `Store.subscribe`."""
    return b"sg:" + name.encode()


class KeyPrefix:
    """The first part of a plugin's keys, encoded once. ``KeyPrefix("rate_limit", route, id).key(client)``."""

    __slots__ = ("_head",)

    def __init__(self, *owner: str) -> None:
        self._head = b"sg:{" + b"/".join(escape(part) for part in owner) + b"/"

    def key(self, subject: str | bytes, field: str = "") -> bytes:
        """The key of that field of that subject. Keys of one subject may be given to one script."""
        head = self._head + escape(subject)
        return head + b"}:" + escape(field) if field else head + b"}"

    def beginning(self, subject: str | bytes = "") -> bytes:
        """How the keys of all subjects begin that begin so; escaped, a subject is to begin with nothing special."""
        return self._head + escape(subject)


def escape(part: str | bytes) -> bytes:
    """A part of a key: no separators or blanks in it, and at most `LONGEST` bytes."""
    raw = part.encode(errors="surrogateescape") if isinstance(part, str) else part
    if len(raw) > LONGEST:
        return b"~" + hashlib.blake2b(raw, digest_size=20).hexdigest().encode()
    if _SPECIAL.search(raw):
        escaped = _SPECIAL.sub(lambda found: b"%%%02x" % found[0][0], raw)
        return escaped if len(escaped) <= LONGEST else b"~" + hashlib.blake2b(raw, digest_size=20).hexdigest().encode()
    return raw
