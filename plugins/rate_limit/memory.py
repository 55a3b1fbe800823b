"""What is remembered here of those over a limit: both memories are bounded, and forget the oldest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from plugins.rate_limit.algorithm import Verdict

REFUSED: Final = 10_000
OFFENDERS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal that the store told, and until when it holds."""

    since: float
    """Before the store was asked, so that what it said in µs from its own now is over here not later than there."""
    until: float
    cost: int
    verdict: Verdict


class Refusals:
    """Who need not ask the store: it said that until a certain time the answer is no.

    Time alone makes room under a limit and others' requests take it, so the answer cannot become better before; unless
    the request costs less, which is why the cost is kept.
    """

    __slots__ = ("_by_subject", "_capacity")

    def __init__(self, capacity: int = REFUSED) -> None:
        self._by_subject: dict[str, Refused] = {}
        self._capacity = capacity

    def __len__(self) -> int:
        return len(self._by_subject)

    def find(self, subject: str, cost: int, now: float) -> Refused | None:
        """The refusal that holds for a request of that cost."""
        found = self._by_subject.get(subject)
        if found is None:
            return None
        if found.until <= now:
            del self._by_subject[subject]
            return None
        return found if cost >= found.cost else None

    def keep(self, subject: str, refused: Refused) -> None:
        """Remember one."""
        held = self._by_subject
        held.pop(subject, None)
        if len(held) >= self._capacity:
            del held[next(iter(held))]
        held[subject] = refused


class Offenders:
    """Who was over a limit lately, so that each is told of once a window however often it comes."""

    __slots__ = ("_by_subject", "_capacity")

    def __init__(self, capacity: int = OFFENDERS) -> None:
        self._by_subject: dict[str, tuple[float, int]] = {}
        self._capacity = capacity

    def note(self, subject: str, window: float, now: float) -> int | None:
        """Count a violation. If a line is due, how many there were since the last one, this included; else None.

        While all places are taken by windows that run, others are not told of: a flood of names is no flood of lines.
        """
        held = self._by_subject
        until, count = held.get(subject, (0.0, 0))
        if now < until:
            held[subject] = (until, count + 1)
            return None
        if held.pop(subject, None) is None and len(held) >= self._capacity:
            oldest = next(iter(held))
            if held[oldest][0] > now:
                return None
            del held[oldest]
        held[subject] = (now + window, 0)
        return count + 1
