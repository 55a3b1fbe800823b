"""A durable queue that is not: everything that `gateway.services.queue.Queue` promises but the disk, on a clock that
a test turns.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Final

from gateway.services.clock import Clock
from gateway.services.queue import (
    Attempt,
    Buried,
    Draft,
    Item,
    Later,
    Page,
    Query,
    QueueFull,
    QueueUnavailable,
    Receipt,
    Returned,
    Settlement,
    State,
    Tally,
    Unsupported,
)
from gateway.services.queue.opening import QueueSettings

MOST_ATTEMPTS: Final = 100
_WAITING: Final = (State.READY, State.LEASED)
_OPEN: Final = frozenset({State.READY, State.WAITING, State.LEASED})


@dataclass(slots=True)
class _Entry:
    item: Item
    subject: bytes | None
    held: bool = False
    """A dead letter that keeps what has its order waiting."""
    gone: float = float("inf")
    """When a done or dead one is swept."""
    attempts: list[Attempt] = field(default_factory=list)


class MemoryQueue:
    """`gateway.services.queue.Queue` in memory. ``broken`` makes it fail as a full disk does."""

    def __init__(self, clock: Clock, settings: QueueSettings | None = None) -> None:
        self.settings = settings or QueueSettings()
        self.broken = False
        """While true, whatever is asked of it raises QueueUnavailable."""
        self.closed = False
        self.warnings: Sequence[str] = ()
        self.commits = 0
        """How often something was written."""
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._dedup: dict[tuple[str, str], tuple[str, float]] = {}
        self._topics: set[str] = set()
        self._values: dict[str, tuple[bytes, float, bytes | None]] = {}
        self._numbers = itertools.count(1)
        self._leases = itertools.count(1)
        self._size = 0
        self._changed = asyncio.Event()

    # -- life --------------------------------------------------------------------------------------------------

    def configure(self, settings: QueueSettings) -> None:
        """Take up other limits."""
        self.settings = settings

    async def close(self) -> None:
        """Idempotent."""
        self.closed = True

    async def _turn(self) -> None:
        """As with a disk, others run meanwhile."""
        await asyncio.sleep(0)
        self._check()

    def _check(self) -> None:
        if self.broken or self.closed:
            raise QueueUnavailable("broken by the test" if self.broken else "closed")

    def _wake(self) -> None:
        self.commits += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # -- in ----------------------------------------------------------------------------------------------------

    async def put(self, draft: Draft) -> Receipt:
        """Keep it. Raises QueueFull, QueueUnavailable."""
        await self._turn()
        now = self._clock.time()
        place = (draft.topic, draft.dedup or "")
        once = draft.dedup is not None and draft.window > 0
        known = self._dedup.get(place) if once else None
        if known is not None and known[1] > now:
            return Receipt(known[0], duplicate=True)
        if len(self._entries) >= self.settings.max_items or self._size + len(draft.payload) > self.settings.max_size:
            raise QueueFull("as many as may be")
        made = f"{next(self._numbers):020d}"
        dead = draft.state is State.DEAD
        attempts = [draft.last] if draft.last is not None else []
        number = draft.last.number if draft.last is not None else 0
        item = Item(
            id=made,
            topic=draft.topic,
            labels=dict(draft.labels),
            state=State.DEAD if dead else State.READY,
            accepted=now,
            due=max(now, draft.due),
            attempts=number,
            round=number,
            replays=0,
            size=len(draft.payload),
            order=draft.order,
            last=draft.last,
            payload=draft.payload,
        )
        entry = _Entry(item, _digest(draft.subject), attempts=attempts)
        if dead:
            entry.gone = now + self.settings.retention
        self._entries[made] = entry
        self._size += item.size
        self._topics.add(draft.topic)
        if once:
            self._dedup[place] = (made, now + draft.window)
        self._wake()
        return Receipt(made)

    # -- work --------------------------------------------------------------------------------------------------

    async def take(self, topic: str, limit: int, lease: float) -> Sequence[Item]:
        """What is due, under a lease."""
        await self._turn()
        now = self._clock.time()
        due = [entry for entry in self._ready(topic) if self._due(entry.item) <= now]
        due.sort(key=lambda entry: (entry.item.state is not State.LEASED, self._due(entry.item), entry.item.id))
        taken = []
        for entry in due[:limit]:
            token = f"lease-{next(self._leases)}"
            entry.item = replace(entry.item, state=State.LEASED, lease=token, lease_until=now + lease)
            taken.append(entry.item)
        if taken:
            self._wake()
        return taken

    def _due(self, item: Item) -> float:
        return item.lease_until if item.state is State.LEASED else item.due

    def _ready(self, topic: str) -> Iterator[_Entry]:
        """What may be handed out now or later: of those with the same order the one under way, else the first."""
        entries = list(self._entries.values())  # in the order of acceptance
        behind: set[str] = set()
        for entry in sorted(entries, key=lambda each: each.item.state is not State.LEASED):
            item = entry.item
            if item.topic != topic or not (item.state in _WAITING or entry.held):
                continue
            if item.order is not None:
                if item.order in behind:
                    continue
                behind.add(item.order)
            if not entry.held:
                yield entry

    async def wait(self, topic: str, longest: float) -> None:
        """Until there may be something to take."""
        self._check()
        now = self._clock.time()
        following = min((self._due(entry.item) for entry in self._ready(topic)), default=now + longest)
        if following <= now:
            return
        changed = asyncio.ensure_future(self._changed.wait())
        slept = asyncio.ensure_future(self._clock.sleep(min(longest, following - now)))
        try:
            await asyncio.wait((changed, slept), return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            slept.cancel()

    def _held(self, item: Item) -> _Entry | None:
        entry = self._entries.get(item.id)
        same = entry is not None and entry.item.state is State.LEASED and entry.item.lease == item.lease
        return entry if same else None

    async def renew(self, items: Sequence[Item], lease: float) -> Sequence[Item]:
        """Hold them for longer."""
        await self._turn()
        until = self._clock.time() + lease
        renewed = []
        for item in items:
            if (entry := self._held(item)) is not None:
                entry.item = replace(entry.item, lease_until=until)
                renewed.append(entry.item)
        self.commits += 1
        return renewed

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool]:
        """End leases."""
        await self._turn()
        ended = [self._settle(settlement) for settlement in settlements]
        self._wake()
        return ended

    def _settle(self, settlement: Settlement) -> bool:
        entry = self._held(settlement.item)
        if entry is None:
            return False
        now, item = self._clock.time(), replace(entry.item, lease="", lease_until=0.0)
        if isinstance(settlement, Returned):
            entry.item = replace(item, state=State.READY, due=settlement.due)
            return True
        entry.attempts = [*entry.attempts, settlement.attempt][-MOST_ATTEMPTS:]
        item = replace(item, attempts=item.attempts + 1, round=item.round + 1, last=settlement.attempt)
        if isinstance(settlement, Later):
            entry.item = replace(item, state=State.READY, due=settlement.due)
        elif isinstance(settlement, Buried):
            entry.item = replace(item, state=State.DEAD)
            entry.held, entry.gone = settlement.hold, now + self.settings.retention
        elif settlement.keep > 0:
            entry.item = replace(item, state=State.DONE)
            entry.gone = now + settlement.keep
        else:
            self._drop(item.id)
        return True

    def _drop(self, name: str) -> None:
        self._size -= self._entries.pop(name).item.size

    # -- looking -----------------------------------------------------------------------------------------------

    def _shown(self) -> Iterator[tuple[_Entry, Item]]:
        ready = {topic: {id(e) for e in self._ready(topic)} for topic in {e.item.topic for e in self._entries.values()}}
        now = self._clock.time()
        for entry in self._entries.values():
            item = entry.item
            if item.state is State.LEASED and item.lease_until <= now:
                item = replace(item, state=State.READY)
            waits = item.state is State.READY and id(entry) not in ready[item.topic]
            yield entry, replace(item, state=State.WAITING) if waits else item

    def _found(self, query: Query) -> list[tuple[_Entry, Item]]:
        return [(entry, item) for entry, item in self._shown() if meant(query, item)]

    async def find(self, query: Query, *, after: str | None = None, limit: int = 100) -> Page:
        """A page of what is meant."""
        await self._turn()
        found = [replace(item, payload=None) for _, item in self._found(query) if after is None or item.id > after]
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    async def get(self, id: str) -> Item | None:  # noqa: A002
        """One with its payload."""
        await self._turn()
        return next((item for entry, item in self._shown() if entry.item.id == id), None)

    async def attempts(self, id: str) -> Sequence[Attempt]:  # noqa: A002
        """Its attempts."""
        await self._turn()
        return list(self._entries[id].attempts) if id in self._entries else []

    async def count(self, query: Query) -> int:
        """How many are meant."""
        await self._turn()
        return len(self._found(query))

    async def export(self, query: Query) -> AsyncIterator[Item]:
        """All that is meant, with payloads."""
        await self._turn()
        for _, item in self._found(query):
            yield item

    async def tally(self) -> Sequence[Tally]:
        """How every topic stands."""
        await self._turn()
        topics: dict[str, list[Item]] = {topic: [] for topic in self._topics}
        for _, item in self._shown():
            topics[item.topic].append(item)
        return [_tally(topic, items) for topic, items in sorted(topics.items())]

    # -- by hand -----------------------------------------------------------------------------------------------

    async def replay(self, query: Query, *, rate: float | None = None) -> int:
        """Hand dead and done ones out again."""
        await self._turn()
        found = [entry for entry, item in self._found(query) if item.state in (State.DEAD, State.DONE)]
        now = self._clock.time()
        for number, entry in enumerate(found):
            due = now + (number / rate if rate else 0.0)
            item = entry.item
            entry.item = replace(item, state=State.READY, due=due, round=0, replays=item.replays + 1)
            entry.held, entry.gone = False, float("inf")
        self._wake()
        return len(found)

    async def purge(self, query: Query) -> int:
        """Delete what is meant and not leased."""
        await self._turn()
        found = [item.id for _, item in self._found(query) if item.state is not State.LEASED]
        return self._drop_all(found)

    async def erase(self, subject: str) -> int:
        """Delete all of a subject."""
        await self._turn()
        digest = _digest(subject)
        values = [name for name, (_, _, whose) in self._values.items() if whose == digest]
        for name in values:
            del self._values[name]
        return len(values) + self._drop_all([e.item.id for e in self._entries.values() if e.subject == digest])

    async def sweep(self) -> int:
        """Delete what has had its time."""
        await self._turn()
        now = self._clock.time()
        self._dedup = {place: known for place, known in self._dedup.items() if known[1] > now}
        self._values = {name: value for name, value in self._values.items() if value[1] > now}
        return self._drop_all([entry.item.id for entry in self._entries.values() if entry.gone <= now])

    def _drop_all(self, names: Iterable[str]) -> int:
        dropped = list(names)
        for name in dropped:
            self._drop(name)
        self._wake()
        return len(dropped)

    # -- values ------------------------------------------------------------------------------------------------

    async def keep(self, name: str, value: bytes, ttl: float, *, subject: str | None = None) -> None:
        """Keep a value."""
        await self._turn()
        self._values[name] = (value, self._clock.time() + ttl, _digest(subject))
        self.commits += 1

    async def kept(self, name: str) -> bytes | None:
        """The value."""
        await self._turn()
        found = self._values.get(name)
        return found[0] if found is not None and found[1] > self._clock.time() else None

    async def forget(self, name: str) -> None:
        """Delete it."""
        await self._turn()
        self._values.pop(name, None)

    # -- whole -------------------------------------------------------------------------------------------------

    async def ping(self) -> None:
        """Raises QueueUnavailable if it is broken."""
        await self._turn()

    async def backup(self, destination: Path) -> None:
        """There is nothing to copy."""
        del destination
        raise Unsupported("what is in memory has no copy")

    async def check(self) -> Sequence[str]:
        """It is sound."""
        return []


def meant(query: Query, item: Item) -> bool:
    """Whether a query means this item."""
    topic = query.topic
    return (
        (not query.ids or item.id in query.ids)
        and (not topic or item.topic == topic or (topic.endswith("/") and item.topic.startswith(topic)))
        and (not query.states or item.state in query.states)
        and all(item.labels.get(name) == value for name, value in query.labels.items())
        and (query.since is None or item.accepted >= query.since)
        and (query.until is None or item.accepted < query.until)
        and (query.status is None or (item.last is not None and item.last.status == query.status))
        and (not query.error or (item.last is not None and item.last.error == query.error))
    )


def _digest(subject: str | None) -> bytes | None:
    return None if subject is None else blake2b(subject.encode(), digest_size=16).digest()


def _tally(topic: str, items: Sequence[Item]) -> Tally:
    def count(*states: State) -> int:
        return sum(item.state in states for item in items)

    waiting = [item.accepted for item in items if item.state in _OPEN]
    return Tally(
        topic,
        ready=count(State.READY, State.WAITING),
        leased=count(State.LEASED),
        dead=count(State.DEAD),
        done=count(State.DONE),
        size=sum(item.size for item in items),
        oldest=min(waiting, default=None),
    )
