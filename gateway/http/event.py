"""The event that a request brings: what a plugin that verified it found, for those behind that must know it again.

A sender that tries again sends the same event id in another request: other time, other signature, perhaps other bytes.
Where the id stands differs from provider to provider; who keeps or counts events asks here and need not know.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.http.request import Request


@dataclass(frozen=True, slots=True)
class Event:
    """One event of one sender, in a request whose signature holds."""

    provider: str
    """Whose scheme it was verified by, such as ``stripe``."""
    id: str | None
    """The sender's name for it, the same in each of its tries; None if it sent none."""
    time: float | None = None
    """When the sender signed it, seconds since the epoch; None if it does not say."""

    @property
    def key(self) -> str | None:
        """The id with the provider in front: events of two providers may meet on one route."""
        return None if self.id is None else f"{self.provider}:{self.id}"


def note_event(request: Request, event: Event) -> None:
    """Tell the plugins behind. The last one told holds."""
    if request.extras is None:
        request.extras = {Event: event}
    else:
        request.extras = {**request.extras, Event: event}  # forks share the mapping


def event_of(request: Request) -> Event | None:
    """The verified event that a request brings; None if nobody verified one."""
    extras = request.extras
    return None if extras is None else extras.get(Event)
