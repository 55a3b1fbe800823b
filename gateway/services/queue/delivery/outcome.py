"""What became of an attempt at an item."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Delivered:
    """It is done."""

    status: int = 200


@dataclass(frozen=True, slots=True)
class Failed:
    """Not this time; later perhaps."""

    status: int = 0
    """Of the answer; 0 if there was none."""
    error: str = ""
    """A code of the catalogue; empty if the answer says enough."""
    detail: str = ""
    """For people, without secrets and without anybody's data."""
    after: float | None = None
    """Seconds that were asked for (``Retry-After``)."""
    ill: bool = False
    """It says that the upstream is ill, or asks to be left alone; else it may be about this item alone."""


@dataclass(frozen=True, slots=True)
class Hopeless:
    """No further attempt can change it."""

    status: int = 0
    error: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Untried:
    """Nothing was sent: no target may be tried, or the route is gone. It counts for nothing."""

    why: str
    after: float = 0.0
    """Seconds to leave the upstream alone, if that is known."""


Outcome = Delivered | Failed | Hopeless | Untried
