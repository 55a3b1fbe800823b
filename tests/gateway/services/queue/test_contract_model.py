"""Any sequence of steps leaves every kind of queue in the state that a model of a page says."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.services.clock import ManualClock
from gateway.services.queue import Attempt, Buried, Done, Draft, Item, Later, Query, Returned, State, Tally
from gateway.services.queue.opening import QueueSettings, open_queue

TOPICS = ("a", "b")
LIVE = (State.READY, State.WAITING, State.LEASED)


@dataclass
class Known:
    """What the model knows of an item."""

    id: str
    topic: str
    payload: bytes
    order: str | None
    subject: str | None
    accepted: float
    due: float
    state: State = State.READY
    attempts: int = 0
    round: int = 0
    replays: int = 0
    lease: str = ""
    until: float = 0.0
    ends: float = 0.0
    held: bool = False


@dataclass
class Model:
    """All items, and whose turn it is in each order."""

    items: dict[str, Known] = field(default_factory=dict)
    turns: dict[tuple[str, str], str] = field(default_factory=dict)

    def of(self, topic: str) -> list[Known]:
        return [item for item in self.items.values() if item.topic == topic]

    def admit(self, item: Known) -> None:
        key = (item.topic, item.order)
        if item.order is None or self.turns.get(key, item.id) == item.id:
            item.state = State.READY
            if item.order is not None:
                self.turns[key] = item.id
        else:
            item.state = State.WAITING

    def release(self, item: Known) -> None:
        key = (item.topic, item.order)
        if item.order is None or self.turns.get(key) != item.id:
            return
        del self.turns[key]
        waiting = [each for each in self.of(item.topic) if each.order == item.order and each.state is State.WAITING]
        if waiting:
            self.admit(min(waiting, key=lambda each: each.id))

    def remove(self, item: Known) -> None:
        del self.items[item.id]
        self.release(item)


def state_of(item: Known, now: float) -> State:
    return State.READY if item.state is State.LEASED and item.until <= now else item.state


class QueueMachine(RuleBasedStateMachine):
    """Steps on a queue and on the model."""

    opened: Callable[[], str]
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.model = Model()
        self.number = 0
        self.seen: dict[tuple[str, str], tuple[float, str]] = {}
        url = type(self).opened()
        self.queue: Any = self.run(open_queue(url, QueueSettings(gateway="a", retention=100.0), self.clock))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.queue.close())
        self.runner.close()

    @property
    def now(self) -> float:
        return self.clock.time()

    # --- steps ---------------------------------------------------------------------------------------------------

    @rule(
        topic=st.sampled_from(TOPICS),
        order=st.sampled_from([None, "k", "l"]),
        subject=st.sampled_from([None, "ada"]),
        wait=st.sampled_from([0, 0, 5]),
        dead=st.sampled_from([False, False, False, True]),
        dedup=st.sampled_from([None, None, "e"]),
    )
    def put(self, topic: str, order: str | None, subject: str | None, wait: float, dead: bool, dedup: str | None):
        self.number += 1
        self.clock.advance(0.001)
        payload = b"%d" % self.number
        state = State.DEAD if dead else State.READY
        due = self.now + wait if wait else 0.0
        receipt = self.run(
            self.queue.put(Draft(topic, payload, {}, subject, dedup, 20.0 if dedup else 0.0, order, due, state))
        )
        first = self.seen.get((topic, dedup or ""))
        assert receipt.duplicate is (first is not None and first[0] > self.now)
        if receipt.duplicate:
            assert first is not None
            assert receipt.id == first[1]
            return
        if dedup:
            self.seen[topic, dedup] = (self.now + 20.0, receipt.id)
        assert receipt.id > max(self.model.items, default="")
        item = Known(receipt.id, topic, payload, order, subject, self.now, self.now + wait)
        self.model.items[item.id] = item
        if dead:
            item.state, item.ends = State.DEAD, self.now + 100.0
        else:
            self.model.admit(item)

    @rule(target=leases, topic=st.sampled_from(TOPICS), limit=st.integers(1, 4), lease=st.sampled_from([3.0, 30.0]))
    def take(self, topic: str, limit: int, lease: float):
        items: list[Item] = []
        expired = [each for each in self.model.of(topic) if each.state is State.LEASED and each.until <= self.now]
        due = [each for each in self.model.of(topic) if each.state is State.READY and each.due <= self.now]
        while more := self.run(self.queue.take(topic, limit - len(items), lease)) if len(items) < limit else ():
            items += more
        may = {each.id for each in expired + due}
        assert {item.id for item in items} <= may
        assert len({item.id for item in items}) == len(items) == min(limit, len(may))
        assert sum(item.id in {each.id for each in expired} for item in items) == min(limit, len(expired))
        for item in items:
            known = self.model.items[item.id]
            assert (item.payload, item.order, item.attempts, item.round, item.replays) == (
                *(known.payload, known.order, known.attempts, known.round, known.replays),
            )
            known.state, known.lease, known.until = State.LEASED, item.lease, self.now + lease
        return multiple(*items)

    @rule(item=leases, kind=st.sampled_from(["done", "keep", "later", "bury", "hold", "return"]))
    def settle(self, item: Item, kind: str):
        attempt = Attempt(item.attempts + 1, self.now, 0.5, 500, "e")
        settlement = {
            "done": Done(item, attempt),
            "keep": Done(item, attempt, keep=50.0),
            "later": Later(item, attempt, self.now + 2.0),
            "bury": Buried(item, attempt),
            "hold": Buried(item, attempt, hold=True),
            "return": Returned(item, self.now),
        }[kind]
        known = self.model.items.get(item.id)
        holds = known is not None and known.state is State.LEASED and known.lease == item.lease
        assert self.run(self.queue.settle([settlement])) == [holds]
        if not holds or known is None:
            return
        known.lease, known.until = "", 0.0
        if kind != "return":
            known.attempts, known.round = known.attempts + 1, known.round + 1
        if kind == "done":
            self.model.remove(known)
        elif kind in {"later", "return"}:
            known.state, known.due = State.READY, self.now + (2.0 if kind == "later" else 0.0)
        else:
            known.state = State.DONE if kind == "keep" else State.DEAD
            known.ends = self.now + (50.0 if kind == "keep" else 100.0)
            if kind != "hold":
                self.model.release(known)

    @rule(item=leases)
    def renew(self, item: Item):
        known = self.model.items.get(item.id)
        holds = known is not None and known.state is State.LEASED and known.lease == item.lease
        assert len(self.run(self.queue.renew([item], 10.0))) == holds
        if holds and known is not None:
            known.until = self.now + 10.0

    @rule(item=consumes(leases))
    def forget_a_lease(self, item: Item):
        """Whoever held it died."""

    @rule(seconds=st.sampled_from([1.0, 4.0, 40.0]))
    def pass_time(self, seconds: float):
        self.clock.advance(seconds)

    @rule(states=st.sampled_from([frozenset(), frozenset({State.DEAD}), frozenset({State.DONE})]))
    def replay(self, states: frozenset[State]):
        meant = [each for each in self.model.items.values() if each.state in (states or {State.DEAD, State.DONE})]
        meant = [each for each in meant if each.state in {State.DEAD, State.DONE}]
        assert self.run(self.queue.replay(Query(states=states))) == len(meant)
        for known in sorted(meant, key=lambda each: each.id):
            known.due, known.round, known.replays = self.now, 0, known.replays + 1
            self.model.admit(known)

    @rule(topic=st.sampled_from(TOPICS), state=st.sampled_from([*State]))
    def purge(self, topic: str, state: State):
        meant = [each for each in self.model.of(topic) if state_of(each, self.now) is state]
        meant = [] if state is State.LEASED else sorted(meant, key=lambda each: each.id)
        assert self.run(self.queue.purge(Query(topic=topic, states=frozenset({state})))) == len(meant)
        for known in meant:
            self.model.remove(known)

    @rule()
    def erase(self):
        meant = [each for each in self.model.items.values() if each.subject == "ada"]
        assert self.run(self.queue.erase("ada")) == len(meant)
        for known in sorted(meant, key=lambda each: each.id):
            self.model.remove(known)

    @rule()
    def sweep(self):
        meant = [
            each
            for each in self.model.items.values()
            if each.state in {State.DEAD, State.DONE} and each.ends <= self.now
        ]
        self.run(self.queue.sweep())
        for known in meant:
            self.model.remove(known)

    # --- what always holds ---------------------------------------------------------------------------------------

    @invariant()
    def every_item_stands_where_the_model_says(self):
        found = self.run(self.queue.find(Query(), limit=1000)).items
        expected = sorted(self.model.items.values(), key=lambda each: each.id)
        assert [(each.id, each.topic, each.state, each.attempts, each.round, each.replays) for each in found] == [
            (each.id, each.topic, state_of(each, self.now), each.attempts, each.round, each.replays)
            for each in expected
        ]

    @invariant()
    def sums_are_those_of_the_items(self):
        tallies = {tally.topic: tally for tally in self.run(self.queue.tally())}
        for topic in TOPICS:
            items = self.model.of(topic)
            states = [state_of(each, self.now) for each in items]
            live = [each.accepted for each in items if each.state in LIVE]
            tally = tallies.get(topic, Tally(topic))
            # Whether a lease that ran out is counted as ready at once or when it is taken up is each kind's own.
            assert tally.ready + tally.leased == len(live)
            assert tally.leased >= states.count(State.LEASED)
            assert (tally.dead, tally.done) == (states.count(State.DEAD), states.count(State.DONE))
            assert tally.size == sum(len(each.payload) for each in items)
            assert tally.oldest == (pytest.approx(min(live), abs=1e-5) if live else None)

    @precondition(lambda self: self.number % 5 == 0)
    @invariant()
    def it_is_sound(self):
        assert self.run(self.queue.check()) == []


@pytest.mark.parametrize(("kind", "examples"), [("sqlite", 4), ("streams", 15)])  # a step on a disk takes long
def test_any_sequence_of_steps(kind: str, examples: int, request: pytest.FixtureRequest):
    if kind == "streams":
        server = request.getfixturevalue("redis_server")

        def opened() -> str:
            server.flush()
            return str(server.url)
    else:

        def opened() -> str:
            directory = tempfile.mkdtemp(dir=request.getfixturevalue("tmp_path"))
            return f"sqlite://{directory}/queue.db"

    machine = type("Machine", (QueueMachine,), {"opened": staticmethod(opened)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
