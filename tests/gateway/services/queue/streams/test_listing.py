"""What people find, count, export, replay and purge."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.services.queue import Attempt, Buried, Done, Draft, Query, State
from gateway.services.queue.streams import listing

BAD = Attempt(1, 1.0, 0.1, 502, "upstream_unreachable")
DEAD = frozenset({State.DEAD})


async def bury(queue: Any, topic: str, count: int, **attempt: Any) -> list[str]:
    ids = []
    for number in range(count):
        draft = Draft(topic, b"%d" % number, {"route": topic, "n": str(number % 2)}, state=State.DEAD)
        ids.append((await queue.put(draft)).id)
    return ids


@pytest.fixture
async def filled(queue: Any, clock: Any) -> list[str]:
    """inbox/a: dead (502), done, leased, ready, waiting; a second apart; inbox/b: ready; other: dead from the start."""
    ids = []
    for number in range(5):
        order = "k" if number > 2 else None
        draft = Draft("inbox/a", b"%d" % number, {"route": "a", "even": str(number % 2 == 0)}, order=order)
        ids.append((await queue.put(draft)).id)
        clock.advance(1)
    first, second, _third = await queue.take("inbox/a", 3, 1000)
    await queue.settle([Buried(first, BAD), Done(second, Attempt(1, 1.0, 0.1, 200), keep=1000)])
    ids.append((await queue.put(Draft("inbox/b", b"b"))).id)
    clock.advance(1)
    last = Attempt(1, 1.0, 0.1, 410)
    ids.append((await queue.put(Draft("other", b"o", state=State.DEAD, last=last))).id)
    return ids


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param({}, [0, 1, 2, 3, 4, 5, 6], id="all"),
        pytest.param({"topic": "inbox/a"}, [0, 1, 2, 3, 4], id="a topic"),
        pytest.param({"topic": "inbox/"}, [0, 1, 2, 3, 4, 5], id="topics that begin so"),
        pytest.param({"topic": "inbox"}, [], id="a beginning is no topic without its slash"),
        pytest.param({"states": {State.DEAD}}, [0, 6], id="dead"),
        pytest.param({"states": {State.DONE}}, [1], id="done"),
        pytest.param({"states": {State.LEASED}}, [2], id="leased"),
        pytest.param({"states": {State.READY}}, [3, 5], id="ready"),
        pytest.param({"states": {State.WAITING}}, [4], id="waiting"),
        pytest.param({"states": {State.WAITING, State.DEAD}}, [0, 4, 6], id="waiting or dead"),
        pytest.param({"labels": {"even": "True"}}, [0, 2, 4], id="a label"),
        pytest.param({"labels": {"even": "True", "route": "b"}}, [], id="two labels, both of which must be so"),
        pytest.param({"since": 2}, [2, 3, 4, 5, 6], id="since, included"),
        pytest.param({"until": 2}, [0, 1], id="until, excluded"),
        pytest.param({"since": 1, "until": 3}, [1, 2], id="since and until"),
        pytest.param({"status": 502}, [0], id="status of the last attempt"),
        pytest.param({"status": 410}, [6], id="status of a dead letter from the beginning"),
        pytest.param({"error": "upstream_unreachable"}, [0], id="error of the last attempt"),
        pytest.param({"ids": [6, 0]}, [0, 6], id="ids"),
        pytest.param({"ids": [0, 1], "states": {State.DONE}}, [1], id="ids in a state"),
    ],
)
async def test_what_is_meant(queue: Any, clock: Any, filled: list[str], query: dict[str, Any], found: list[int]):
    began = clock.time() - 6
    given = dict(query)
    for name in ("since", "until"):
        if name in given:
            given[name] += began
    given["ids"] = [filled[number] for number in given.get("ids", ())]
    given["states"] = frozenset(given.get("states", ()))
    meant = Query(**given)
    page = await queue.find(meant)
    assert [filled.index(item.id) for item in page.items] == found
    assert page.after is None
    assert all(item.payload is None for item in page.items)
    assert await queue.count(meant) == len(found)
    assert [item.payload async for item in queue.export(meant)] == [
        [b"0", b"1", b"2", b"3", b"4", b"b", b"o"][n] for n in found
    ]


async def test_ids_that_are_none_are_not_found(queue: Any):
    for id_ in ("", "x", "0" * 26, "../..", "ü" * 26):
        assert await queue.get(id_) is None
        assert await queue.attempts(id_) == []
    assert (await queue.find(Query(ids=("nonsense",)))).items == []


async def test_pages_go_on_where_the_last_one_ended(queue: Any):
    ids = sorted(await bury(queue, "a", 7) + await bury(queue, "b", 7))  # of one microsecond: neither topic is first
    for limit in (1, 3, 7, 14, 100):
        found, after, pages = [], None, 0
        while True:
            page = await queue.find(Query(), after=after, limit=limit)
            assert len(page.items) <= limit
            found += [item.id for item in page.items]
            after, pages = page.after, pages + 1
            if after is None:
                break
        assert found == ids
        assert pages == -(-14 // limit)


async def test_a_find_looks_at_no_more_than_it_may_and_says_where_to_go_on(queue: Any, monkeypatch: Any):
    monkeypatch.setattr(listing, "LOOKED_AT", 10)
    ids = await bury(queue, "a", 25)
    found, after, pages = [], None, 0
    while True:
        page = await queue.find(Query(labels={"n": "1"}), after=after, limit=100)
        found += [item.id for item in page.items]
        after, pages = page.after, pages + 1
        if after is None:
            break
    assert found == ids[1::2]
    assert pages == 3


async def test_replay_at_a_rate(queue: Any, clock: Any):
    await bury(queue, "a", 6)
    assert await queue.replay(Query(states=DEAD), rate=2) == 6
    handed_out = []
    for _ in range(7):
        handed_out.append(len(await queue.take("a", 10, 1000)))
        clock.advance(0.5)
    assert handed_out == [1, 1, 1, 1, 1, 1, 0]
    assert await queue.replay(Query(states=DEAD)) == 0


async def test_replay_leaves_alone_what_lives(queue: Any, filled: list[str]):
    assert await queue.replay(Query(states=frozenset({State.READY, State.WAITING, State.LEASED}))) == 0
    assert await queue.replay(Query(topic="inbox/")) == 2
    assert [item.state for item in (await queue.find(Query(topic="inbox/a"))).items] == [
        *(State.READY, State.READY, State.LEASED, State.READY, State.WAITING)
    ]
    assert await queue.check() == []


async def test_purge_spares_what_is_leased(queue: Any, filled: list[str]):
    assert await queue.purge(Query(states=frozenset({State.LEASED}))) == 0
    assert await queue.purge(Query(topic="inbox/")) == 5
    assert [item.id for item in (await queue.find(Query())).items] == [filled[2], filled[6]]
    assert await queue.check() == []


async def test_more_than_a_script_takes(queue: Any):
    for topic in ("a", "b"):
        await bury(queue, topic, 450)
    assert await queue.count(Query(labels={"n": "1"})) == 450
    assert len([item async for item in queue.export(Query())]) == 900
    assert await queue.replay(Query(labels={"n": "1"})) == 450
    assert await queue.purge(Query(states=DEAD)) == 450
    assert await queue.count(Query()) == 450
    assert await queue.check() == []


async def test_a_chain_of_waiting_ones_is_purged_whole(queue: Any):
    for _ in range(250):
        await queue.put(Draft("a", b"x", order="k"))
    assert await queue.purge(Query()) == 250
    assert await queue.check() == []
    assert await queue.count(Query()) == 0
