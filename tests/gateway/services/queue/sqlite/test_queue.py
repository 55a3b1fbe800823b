"""The queue against a model of a few lines, and what only a queue in a file does."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.services.clock import ManualClock
from gateway.services.queue import Attempt, Buried, Done, Draft, Item, Later, Query, Returned, State
from gateway.services.queue.opening import QueueSettings
from gateway.services.queue.sqlite import SqliteQueue, open_sqlite, schema
from gateway.services.queue.sqlite.clearing import FREED_PAGES

RETENTION = 500.0
HANDED = (State.READY, State.LEASED, State.WAITING)


@dataclass
class Known:
    """An item as the model has it. Its id says where it stands in the order of acceptance."""

    payload: bytes
    order: str | None
    subject: str | None
    state: State
    due: float
    until: float = 0.0
    lease: str = ""
    attempts: int = 0
    held: bool = False

    def keeps_others_waiting(self) -> bool:
        return self.state in (State.READY, State.LEASED) or self.held


class Model(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.items: dict[str, Known] = {}
        self.dedup: dict[str, tuple[str, float]] = {}
        self.mine: list[Item] = []
        self.queue = self.open()

    def open(self) -> SqliteQueue:
        where = f"{self.folder.name}/queue.db"
        return self.run(open_sqlite(where, QueueSettings(retention=RETENTION), self.clock))

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        assert self.run(self.queue.check()) == []
        self.run(self.queue.close())
        self.runner.close()
        self.folder.cleanup()

    def promote(self) -> None:
        """In each order the first that waits gets ready, if nothing is before it."""
        for order in {item.order for item in self.items.values() if item.order is not None}:
            together = [self.items[name] for name in sorted(self.items) if self.items[name].order == order]
            waiting = [item for item in together if item.state is State.WAITING]
            if waiting and not any(item.keeps_others_waiting() for item in together):
                waiting[0].state = State.READY

    # ---- what is done ------------------------------------------------------------------------------------------

    @rule(
        order=st.sampled_from([None, None, "k", "l"]),
        dedup=st.sampled_from([None, "d", "e"]),
        subject=st.sampled_from([None, "ada", "bob"]),
        delay=st.sampled_from([0, 0, 30]),
        dead=st.sampled_from([False, False, False, True]),
    )
    def put(self, order: str | None, dedup: str | None, subject: str | None, delay: float, dead: bool) -> None:
        payload, due = b"%d" % len(self.items), self.clock.time() + delay
        known = self.dedup.get(dedup or "")
        receipt = self.run(
            self.queue.put(
                Draft("t", payload, order=order, dedup=dedup, window=100, subject=subject, due=due,
                      state=State.DEAD if dead else State.READY)
            )
        )  # fmt: skip
        if dedup and known and known[1] > self.clock.time():
            assert (receipt.id, receipt.duplicate) == (known[0], True)
            return
        assert not receipt.duplicate
        assert receipt.id > max(self.items, default="")
        item = Known(payload, order, subject, State.DEAD if dead else State.WAITING if order else State.READY, due)
        if dead:
            item.until = self.clock.time()
        self.items[receipt.id] = item
        if dedup:
            self.dedup[dedup] = (receipt.id, self.clock.time() + 100)
        self.promote()

    @rule(limit=st.integers(1, 4), lease=st.sampled_from([10, 60]))
    def take(self, limit: int, lease: float) -> None:
        now = self.clock.time()
        lost = [name for name, item in self.items.items() if item.state is State.LEASED and item.until <= now]
        due = [name for name, item in self.items.items() if item.state is State.READY and item.due <= now]
        lost.sort(key=lambda name: (self.items[name].until, name))
        due.sort(key=lambda name: (self.items[name].due, name))
        taken = self.run(self.queue.take("t", limit, lease))
        assert [item.id for item in taken] == (lost + due)[:limit]
        for item in taken:
            known = self.items[item.id]
            assert item.payload == known.payload
            assert item.lease != known.lease
            known.state, known.until, known.lease = State.LEASED, now + lease, item.lease
        self.mine += taken

    @precondition(lambda self: self.mine)
    @rule(data=st.data(), what=st.sampled_from(["done", "kept", "later", "buried", "hold", "returned"]))
    def settle(self, data: Any, what: str) -> None:
        item = self.mine.pop(data.draw(st.integers(0, len(self.mine) - 1)))
        now, known = self.clock.time(), self.items.get(item.id)
        attempt = Attempt(item.attempts + 1, now, 0.5)
        settlement = {
            "done": Done(item, attempt), "kept": Done(item, attempt, keep=50), "later": Later(item, attempt, now + 20),
            "buried": Buried(item, attempt), "hold": Buried(item, attempt, hold=True), "returned": Returned(item, now),
        }[what]  # fmt: skip
        held = known is not None and known.state is State.LEASED and known.lease == item.lease
        assert self.run(self.queue.settle([settlement])) == [held]
        if known is None or not held:
            return
        known.attempts += what != "returned"
        if what == "done":
            del self.items[item.id]
        elif what in ("later", "returned"):
            known.state, known.due = State.READY, now + (20 if what == "later" else 0)
        elif what == "kept":
            known.state, known.until = State.DONE, now + 50
        else:
            known.state, known.until = State.DEAD, now
            known.held = what == "hold" and known.order is not None
        self.promote()

    @rule(seconds=st.sampled_from([1, 15, 70, 600]))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def replay(self) -> None:
        meant = [item for item in self.items.values() if item.state in (State.DEAD, State.DONE)]
        assert self.run(self.queue.replay(Query())) == len(meant)
        for item in meant:
            item.state, item.held, item.due = State.WAITING if item.order else State.READY, False, self.clock.time()
        for order in {item.order for item in meant if item.order}:
            for item in self.items.values():
                if item.order == order and item.state is State.READY:
                    item.state = State.WAITING  # one that was replayed may come before it
        self.promote()

    @rule(states=st.sets(st.sampled_from(State), min_size=1))
    def purge(self, states: set[State]) -> None:
        now = self.clock.time()

        def meant(item: Known) -> bool:
            gone = item.state is State.LEASED and item.until <= now
            return (State.READY if gone else item.state) in states - {State.LEASED}

        self.delete(meant, self.queue.purge(Query(states=frozenset(states))))

    @rule(subject=st.sampled_from(["ada", "bob"]))
    def erase(self, subject: str) -> None:
        self.delete(lambda item: item.subject == subject, self.queue.erase(subject))

    @rule()
    def sweep(self) -> None:
        now = self.clock.time()
        self.run(self.queue.sweep())
        for name, item in list(self.items.items()):
            if (item.state is State.DEAD and item.until + RETENTION <= now) or (
                item.state is State.DONE and item.until <= now
            ):
                del self.items[name]
        self.promote()

    def delete(self, meant: Any, deleting: Any) -> None:
        names = [name for name, item in self.items.items() if meant(item)]
        assert self.run(deleting) == len(names)
        for name in names:
            del self.items[name]
        self.promote()

    @rule()
    def reopen(self) -> None:
        self.run(self.queue.close())
        self.queue = self.open()

    # ---- what holds --------------------------------------------------------------------------------------------

    @invariant()
    def all_is_as_the_model_has_it(self) -> None:
        now, page = self.clock.time(), self.run(self.queue.find(Query(), limit=1000))

        def state(item: Known) -> State:
            return State.READY if item.state is State.LEASED and item.until <= now else item.state

        assert [(item.id, item.state, item.attempts, item.order) for item in page.items] == [
            (name, state(self.items[name]), self.items[name].attempts, self.items[name].order)
            for name in sorted(self.items)
        ]
        for tally in self.run(self.queue.tally()):
            counted = [item.state for item in self.items.values()]
            assert tally.ready == counted.count(State.READY) + counted.count(State.WAITING)
            assert (tally.leased, tally.dead, tally.done) == tuple(
                counted.count(each) for each in (State.LEASED, State.DEAD, State.DONE)
            )
            active = [name for name, item in self.items.items() if item.state in HANDED]
            oldest = next((item.accepted for item in page.items if item.id == min(active, default="")), None)
            assert tally.oldest == oldest


Model.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestModel = Model.TestCase


async def test_no_id_ever_comes_back(queue: Any):
    """The clock stands still, as it does within a millisecond."""
    ids = []
    for _ in range(3):
        ids.append((await queue.put(Draft("t", b""))).id)
        items = await queue.take("t", 1, 30)
        await queue.settle([Done(items[0], Attempt(1, 0, 0))])
    assert ids == sorted(set(ids))


async def test_who_takes_and_is_cancelled_gives_back_what_was_leased_for_nobody(queue: Any):
    await queue.put(Draft("t", b"x"))
    taking = asyncio.ensure_future(queue.take("t", 1, 1000))
    await asyncio.sleep(0)  # it is with the writer
    taking.cancel()
    await asyncio.wait([taking])
    async with asyncio.timeout(60):
        while not (items := await queue.take("t", 1, 1000)):
            await queue.wait("t", 1)
    assert items[0].attempts == 0


async def test_nothing_of_a_sealed_payload_or_a_subject_is_in_the_file(open_queue: Any, path: Path):
    queue = await open_queue(keys=(b"k" * 32,))
    await queue.put(Draft("t", b"a secret of the customer" * 100, subject="ada@example.com"))
    await queue.keep("result", b"another secret" * 100, 60)
    await queue.close()
    everything = b"".join(file.read_bytes() for file in path.parent.iterdir())
    for secret in (b"secret of", b"another secret", b"ada@example.com"):
        assert secret not in everything


async def test_what_was_erased_is_not_in_the_file_any_more(open_queue: Any, path: Path):
    queue = await open_queue()
    for subject in ("ada", "bob"):
        await queue.put(Draft("t", f"all about {subject} ".encode() * 500, subject=subject))
    assert await queue.erase("ada") == 1
    await queue.close()
    everything = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"all about ada" not in everything
    assert b"all about bob" in everything


async def test_the_file_gets_smaller_when_much_was_purged(open_queue: Any, path: Path):
    queue = await open_queue()
    for _ in range(4):
        await asyncio.gather(*[queue.put(Draft("t", bytes(200_000))) for _ in range(50)])
    assert await queue.purge(Query()) == 200
    await queue.sweep()
    await queue.close()
    assert path.stat().st_size < (FREED_PAGES + 100) * schema.PAGE < 200 * 200_000


async def test_the_room_of_what_was_done_is_used_again(open_queue: Any, path: Path):
    queue = await open_queue()
    sizes = []
    for _ in range(6):
        await asyncio.gather(*[queue.put(Draft("t", bytes(20_000))) for _ in range(50)])
        items = await queue.take("t", 50, 30)
        await queue.settle([Done(item, Attempt(1, 0, 0)) for item in items])
        sizes.append(path.stat().st_size)
    await queue.close()
    assert path.stat().st_size < 2 * 50 * 24_576, sizes


async def test_the_total_counts_every_topic_and_what_others_put(open_queue: Any):
    queue, other = await open_queue(max_items=2), await open_queue(max_items=2)
    await queue.put(Draft("a", b""))
    await other.put(Draft("b", b""))
    results = await asyncio.gather(queue.put(Draft("c", b"")), other.put(Draft("a", b"")), return_exceptions=True)
    assert [type(result).__name__ for result in results] == ["QueueFull"] * 2
    await other.purge(Query(topic="b"))
    await queue.put(Draft("c", b""))


async def test_who_asks_for_an_item_by_name_waits_for_nobody_who_looks_through_all(queue: Any):
    receipt = await queue.put(Draft("t", b"x"))
    over = threading.Event()
    looking = [asyncio.ensure_future(queue._scans.ask(lambda *_: over.wait(60))) for _ in range(8)]
    try:
        page = await asyncio.wait_for(queue.find(Query(ids=[receipt.id])), 30)
    finally:
        over.set()
        await asyncio.gather(*looking)
    assert [item.id for item in page.items] == [receipt.id]
