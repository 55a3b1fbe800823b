"""The log of purges in a store: both sides of its scripts, and what a worker makes of what it reads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.plugin import Context
from gateway.services.store import MemoryStore, open_store
from gateway.testing import ports
from plugins.cache.ledger import APPEND, READ, Ledger
from plugins.cache.purge import Kind, Purge

KEYS = (b"sg:{t}:n", b"sg:{t}:u", b"sg:{t}:o", b"sg:{t}:h")
LIFE = 60_000_000
AT = 1_800_000_000_000_000
clock = [AT]


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    if request.param == "memory":
        clock[0] = AT
        made: Any = MemoryStore(now=lambda: clock[0])
    else:
        made = await open_store(request.getfixturevalue("redis_server").url, timeout=5.0)
    yield made
    await made.close()


def words(batches: list[Any]) -> list[str]:
    return [each.decode() if isinstance(each, bytes) else str(each) for each in batches]


async def test_batches_are_numbered_and_read_in_their_order(store: Any) -> None:
    append, first = APPEND.at(AT), AT // 1000
    assert await store.run(READ.at(AT), KEYS) == [0, 0]
    for payload, broad in ((b"a", 0), (b"b", 1), (b"c", 0)):
        await store.run(append, KEYS, (payload, broad, 10, LIFE))
    number, horizon, *batches = await store.run(READ.at(AT), KEYS)
    assert (number, horizon) == (first + 3, 0)
    assert words(batches) == [f"{first + 1} a", f"{first + 3} c", f"{first + 2} b"]


async def test_the_log_is_bounded_and_says_what_it_forgot(store: Any) -> None:
    append, first = APPEND.at(AT), AT // 1000
    for number in range(6):
        await store.run(append, KEYS, (f"u{number}", 0, 3, LIFE))
        await store.run(append, KEYS, (f"o{number}", 1, 3, LIFE))
    number, horizon, *batches = await store.run(READ.at(AT), KEYS)
    assert number == first + 12
    assert horizon == first + 6, "the third of the others is the last that is gone"
    assert [each.partition(" ")[2] for each in words(batches)] == ["u3", "u4", "u5", "o3", "o4", "o5"]


async def test_numbers_never_come_a_second_time(store: Any) -> None:
    one = await store.run(APPEND.at(AT), KEYS, (b"a", 0, 3, LIFE))
    await store.delete(*KEYS)
    clock[0] = AT + 5_000_000
    other = await store.run(APPEND.at(AT + 5_000_000), KEYS, (b"a", 0, 3, LIFE))
    assert other > one + 1


def ledger() -> Ledger:
    given = ports()
    return Ledger(Context(given, route="r", plugin="cache", id="cache"), given.store())


def test_what_was_read_is_entered_in_its_order_and_once() -> None:
    one = ledger()
    one._take(12, 0, [(12, [Purge(Kind.URL, "b")]), (11, [Purge(Kind.URL, "a")])])
    assert [(each.what, each.fleet) for each in one.log.urls.values()] == [("a", 11), ("b", 12)]
    one._take(12, 0, [(12, [Purge(Kind.URL, "b")])])
    assert (one.log.seq, one.lost) == (2, 0)


def test_a_gap_that_the_log_does_not_fill_makes_everything_out_of_date() -> None:
    one = ledger()
    one._take(12, 0, [])
    one._take(15, 0, [(14, [Purge(Kind.URL, "a")]), (15, [Purge(Kind.URL, "b")])])
    assert one.lost == 1
    assert one.log.everything is not None and not one.log.everything.soft
    one._take(16, 0, [(16, [Purge(Kind.URL, "c")])])
    assert one.lost == 1


def test_an_answer_older_than_what_the_log_forgot_is_not_trusted() -> None:
    one = ledger()
    one._take(20, 10, [])
    assert one.log.missed_by_fleet("a.test/x", (), 9) is not None
    assert one.log.missed_by_fleet("a.test/x", (), 10) is None
