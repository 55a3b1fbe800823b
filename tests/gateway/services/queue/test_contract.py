"""What the contract says, over every kind of queue."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.services.clock import ManualClock
from gateway.services.queue import (
    UNREADABLE,
    Attempt,
    Buried,
    Done,
    Draft,
    Item,
    Later,
    Query,
    QueueError,
    QueueFull,
    QueueUnavailable,
    Returned,
    State,
    Tally,
)
from gateway.services.queue.opening import QueueSettings

TOPIC = "inbox/stripe/inbox"
KEY, OTHER_KEY = b"k" * 32, b"o" * 32
PATIENCE = 60.0


def draft(payload: bytes = b"{}", **more: Any) -> Draft:
    return Draft(more.pop("topic", TOPIC), payload, **more)


def attempt(number: int = 1, **more: Any) -> Attempt:
    return Attempt(number, 1_800_000_000.5, 0.25, **{"status": 500, "error": "upstream_error", "gateway": "a", **more})


def tally(topic: str = TOPIC, **more: Any) -> Tally:
    return Tally(topic, **more)


async def taken(queue: Any, limit: int = 10, lease: float = 30) -> list[Item]:
    return list(await queue.take(TOPIC, limit, lease))


async def payloads(queue: Any, limit: int = 10) -> list[bytes | None]:
    return [item.payload for item in await taken(queue, limit)]


async def one(queue: Any) -> Item:
    (item,) = await taken(queue)
    return item


# --- put and take ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(bytes(range(256)) * 8, id="every byte"),
        pytest.param(b"\0" * 100_000, id="more than a page"),
    ],
)
async def test_an_item_comes_out_as_it_went_in(queue: Any, clock: ManualClock, payload: bytes):
    labels = {"route": "stripe", "path": "/ü?a=\"b\"&c='d'", "a name": "", "$.[0]": "x\0y"}
    receipt = await queue.put(draft(payload, labels=labels, order="customer \0 1"))
    item = await one(queue)
    assert (item.id, item.topic, item.payload, item.size) == (receipt.id, TOPIC, payload, len(payload))
    assert (item.labels, item.order) == (labels, "customer \0 1")
    assert (item.state, item.accepted, item.due) == (State.LEASED, clock.time(), clock.time())
    assert (item.attempts, item.round, item.replays, item.last) == (0, 0, 0, None)
    assert item.lease
    assert item.lease_until == clock.time() + 30
    assert not receipt.duplicate
    assert await queue.check() == []


async def test_what_is_handed_out_is_not_handed_out_again(queue: Any):
    await queue.put(draft())
    assert len(await taken(queue)) == 1
    assert await taken(queue) == []


async def test_an_unknown_topic_holds_nothing(queue: Any):
    assert await queue.take("nobody", 10, 30) == []
    assert await queue.tally() == []


async def test_oldest_due_first_and_no_more_than_asked_for(queue: Any, clock: ManualClock):
    await queue.put(draft(b"late", due=clock.time() + 20))
    await queue.put(draft(b"soon", due=clock.time() + 10))
    await queue.put(draft(b"now"))
    assert await payloads(queue) == [b"now"]
    clock.advance(25)
    await queue.put(draft(b"after"))
    assert await payloads(queue, 2) == [b"soon", b"late"]
    assert await payloads(queue) == [b"after"]


async def test_ids_sort_by_time_of_acceptance_even_if_the_clock_is_set_back(queue: Any, clock: ManualClock):
    ids = [(await queue.put(draft())).id for _ in range(3)]
    clock.advance(-3600)
    ids += [(await queue.put(draft())).id for _ in range(3)]
    assert ids == sorted(set(ids))


async def test_topics_do_not_see_each_other(queue: Any):
    await queue.put(draft(topic="a"))
    await queue.put(draft(topic="b"))
    assert await taken(queue) == []
    assert [item.topic for item in await queue.take("b", 10, 30)] == ["b"]


async def test_a_draft_may_be_dead_from_the_beginning(queue: Any):
    receipt = await queue.put(draft(state=State.DEAD, last=attempt(3, status=502)))
    assert await taken(queue) == []
    item = await queue.get(receipt.id)
    assert (item.state, item.last, item.attempts) == (State.DEAD, attempt(3, status=502), 3)
    assert await queue.attempts(receipt.id) == [attempt(3, status=502)]
    assert await queue.replay(Query()) == 1
    assert (await one(queue)).id == receipt.id


async def test_two_who_opened_the_same_queue_share_it(make_queue: Any):
    mine, theirs = await make_queue(), await make_queue()
    receipt = await mine.put(draft(b"1", dedup="evt", window=60))
    assert (await theirs.put(draft(b"2", dedup="evt", window=60))).duplicate
    item = await one(theirs)
    assert (item.id, item.payload) == (receipt.id, b"1")
    assert await taken(mine) == []
    assert await theirs.settle([Done(item, attempt())]) == [True]
    assert await mine.count(Query()) == 0


async def test_many_puts_and_takes_at_once_neither_lose_nor_double(make_queue: Any):
    queues = [await make_queue() for _ in range(3)]
    receipts = await asyncio.gather(*[queues[n % 3].put(draft(b"%d" % n)) for n in range(150)])
    assert len({receipt.id for receipt in receipts}) == 150
    handed = await asyncio.gather(*[queue.take(TOPIC, 20, 30) for queue in queues for _ in range(4)])
    assert sorted(int(item.payload) for items in handed for item in items) == list(range(150))


# --- waiting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["the same", "another"])
async def test_wait_ends_with_a_put(make_queue: Any, who: str):
    queue = await make_queue(real_clock=True)
    other = queue if who == "the same" else await make_queue(real_clock=True)
    await queue.put(draft(topic="elsewhere"))
    waiting = asyncio.ensure_future(queue.wait(TOPIC, PATIENCE * 10))
    done, _ = await asyncio.wait([waiting], timeout=0.1)
    assert not done
    await other.put(draft())
    await asyncio.wait_for(waiting, PATIENCE)
    assert len(await taken(queue)) == 1


async def test_wait_ends_at_once_if_there_is_something(queue: Any):
    await queue.put(draft())
    await asyncio.wait_for(queue.wait(TOPIC, PATIENCE * 10), PATIENCE)


@pytest.mark.parametrize("what", ["due", "leased", "returned", "next in order"])
async def test_wait_ends_when_something_falls_due_or_comes_back(make_queue: Any, what: str):
    queue = await make_queue(real_clock=True)
    from time import time

    if what == "due":
        await queue.put(draft(due=time() + 0.2))
    else:
        await queue.put(draft(order="k"))
        await queue.put(draft(order="k"))
        (item,) = await taken(queue, 1, 0.2 if what == "leased" else 1000)
    waiting = asyncio.ensure_future(queue.wait(TOPIC, PATIENCE * 10))
    await asyncio.sleep(0)
    if what == "returned":
        await queue.settle([Returned(item, 0)])
    elif what == "next in order":
        await queue.settle([Done(item, attempt())])
    await asyncio.wait_for(waiting, PATIENCE)
    async with asyncio.timeout(PATIENCE):
        while not await taken(queue):
            await queue.wait(TOPIC, 1)


async def test_wait_ends_after_the_longest(queue: Any):
    await queue.wait(TOPIC, 0.01)


# --- dedup ----------------------------------------------------------------------------------------------------------


async def test_a_second_one_within_the_window_is_not_put(queue: Any, clock: ManualClock):
    first = await queue.put(draft(b"1", dedup="evt_1", window=60))
    clock.advance(59)
    second = await queue.put(draft(b"2", dedup="evt_1", window=60))
    assert (second.id, second.duplicate) == (first.id, True)
    assert await payloads(queue) == [b"1"]
    clock.advance(1)
    third = await queue.put(draft(b"3", dedup="evt_1", window=60))
    assert not third.duplicate
    assert await payloads(queue) == [b"3"]


async def test_a_duplicate_is_known_after_its_item_was_delivered(queue: Any):
    await queue.put(draft(dedup="evt_1", window=60))
    await queue.settle([Done(await one(queue), attempt(status=200))])
    assert (await queue.put(draft(dedup="evt_1", window=60))).duplicate


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"dedup": "evt_2", "window": 60}, id="another text"),
        pytest.param({"dedup": "evt_1", "window": 60, "topic": "other"}, id="another topic"),
        pytest.param({}, id="no text"),
        pytest.param({"dedup": "evt_1"}, id="no window"),
    ],
)
async def test_no_duplicate(queue: Any, other: dict[str, Any]):
    await queue.put(draft(dedup="evt_1", window=60))
    assert not (await queue.put(draft(**other))).duplicate


async def test_the_same_at_once_is_put_once(queue: Any):
    receipts = await asyncio.gather(*[queue.put(draft(dedup="evt_1", window=60)) for _ in range(50)])
    assert len({receipt.id for receipt in receipts}) == 1
    assert sum(receipt.duplicate for receipt in receipts) == 49


# --- leases ---------------------------------------------------------------------------------------------------------


async def test_a_lease_that_ran_out_gives_the_item_to_the_next_taker_first(queue: Any, clock: ManualClock):
    await queue.put(draft(b"old"))
    first = await one(queue)
    await queue.put(draft(b"new"))
    clock.advance(29)
    assert await payloads(queue, 1) == [b"new"]
    clock.advance(1)
    assert (await queue.get(first.id)).state is State.READY
    assert await queue.count(Query(states=frozenset({State.READY}))) == 1
    second = await one(queue)
    assert second.payload == b"old"
    assert second.lease != first.lease
    assert await queue.settle([Done(first, attempt())]) == [False]
    assert (await queue.get(first.id)).attempts == 0
    assert await queue.settle([Done(second, attempt())]) == [True]


async def test_a_lease_that_ran_out_is_not_lost_until_another_has_taken_it(queue: Any, clock: ManualClock):
    await queue.put(draft())
    item = await one(queue)
    clock.advance(100)
    assert await queue.settle([Done(item, attempt())]) == [True]
    assert await queue.tally() == [tally()]


async def test_a_renewed_lease_holds(queue: Any, clock: ManualClock):
    for _ in range(2):
        await queue.put(draft())
    mine, lost = await taken(queue)
    clock.advance(20)
    (renewed,) = await queue.renew([mine], 60)
    assert renewed.lease_until == clock.time() + 60
    clock.advance(20)
    assert [item.id for item in await taken(queue)] == [lost.id]
    assert [item.id for item in await queue.renew([mine, lost], 60)] == [mine.id]
    assert await queue.renew([], 60) == []


async def test_a_lease_ends_once(queue: Any):
    await queue.put(draft())
    item = await one(queue)
    assert await queue.settle([Done(item, attempt()), Done(item, attempt())]) == [True, False]
    assert await queue.settle([]) == []


# --- settlements ----------------------------------------------------------------------------------------------------


async def test_later_comes_back_when_it_is_due(queue: Any, clock: ManualClock):
    await queue.put(draft())
    await queue.settle([Later(await one(queue), attempt(), clock.time() + 5)])
    assert await taken(queue) == []
    clock.advance(5)
    item = await one(queue)
    assert (item.attempts, item.round, item.last, item.due) == (1, 1, attempt(), clock.time())


async def test_returned_counts_no_attempt(queue: Any, clock: ManualClock):
    await queue.put(draft())
    await queue.settle([Returned(await one(queue), clock.time() + 5)])
    clock.advance(5)
    item = await one(queue)
    assert (item.attempts, item.round, item.last) == (0, 0, None)


async def test_buried_is_kept_for_people(queue: Any, clock: ManualClock):
    receipt = await queue.put(draft(b"body"))
    await queue.settle([Buried(await one(queue), attempt(detail="d" * 1000))])
    clock.advance(3600)
    assert await taken(queue) == []
    item = await queue.get(receipt.id)
    assert (item.state, item.payload, item.lease) == (State.DEAD, b"body", "")
    assert item.last == attempt(detail="d" * 1000)
    assert await queue.tally() == [tally(dead=1, size=4)]


async def test_done_is_gone_or_kept_for_a_while(queue: Any, clock: ManualClock):
    gone = await queue.put(draft(b"12"))
    kept = await queue.put(draft(b"345"))
    first, second = await taken(queue)
    await queue.settle([Done(first, attempt(status=200)), Done(second, attempt(status=200), keep=60)])
    assert await queue.get(gone.id) is None
    assert await queue.attempts(gone.id) == []
    assert (await queue.get(kept.id)).state is State.DONE
    assert await queue.tally() == [tally(done=1, size=3)]
    clock.advance(59)
    assert await queue.sweep() == 0
    clock.advance(1)
    assert await queue.sweep() == 1
    assert await queue.get(kept.id) is None
    assert await queue.tally() == [tally()]


async def test_the_newest_hundred_attempts_are_kept_and_all_are_counted(queue: Any):
    receipt = await queue.put(draft())
    for number in range(1, 105):
        await queue.settle([Later(await one(queue), attempt(number), 0)])
    assert [each.number for each in await queue.attempts(receipt.id)] == list(range(5, 105))
    assert (await queue.get(receipt.id)).attempts == 104


async def test_settlements_of_many_topics_at_once(queue: Any):
    for topic in ("a", "b"):
        await asyncio.gather(*[queue.put(draft(topic=topic)) for _ in range(250)])
    items = [item for topic in ("a", "b") for _ in range(2) for item in await queue.take(topic, 250, 30)]
    assert len(items) == 500
    mixed = items[::2] + items[1::2]
    assert len(await queue.renew(mixed, 60)) == 500
    assert await queue.settle([Done(item, attempt()) for item in mixed]) == [True] * 500
    assert await queue.tally() == [tally("a"), tally("b")]


# --- order ----------------------------------------------------------------------------------------------------------


async def test_one_after_the_other_in_the_order_they_were_put(queue: Any, clock: ManualClock):
    for name in (b"1", b"2", b"3"):
        await queue.put(draft(name, order="k"))
    await queue.put(draft(b"other", order="o"))
    await queue.put(draft(b"none"))
    assert await queue.count(Query(states=frozenset({State.WAITING}))) == 2
    first, *rest = await taken(queue, lease=3600)
    assert [first.payload, *[item.payload for item in rest]] == [b"1", b"other", b"none"]
    await queue.settle([Later(first, attempt(), clock.time() + 60)])
    assert await taken(queue) == []
    clock.advance(60)
    await queue.settle([Done(await one(queue), attempt())])
    second = await one(queue)
    assert second.payload == b"2"
    await queue.settle([Buried(second, attempt())])
    assert await payloads(queue) == [b"3"]


async def test_the_order_of_those_put_at_once_is_that_of_the_calls(queue: Any):
    await asyncio.gather(*[queue.put(draft(b"%d" % n, order="k")) for n in range(20)])
    for n in range(20):
        item = await one(queue)
        assert item.payload == b"%d" % n
        await queue.settle([Done(item, attempt())])


async def test_one_that_is_not_due_holds_back_those_behind_it(queue: Any, clock: ManualClock):
    await queue.put(draft(b"1", order="k", due=clock.time() + 60))
    await queue.put(draft(b"2", order="k"))
    assert await taken(queue) == []
    clock.advance(60)
    assert await payloads(queue) == [b"1"]


async def test_buried_with_hold_keeps_its_turn_until_it_is_replayed_and_done(queue: Any):
    for name in (b"1", b"2"):
        await queue.put(draft(name, order="k"))
    await queue.settle([Buried(await one(queue), attempt(), hold=True)])
    assert await taken(queue) == []
    assert await queue.replay(Query(states=frozenset({State.DEAD}))) == 1
    first = await one(queue)
    assert (first.payload, first.round, first.attempts, first.replays) == (b"1", 0, 1, 1)
    await queue.settle([Done(first, attempt())])
    assert await payloads(queue) == [b"2"]


@pytest.mark.parametrize("way", ["purge", "erase", "sweep"])
async def test_a_held_dead_letter_that_is_deleted_lets_the_next_one_pass(queue: Any, clock: ManualClock, way: str):
    for name in (b"1", b"2"):
        await queue.put(draft(name, order="k", subject=name.decode()))
    await queue.settle([Buried(await one(queue), attempt(), hold=True)])
    if way == "purge":
        assert await queue.purge(Query(states=frozenset({State.DEAD}))) == 1
    elif way == "erase":
        assert await queue.erase("1") == 1
    else:
        clock.advance(QueueSettings().retention)
        assert await queue.sweep() == 1
    assert await payloads(queue) == [b"2"]
    assert await queue.check() == []


async def test_what_is_replayed_stands_before_those_that_were_put_after_it_but_takes_no_turn_away(queue: Any):
    for name in (b"1", b"2", b"3"):
        await queue.put(draft(name, order="k"))
    await queue.settle([Buried(await one(queue), attempt())])
    second = await one(queue)
    assert await queue.replay(Query()) == 1
    assert await taken(queue) == []
    await queue.settle([Done(second, attempt())])
    first = await one(queue)
    assert first.payload == b"1"
    await queue.settle([Done(first, attempt())])
    assert await payloads(queue) == [b"3"]


# --- looking --------------------------------------------------------------------------------------------------------


async def many(queue: Any, clock: ManualClock) -> dict[str, str]:
    """Ids of: ready (route a), waiting (route a, behind it), leased, dead (502, timeout; other topic), done."""
    ids = {}
    for name, more in {
        "leased": {"labels": {"route": "b"}},
        "done": {"labels": {"route": "b", "event": "e"}},
        "dead": {"labels": {"route": "b"}, "topic": "inbox/other"},
        "ready": {"labels": {"route": "a"}, "order": "k"},
        "waiting": {"labels": {"route": "a"}, "order": "k"},
    }.items():
        ids[name] = (await queue.put(draft(name.encode(), **more))).id
        clock.advance(10)
    leased, done = await taken(queue, 2, 1000)
    (dead,) = await queue.take("inbox/other", 1, 1000)
    await queue.settle([
        Done(done, attempt(status=200, error=""), keep=1000), Buried(dead, attempt(status=502, error="timeout")),
    ])  # fmt: skip
    assert (leased.id, done.id) == (ids["leased"], ids["done"])
    return ids


EVERYTHING = ["leased", "done", "dead", "ready", "waiting"]


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        pytest.param({}, EVERYTHING, id="all"),
        pytest.param({"topic": TOPIC}, ["leased", "done", "ready", "waiting"], id="a topic"),
        pytest.param({"topic": "inbox/"}, EVERYTHING, id="topics with a prefix"),
        pytest.param({"topic": "inbox"}, [], id="no prefix without a slash"),
        pytest.param({"topic": "inbox/strip/"}, [], id="no such prefix"),
        pytest.param({"states": {State.READY}}, ["ready"], id="ready"),
        pytest.param({"states": {State.WAITING}}, ["waiting"], id="waiting"),
        pytest.param({"states": {State.LEASED}}, ["leased"], id="leased"),
        pytest.param({"states": {State.DEAD}}, ["dead"], id="dead"),
        pytest.param({"states": {State.DEAD, State.DONE}}, ["done", "dead"], id="dead or done"),
        pytest.param({"labels": {"route": "a"}}, ["ready", "waiting"], id="a label"),
        pytest.param({"labels": {"route": "b", "event": "e"}}, ["done"], id="two labels"),
        pytest.param({"labels": {"' OR 1=1 --": "x"}}, [], id="a label that is SQL"),
        pytest.param({"labels": {"route": "b"}, "states": {State.DEAD}}, ["dead"], id="a label and a state"),
        pytest.param({"status": 502}, ["dead"], id="a status"),
        pytest.param({"error": "timeout"}, ["dead"], id="an error"),
        pytest.param({"error": "timeout", "status": 500}, [], id="an error with another status"),
        pytest.param({"since": 20}, ["dead", "ready", "waiting"], id="since"),
        pytest.param({"until": 20}, ["leased", "done"], id="until"),
        pytest.param({"since": 10, "until": 30}, ["done", "dead"], id="between"),
        pytest.param({"ids": ["dead", "ready"]}, ["dead", "ready"], id="ids"),
        pytest.param({"ids": ["dead", "ready"], "states": {State.DEAD}}, ["dead"], id="ids and a state"),
        pytest.param({"ids": ["nobody"]}, [], id="an id that is none"),
    ],
)
async def test_what_a_query_means(queue: Any, clock: ManualClock, query: dict[str, Any], meant: list[str]):
    began = clock.time()
    ids = await many(queue, clock)
    asked = dict(query)
    for name in ("since", "until"):
        if name in asked:
            asked[name] += began
    if "ids" in asked:
        asked["ids"] = [ids.get(name, name) for name in asked["ids"]]
    if "states" in asked:
        asked["states"] = frozenset(asked["states"])
    wanted = Query(**asked)
    assert [item.id for item in (await queue.find(wanted)).items] == [ids[name] for name in meant]
    assert await queue.count(wanted) == len(meant)
    exported = [item.payload async for item in queue.export(wanted)]
    assert exported == [name.encode() for name in meant]


async def test_a_listing_in_parts_shows_each_once_and_no_payload(queue: Any):
    ids = [(await queue.put(draft(b"%d" % n))).id for n in range(25)]
    shown, after, parts = [], None, 0
    while parts == 0 or after is not None:
        page = await queue.find(Query(), after=after, limit=10)
        assert all(item.payload is None for item in page.items)
        shown += [item.id for item in page.items]
        after, parts = page.after, parts + 1
    assert (shown, parts) == (ids, 3)


async def test_get_tells_everything(queue: Any, clock: ManualClock):
    receipt = await queue.put(draft(b"body", labels={"route": "r"}))
    await queue.settle([Later(await one(queue), attempt(1), 0)])
    await queue.settle([Later(await one(queue), attempt(2, status=0, error="timeout"), clock.time() + 9)])
    item = await queue.get(receipt.id)
    assert (item.payload, item.labels, item.attempts, item.round) == (b"body", {"route": "r"}, 2, 2)
    assert (item.last, item.due) == (attempt(2, status=0, error="timeout"), clock.time() + 9)
    assert [each.number for each in await queue.attempts(receipt.id)] == [1, 2]


@pytest.mark.parametrize("id", ["", "x", "0" * 32, "f" * 32, "-" * 32, "1a1fecb791f00000005563fb0bd3c5fb", "é" * 32])
async def test_an_id_of_nobody(queue: Any, id: str):  # noqa: A002
    await queue.put(draft())
    assert await queue.get(id) is None
    assert await queue.attempts(id) == []
    assert await queue.count(Query(ids=[id])) == 0


# --- replay, purge, erase -------------------------------------------------------------------------------------------


async def buried(queue: Any, count: int) -> list[str]:
    ids = [(await queue.put(draft(b"%d" % n))).id for n in range(count)]
    await queue.settle([Buried(item, attempt()) for item in await taken(queue, count)])
    return ids


async def test_replay_hands_out_again_what_is_meant_and_nothing_else(queue: Any):
    ids = await buried(queue, 5)
    await queue.put(draft(b"ready"))
    assert await queue.replay(Query(ids=ids[1:3])) == 2
    items = await taken(queue)
    assert sorted(item.payload for item in items) == [b"1", b"2", b"ready"]
    again = next(item for item in items if item.id == ids[1])
    assert (again.attempts, again.round, again.replays, again.last) == (1, 0, 1, attempt())
    assert await queue.replay(Query(ids=ids[1:3])) == 0
    await queue.settle([Buried(again, attempt(2))])
    assert (await queue.get(ids[1])).attempts == 2


async def test_a_replay_at_a_rate_spreads_what_it_hands_out(queue: Any, clock: ManualClock):
    await buried(queue, 5)
    assert await queue.replay(Query(), rate=2) == 5
    assert await payloads(queue) == [b"0"]
    clock.advance(0.5)
    assert await payloads(queue) == [b"1"]
    clock.advance(1.5)
    assert await payloads(queue) == [b"2", b"3", b"4"]


async def test_purge_deletes_what_is_meant_but_not_what_is_leased(queue: Any):
    ids = await buried(queue, 3)
    await queue.put(draft(b"leased"))
    leased = await one(queue)
    await queue.put(draft(b"ready"))
    assert await queue.purge(Query(ids=ids[:1])) == 1
    assert await queue.purge(Query()) == 3
    assert [item.id for item in (await queue.find(Query())).items] == [leased.id]
    assert await queue.settle([Done(leased, attempt())]) == [True]
    assert await queue.tally() == [tally()]
    assert await queue.check() == []


async def test_more_than_one_step_can_do(queue: Any):
    count = 1_100
    await asyncio.gather(*[queue.put(draft(state=State.DEAD, subject="s")) for _ in range(count)])
    assert await queue.replay(Query()) == count
    assert await queue.purge(Query(states=frozenset({State.READY}), labels={"no": "such"})) == 0
    assert await queue.erase("s") == count
    assert await queue.tally() == [tally()]


async def test_erase_takes_leased_ones_too_and_what_was_kept(queue: Any):
    for topic in ("a", "b"):
        for subject in ("ada", "bob"):
            await queue.put(draft(topic=topic, subject=subject))
    await queue.keep("result", b"value", 60, subject="ada")
    await queue.keep("other", b"value", 60, subject="bob")
    items = await queue.take("a", 10, 30)
    assert await queue.erase("ada") == 3
    assert await queue.settle([Done(item, attempt()) for item in items]) == [False, True]
    assert await queue.count(Query()) == 1
    assert (await queue.kept("result"), await queue.kept("other")) == (None, b"value")
    assert await queue.erase("ada") == 0
    assert await queue.check() == []


async def test_tally_says_how_each_topic_stands(queue: Any, clock: ManualClock):
    began = clock.time()
    for topic in ("b", "a"):
        for number in range(3):
            await queue.put(draft(b"1234", topic=topic, order="k" if number else None))
            clock.advance(1)
    await queue.settle([Buried((await queue.take("a", 1, 30))[0], attempt())])
    await queue.take("a", 10, 30)
    assert await queue.tally() == [
        tally("a", ready=1, leased=1, dead=1, size=12, oldest=began + 4),
        tally("b", ready=3, size=12, oldest=began),
    ]
    await queue.replay(Query())
    assert (await queue.tally())[0] == tally("a", ready=2, leased=1, size=12, oldest=began + 3)


# --- values ---------------------------------------------------------------------------------------------------------


async def test_a_value_is_kept_until_its_time_is_over(queue: Any, clock: ManualClock):
    assert await queue.kept("name") is None
    await queue.keep("name", b"first", 60)
    await queue.keep("name", bytes(range(256)), 60)
    assert await queue.kept("name") == bytes(range(256))
    clock.advance(60)
    assert await queue.kept("name") is None
    await queue.keep("name", b"again", 60)
    await queue.forget("name")
    await queue.forget("name")
    assert await queue.kept("name") is None
    assert await queue.tally() == []
    assert await queue.check() == []


# --- limits, keys, upkeep -------------------------------------------------------------------------------------------


async def test_no_more_items_than_it_may(make_queue: Any):
    queue = await make_queue(max_items=3)
    await queue.put(draft(topic="a", dedup="e", window=60))
    results = await asyncio.gather(*[queue.put(draft(topic="b")) for _ in range(4)], return_exceptions=True)
    assert sum(isinstance(result, QueueFull) for result in results) == 2
    assert await queue.count(Query()) == 3
    assert (await queue.put(draft(topic="a", dedup="e", window=60))).duplicate  # which needs no room
    queue.configure(QueueSettings(max_items=4))
    await queue.put(draft(topic="a"))
    with pytest.raises(QueueFull):
        await queue.put(draft(topic="a"))
    await queue.purge(Query(topic="a"))
    await queue.put(draft(topic="a"))


async def test_no_more_bytes_than_it_may(make_queue: Any):
    queue = await make_queue(max_size=10)
    await queue.put(draft(b"123456"))
    with pytest.raises(QueueFull):
        await queue.put(draft(b"12345"))
    await queue.put(draft(b"1234"))
    await queue.purge(Query())
    await queue.put(draft(b"1234567890"))


async def test_keys_may_come_and_change(make_queue: Any):
    queue = await make_queue()
    await queue.put(draft(b"0"))
    for number, keys in enumerate([(KEY,), (OTHER_KEY, KEY)], 1):
        queue.configure(QueueSettings(keys=keys))
        await queue.put(draft(b"%d" % number))
    assert await payloads(queue) == [b"0", b"1", b"2"]


async def test_who_is_erased_is_found_over_a_change_of_keys(make_queue: Any):
    queue = await make_queue()
    for keys in [(), (KEY,), (OTHER_KEY, KEY)]:
        queue.configure(QueueSettings(keys=keys))
        await queue.put(draft(subject="ada"))
    assert await queue.erase("ada") == 3


@pytest.mark.parametrize("keys", [pytest.param((), id="no key"), pytest.param((OTHER_KEY,), id="another key")])
async def test_what_no_key_opens_is_buried(make_queue: Any, keys: tuple[bytes, ...]):
    queue = await make_queue(keys=(KEY,))
    sealed = await queue.put(draft(b"sealed"))
    await queue.keep("value", b"sealed", 60)
    queue.configure(QueueSettings(keys=keys))
    plain = await queue.put(draft(b"readable"))
    assert [item.id for item in await taken(queue)] == [plain.id]
    item = await queue.get(sealed.id)
    assert (item.state, item.payload, item.last.error) == (State.DEAD, None, UNREADABLE)
    assert [each.payload async for each in queue.export(Query(states=frozenset({State.DEAD})))] == [None]
    with pytest.raises(QueueError):
        await queue.kept("value")
    queue.configure(QueueSettings(keys=(KEY,)))
    assert (await queue.get(sealed.id)).payload == b"sealed"
    assert await queue.kept("value") == b"sealed"
    assert await queue.replay(Query(error=UNREADABLE)) == 1
    assert (await one(queue)).payload == b"sealed"


async def test_dead_letters_go_after_the_retention_since_they_died(make_queue: Any, clock: ManualClock):
    queue = await make_queue(retention=100)
    await queue.put(draft())
    clock.advance(1000)
    await queue.settle([Buried(await one(queue), attempt())])
    clock.advance(99)
    assert await queue.sweep() == 0
    clock.advance(1)
    assert await queue.sweep() == 1
    assert await queue.count(Query()) == 0


async def test_a_closed_queue_refuses_and_closes_again(queue: Any):
    pending = [asyncio.ensure_future(queue.put(draft())) for _ in range(20)]
    await asyncio.sleep(0)
    await queue.close()
    for result in await asyncio.gather(*pending, return_exceptions=True):
        assert isinstance(result, QueueUnavailable) or result.id
    for call in (queue.put(draft()), queue.ping(), queue.find(Query()), queue.tally()):
        with pytest.raises(QueueUnavailable):
            await call
    await queue.close()


async def test_ping(queue: Any):
    await queue.ping()
