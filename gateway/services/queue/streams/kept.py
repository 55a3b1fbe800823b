"""Values under a name, such as results that will be fetched; each goes by itself when its time is over."""

from __future__ import annotations

from typing import Final

from gateway.services.queue.streams.keys import digest, kept_key, subject_key
from gateway.services.queue.streams.rows import Codec, micros
from gateway.services.queue.streams.scripts import BELONG, BELONGINGS, DISOWN, FORGET, KEEP, KEPT, UNKEEP
from gateway.services.queue.streams.topics import Topics

SIZE: Final = 20
"""Bytes of a name's digest: nobody may choose a name that meets another's."""


class Kept:
    """A value and its subject's index may lie on different servers, so the index is written first and cleared last:
    an entry too many does no harm.
    """

    def __init__(self, topics: Topics, codec: Codec) -> None:
        self._topics = topics
        self._codec = codec

    async def keep(self, name: str, value: bytes, ttl: float, subject: str | None) -> None:
        """See `Queue.keep`."""
        name_digest = digest(name, SIZE)
        owner = "" if subject is None else digest(subject)
        span = max(micros(ttl), 1)
        belong = (subject_key(owner), BELONG, span, name_digest)
        if owner:
            await self._topics.run(*belong)
        await self._topics.run(kept_key(name_digest), KEEP, span, owner, self._codec.sealed(value))
        if owner:  # again: an erasure may have gone over the index before the value was there
            await self._topics.run(*belong)

    async def kept(self, name: str) -> bytes | None:
        """See `Queue.kept`."""
        found = await self._topics.run(kept_key(digest(name, SIZE)), KEPT)
        return None if found is None else self._codec.opened(found)

    async def forget(self, name: str) -> None:
        """See `Queue.forget`."""
        key = kept_key(digest(name, SIZE))
        await self._topics.run(key, FORGET)

    async def erase(self, subject: str) -> int:
        """Delete what is kept under it; how many."""
        owner = digest(subject)
        names = [name.decode() for name in await self._topics.run(subject_key(owner), BELONGINGS)]
        erased = 0
        for name in names:
            erased += await self._topics.run(kept_key(name), UNKEEP, owner)
        for start in range(0, len(names), 500):
            await self._topics.run(subject_key(owner), DISOWN, *names[start : start + 500])
        return erased
