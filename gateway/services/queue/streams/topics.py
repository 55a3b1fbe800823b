"""The way to Redis for one queue: scripts run on a topic's tag, and the index of topics."""

from __future__ import annotations

from typing import Any, Final

from gateway.errors import InternalError, StoreUnavailable
from gateway.services.clock import Clock
from gateway.services.queue.contract import QueueUnavailable
from gateway.services.queue.streams.keys import TOPICS, digest, tag_of_topic
from gateway.services.queue.streams.rows import micros
from gateway.services.queue.streams.scripts import ENLIST, ENLISTED, REGISTER
from gateway.services.store import Script
from gateway.services.store.redis import RedisStore
from gateway.services.store.wire import Arg

MOST_TAGS: Final = 10_000
"""Topics whose tags are remembered."""


class Topics:
    """Runs scripts; what goes wrong is a `QueueUnavailable`."""

    def __init__(self, store: RedisStore, clock: Clock) -> None:
        self.store = store
        # Redis' own clock decides, so that replicas agree. A clock that somebody turns (tests) stands in for it.
        self._turned = None if type(clock) is Clock else clock
        self._tags: dict[str, bytes] = {}
        self._names: dict[bytes, str] = {}
        self._closed = False

    def tag(self, topic: str) -> bytes:
        """What the topic's keys begin with."""
        found = self._tags.get(topic)
        if found is None:
            if len(self._tags) >= MOST_TAGS:
                self._tags.clear()
            found = self._tags[topic] = tag_of_topic(topic)
        return found

    async def run(self, key: bytes, script: Script[Any], *args: Arg) -> Any:
        """What the script gives back. Raises QueueUnavailable: it was not answered in time, was refused, or the server
        is known to be away.
        """
        now = "" if self._turned is None else micros(self._turned.time())
        if self._closed:
            raise QueueUnavailable("the queue is closed")
        try:
            return await self.store.run(script, (key,), (now, *args))
        except (StoreUnavailable, InternalError) as error:
            raise QueueUnavailable(error.reason) from error

    async def register(self, topic: str) -> None:
        """Make what the topic needs. First into the index, so that there is never a topic that no listing finds."""
        await self.run(TOPICS, ENLIST, digest(topic, 6), topic)
        await self.run(self.tag(topic), REGISTER, topic)

    async def names(self) -> list[str]:
        """Every topic there ever was, in order."""
        return sorted(name.decode() for name in await self.run(TOPICS, ENLISTED))

    async def name(self, tag: bytes) -> str | None:
        """The topic whose keys begin with that tag."""
        if tag not in self._names:
            self._names = {self.tag(name): name for name in await self.names()}
        return self._names.get(tag)

    def close(self) -> None:
        """What is asked from now on is refused."""
        self._closed = True
