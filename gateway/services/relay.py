"""From one worker of a gateway to the others: short messages that all of them take before the sender goes on.

With a store in memory the workers share nothing, and yet some things, such as what has been purged, must reach all of
them. A worker without a supervisor has nobody to tell.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger("gateway.relay")

Send = Callable[[str, str], Awaitable[None]]
"""(topic, message) → when the other workers have taken it."""


class Hearing:
    """An interest in a topic, until it is closed."""

    __slots__ = ("_deliver", "_hearings")

    def __init__(self, hearings: list[Hearing], deliver: Callable[[str], None]) -> None:
        self._hearings = hearings
        self._deliver = deliver
        hearings.append(self)

    def __call__(self, message: str) -> None:
        self._deliver(message)

    def close(self) -> None:
        """Idempotent."""
        if self in self._hearings:
            self._hearings.remove(self)


class Relay:
    """One worker's end."""

    def __init__(self) -> None:
        self.send: Send | None = None
        """Set where there are other workers."""
        self._topics: dict[str, list[Hearing]] = {}

    async def tell(self, topic: str, message: str) -> bool:
        """Tell the other workers, not this one. Whether all that are alive have taken it; one that starts later has
        not.
        """
        if self.send is None:
            return True
        try:
            await self.send(topic, message)
        except Exception as error:  # noqa: BLE001 - the line may be gone in many ways; the caller learns that it failed
            log.warning("the other workers could not be told of %s: %s", topic, error)
            return False
        return True

    def hear(self, topic: str, deliver: Callable[[str], None]) -> Hearing:
        """Call ``deliver`` for what others tell: on the event loop, so it must be quick."""
        return Hearing(self._topics.setdefault(topic, []), deliver)

    def deliver(self, topic: str, message: str) -> None:
        """Another worker tells this."""
        for hearing in tuple(self._topics.get(topic, ())):
            try:
                hearing(message)
            except Exception:
                log.exception("what %s tells was not taken", topic)
