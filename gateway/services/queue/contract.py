"""What a durable queue promises, whatever keeps its items: SQLite and Redis Streams pass one table of tests.

An item is put once, committed, and then taken under a lease until a settlement ends it: *done*, *later* (one more try),
*buried* (a dead letter) or *returned* (not tried after all). A lease that runs out gives the item to the next taker, so
an item is handed out **at least once**: whoever does the work must know an item again by its id. Settlements carry the
lease's token; one whose lease was lost changes nothing.

Items of one topic with the same ``order`` are handed out one after the other, in the order they were put: the next one
only when the one before is done or buried. All times are seconds since the epoch, all spans seconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from gateway.services.queue.opening import QueueSettings

UNREADABLE: Final = "unreadable"
"""The error of a dead letter that no key opened."""


class QueueError(Exception):
    """The queue could not do what was asked; nothing has changed."""


class QueueUnavailable(QueueError):
    """It cannot be written or read now: disk full or broken, Redis away. ``reason`` names no secret and no payload."""


class QueueFull(QueueError):
    """It holds as many items or bytes as it may."""


class QueueUrlError(ValueError):
    """The URL names no queue that can be opened."""


class Unsupported(QueueError):
    """A queue of this kind has no such thing; the message says what to do instead."""


class State(StrEnum):
    """Where an item stands."""

    READY = "ready"
    """To be handed out once it is due."""
    WAITING = "waiting"
    """Behind another one with the same ``order``."""
    LEASED = "leased"
    """Handed out; back to ready when the lease runs out."""
    DEAD = "dead"
    """A dead letter: kept for people, handed out again only if they say so."""
    DONE = "done"
    """Kept for a while after it was done, to be looked at or done again."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An item before it is put."""

    topic: str
    """Who does the work, such as ``inbox/stripe/inbox``."""
    payload: bytes
    """Opaque to the queue, which seals it where it has keys."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What people see and find it by: route, method, path, event, provider. Never sealed, so nothing personal."""
    subject: str | None = None
    """Whose data it holds. Kept as a digest only: enough to erase by it, not to read it."""
    dedup: str | None = None
    """Within ``window`` a second draft of this topic with the same text is not put."""
    window: float = 0.0
    order: str | None = None
    due: float = 0.0
    """Not before; 0: at once."""
    state: State = State.READY
    """READY, or DEAD for what is a dead letter from the beginning."""
    last: Attempt | None = None
    """For a dead letter: how it failed."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a draft. It is on disk (or acknowledged by Redis) by now."""

    id: str
    """Of the item, or of the one that was there before. Sorts by time of acceptance."""
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at an item."""

    number: int
    """From 1; goes on over replays."""
    began: float
    seconds: float
    status: int = 0
    """Of the answer; 0 if there was none."""
    error: str = ""
    """A code of the catalogue or of the plugin; empty if it went well."""
    detail: str = ""
    """For people: masked by whoever wrote it, at most 1,000 characters."""
    gateway: str = ""
    """Which replica tried."""


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of work."""

    id: str
    topic: str
    labels: Mapping[str, str]
    state: State
    accepted: float
    due: float
    attempts: int
    """So far, over all replays."""
    round: int
    """Attempts since it was put or last replayed: what a retry schedule counts."""
    replays: int
    size: int
    """Bytes of the payload."""
    order: str | None = None
    last: Attempt | None = None
    payload: bytes | None = None
    """None in listings, where it was not kept, and where no key opens it."""
    lease: str = ""
    """The token of who holds it."""
    lease_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Done:
    """It is done: gone, or with ``keep`` seconds left to look at it and to replay it."""

    item: Item
    attempt: Attempt
    keep: float = 0.0


@dataclass(frozen=True, slots=True)
class Later:
    """One more try, not before ``due``."""

    item: Item
    attempt: Attempt
    due: float


@dataclass(frozen=True, slots=True)
class Buried:
    """A dead letter. With ``hold`` what has the same ``order`` waits until it was replayed or purged."""

    item: Item
    attempt: Attempt
    hold: bool = False


@dataclass(frozen=True, slots=True)
class Returned:
    """It was not tried (shutdown, an open breaker): no attempt is counted."""

    item: Item
    due: float


Settlement = Done | Later | Buried | Returned


@dataclass(frozen=True, slots=True)
class Query:
    """Which items are meant. All that is given must hold; empty means all."""

    ids: Sequence[str] = ()
    topic: str = ""
    """Exact, or a prefix if it ends in ``/``."""
    states: frozenset[State] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    """Exact values."""
    since: float | None = None
    """Accepted at or after."""
    until: float | None = None
    """Accepted before."""
    status: int | None = None
    """Of the last attempt."""
    error: str = ""
    """Of the last attempt."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing, oldest first, without payloads."""

    items: Sequence[Item]
    after: str | None = None
    """Give it to `Queue.find` for the next part; None: there is none."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How a topic stands."""

    topic: str
    ready: int = 0
    """Due now or later, those that wait behind others included."""
    leased: int = 0
    dead: int = 0
    done: int = 0
    size: int = 0
    """Bytes of all payloads."""
    oldest: float | None = None
    """When the oldest that is neither dead nor done was accepted."""


class Queue(Protocol):
    """Durable work, shared by all who open the same URL. Safe to be called from one event loop per process."""

    @property
    def warnings(self) -> Sequence[str]:
        """Why something accepted may be lost all the same, as lines for people: how what keeps it is set up."""
        ...

    def configure(self, settings: QueueSettings) -> None:
        """Take up other keys, limits and retention from the next call on: a reload must not open a file twice."""
        ...

    async def close(self) -> None:
        """Commit what was handed in, then let go. Idempotent."""
        ...

    async def put(self, draft: Draft) -> Receipt:
        """Keep it. Returns when it is durable. Raises QueueFull or QueueUnavailable: then it was not kept."""
        ...

    async def take(self, topic: str, limit: int, lease: float) -> Sequence[Item]:
        """Up to ``limit`` items that are due, oldest due first, with payloads, under a lease of so many seconds.

        What was leased and not settled in time comes first. What no key opens is not handed out but buried with
        `UNREADABLE`. Less than ``limit`` may come although more is due: try again until nothing comes.
        """
        ...

    async def wait(self, topic: str, longest: float) -> None:
        """Until `take` may find something: something was put, fell due or came back. At most ``longest`` seconds."""
        ...

    async def renew(self, items: Sequence[Item], lease: float) -> Sequence[Item]:
        """Hold them for ``lease`` seconds from now. Returns those that are still held, with the new end."""
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool]:
        """End leases, durably, in one commit. False where the lease was lost: that one changed nothing.

        A lease that ran out is not lost until somebody else took the item, or it was erased.
        """
        ...

    async def find(self, query: Query, *, after: str | None = None, limit: int = 100) -> Page:
        """A part of what ``query`` means, oldest accepted first, without payloads."""
        ...

    async def get(self, id: str) -> Item | None:  # noqa: A002
        """One item with its payload."""
        ...

    async def attempts(self, id: str) -> Sequence[Attempt]:  # noqa: A002
        """Its attempts, oldest first; the newest hundred are kept."""
        ...

    async def count(self, query: Query) -> int:
        """How many items are meant."""
        ...

    def export(self, query: Query) -> AsyncIterator[Item]:
        """All that is meant, oldest first, with payloads; a page in memory at a time."""
        ...

    async def replay(self, query: Query, *, rate: float | None = None) -> int:
        """Hand dead and done items out again: the first at once, then ``rate`` a second. Payloads are as they came.

        Returns how many. What is ready, waiting or leased is left alone.
        """
        ...

    async def purge(self, query: Query) -> int:
        """Delete what is meant, but not what is leased. Returns how many."""
        ...

    async def erase(self, subject: str) -> int:
        """Delete all that holds this subject's data, leased or not, and what was kept under it. Returns how many."""
        ...

    async def tally(self) -> Sequence[Tally]:
        """How every topic stands."""
        ...

    async def sweep(self) -> int:
        """Delete what has had its time: dead letters after the retention, done ones, dedup entries, kept values."""
        ...

    async def keep(self, name: str, value: bytes, ttl: float, *, subject: str | None = None) -> None:
        """Keep a value durably under a name, such as a result that will be fetched; the last one holds."""
        ...

    async def kept(self, name: str) -> bytes | None:
        """The value under this name, if its time is not over. Raises QueueError if no key opens it."""
        ...

    async def forget(self, name: str) -> None:
        """Delete it."""
        ...

    async def ping(self) -> None:
        """Whether it can be written. Raises QueueUnavailable."""
        ...

    async def backup(self, destination: Path) -> None:
        """A consistent copy while work goes on. Raises Unsupported or QueueUnavailable."""
        ...

    async def check(self) -> Sequence[str]:
        """What is wrong with it, as lines for people; none: it is sound."""
        ...
