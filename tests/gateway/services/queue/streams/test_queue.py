"""The way of an item through a queue on Redis Streams, one step after the other."""

from __future__ import annotations

import asyncio
from pathlib import Path
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
    QueueFull,
    QueueUnavailable,
    Returned,
    State,
    Unsupported,
)
from gateway.services.queue.opening import QueueSettings

TOPIC = "inbox/stripe/inbox"
KEY, OTHER_KEY = b"k" * 32, b"o" * 32


def draft(payload: bytes = b"{}", **more: Any) -> Draft:
    return Draft(more.pop("topic", TOPIC), payload, **more)


def attempt(number: int = 1, **more: Any) -> Attempt:
    return Attempt(number, 1_800_000_000.5, 0.25, **{"status": 500, "error": "upstream_error", "gateway": "a", **more})


async def taken(queue: Any, limit: int = 10, lease: float = 30) -> list[Item]:
    return list(await queue.take(TOPIC, limit, lease))


async def payloads(queue: Any, limit: int = 10) -> list[bytes]:
    return [item.payload for item in await taken(queue, limit)]


async def one(queue: Any) -> Item:
    (item,) = await taken(queue)
    return item


# --- put and take ----------------------------------------------------------------------------------------------------


async def test_an_item_comes_out_as_it_went_in(queue: Any, clock: ManualClock):
    payload = bytes(range(256)) * 8
    receipt = await queue.put(draft(payload, labels={"route": "stripe", "path": "/ü"}, order="customer 1"))
    item = await one(queue)
    assert (item.id, item.topic, item.payload, item.size) == (receipt.id, TOPIC, payload, 2048)
    assert (item.labels, item.order) == ({"route": "stripe", "path": "/ü"}, "customer 1")
    assert (item.state, item.accepted, item.due) == (State.LEASED, clock.time(), clock.time())
    assert (item.attempts, item.round, item.replays, item.last) == (0, 0, 0, None)
    assert item.lease
    assert item.lease_until == clock.time() + 30
    assert not receipt.duplicate


async def test_what_is_handed_out_is_not_handed_out_again(queue: Any):
    await queue.put(draft())
    assert len(await taken(queue)) == 1
    assert await taken(queue) == []


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


# --- dedup -----------------------------------------------------------------------------------------------------------


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


# --- leases ----------------------------------------------------------------------------------------------------------


async def test_a_lease_that_ran_out_gives_the_item_to_the_next_taker_first(queue: Any, clock: ManualClock):
    await queue.put(draft(b"old"))
    first = await one(queue)
    await queue.put(draft(b"new"))
    clock.advance(29)
    assert await payloads(queue, 1) == [b"new"]
    clock.advance(1)
    assert (await queue.get(first.id)).state is State.READY
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


# --- settlements -----------------------------------------------------------------------------------------------------


def tally(topic: str = TOPIC, **more: Any) -> Any:
    from gateway.services.queue import Tally

    return Tally(topic, **more)


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
    await queue.settle([Buried(await one(queue), attempt())])
    clock.advance(3600)
    assert await taken(queue) == []
    item = await queue.get(receipt.id)
    assert (item.state, item.payload, item.last, item.lease) == (State.DEAD, b"body", attempt(), "")
    assert await queue.tally() == [tally(dead=1, size=4)]


async def test_done_is_gone_or_kept_for_a_while(queue: Any, clock: ManualClock):
    gone = await queue.put(draft(b"12"))
    kept = await queue.put(draft(b"345"))
    first, second = await taken(queue)
    await queue.settle([Done(first, attempt(status=200)), Done(second, attempt(status=200), keep=60)])
    assert await queue.get(gone.id) is None
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


async def test_settlements_of_many_topics_and_more_than_one_script_takes(queue: Any):
    for topic in ("a", "b"):
        await asyncio.gather(*[queue.put(draft(topic=topic)) for _ in range(250)])
    items = [item for topic in ("a", "b") for _ in range(2) for item in await queue.take(topic, 250, 30)]
    assert len(items) == 500
    mixed = items[::2] + items[1::2]
    assert len(await queue.renew(mixed, 60)) == 500
    assert await queue.settle([Done(item, attempt()) for item in mixed]) == [True] * 500
    assert await queue.tally() == [tally("a"), tally("b")]
    assert await queue.settle([]) == []


# --- order -----------------------------------------------------------------------------------------------------------


async def test_one_after_the_other_in_the_order_they_were_put(queue: Any, clock: ManualClock):
    for name in (b"1", b"2", b"3"):
        await queue.put(draft(name, order="k"))
    await queue.put(draft(b"other", order="o"))
    await queue.put(draft(b"none"))
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


# --- limits, keys, upkeep --------------------------------------------------------------------------------------------


async def test_no_more_items_than_it_may(redis_server: Any, open_queue: Any):
    queue = await open_queue(redis_server.url, max_items=3)
    for topic in ("a", "b", "b"):
        await queue.put(draft(topic=topic))
    with pytest.raises(QueueFull):
        await queue.put(draft(topic="a"))
    assert await queue.count(Query()) == 3
    queue.configure(QueueSettings(max_items=4))
    await queue.put(draft(topic="a"))


async def test_no_more_bytes_than_it_may(redis_server: Any, open_queue: Any):
    queue = await open_queue(redis_server.url, max_size=10)
    await queue.put(draft(b"123456"))
    with pytest.raises(QueueFull):
        await queue.put(draft(b"12345"))
    await queue.put(draft(b"1234"))
    await queue.purge(Query())
    await queue.put(draft(b"1234567890"))


async def test_payloads_are_sealed_and_keys_may_change(redis_server: Any, open_queue: Any):
    queue = await open_queue(redis_server.url, keys=(KEY,))
    await queue.put(draft(b"a secret of the customer", labels={"route": "r"}))
    with redis_server.client() as client:
        everything = b"".join(client.dump(key) for key in client.scan_iter())
    assert b"a secret of the customer" not in everything
    queue.configure(QueueSettings(keys=(OTHER_KEY, KEY)))
    assert (await one(queue)).payload == b"a secret of the customer"


@pytest.mark.parametrize("keys", [pytest.param((), id="no key"), pytest.param((OTHER_KEY,), id="another key")])
async def test_what_no_key_opens_is_buried(redis_server: Any, open_queue: Any, keys: tuple[bytes, ...]):
    queue = await open_queue(redis_server.url, keys=(KEY,))
    sealed = await queue.put(draft(b"sealed"))
    queue.configure(QueueSettings(keys=keys))
    plain = await queue.put(draft(b"readable"))
    assert [item.id for item in await taken(queue)] == [plain.id]
    item = await queue.get(sealed.id)
    assert (item.state, item.payload, item.last.error) == (State.DEAD, None, UNREADABLE)
    queue.configure(QueueSettings(keys=(KEY,)))
    assert (await queue.get(sealed.id)).payload == b"sealed"


async def test_dead_letters_go_after_the_retention_since_they_died(redis_server: Any, open_queue: Any, clock: Any):
    queue = await open_queue(redis_server.url, retention=100)
    await queue.put(draft())
    clock.advance(1000)
    await queue.settle([Buried(await one(queue), attempt())])
    clock.advance(99)
    assert await queue.sweep() == 0
    clock.advance(1)
    assert await queue.sweep() == 1
    assert await queue.count(Query()) == 0
    assert redis_server.command("DBSIZE") <= 4  # the topic, its stream, the index of topics, the store's probe


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


async def test_a_closed_queue_refuses_and_closes_again(queue: Any):
    pending = [asyncio.ensure_future(queue.put(draft())) for _ in range(20)]
    await asyncio.sleep(0)
    await queue.close()
    for result in await asyncio.gather(*pending, return_exceptions=True):
        assert isinstance(result, QueueUnavailable) or result.id
    with pytest.raises(QueueUnavailable):
        await queue.put(draft())
    with pytest.raises(QueueUnavailable):
        await queue.ping()
    await queue.close()


async def test_a_backup_is_redis_own(queue: Any, tmp_path: Path):
    with pytest.raises(Unsupported, match="BGREWRITEAOF"):
        await queue.backup(tmp_path / "copy")


async def test_ping(queue: Any):
    await queue.ping()
