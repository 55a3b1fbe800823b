"""Keys that are held: renewed by one timer, and given back even if the store was away."""

import asyncio

from gateway.errors import StoreUnavailable
from gateway.plugin import Context
from gateway.services.store import Degrading, MemoryStore
from gateway.testing import ports
from plugins.idempotency import IdempotencySettings
from plugins.idempotency.keeper import MOST_UNSAVED, Claim, Keeper
from plugins.idempotency.record import DONE

MARK = b"m" * 20


class Away:
    def __init__(self):
        self.store = MemoryStore()
        self.away = False

    def __getattr__(self, name):
        return getattr(self.store, name)

    async def run(self, script, keys, args=()):
        if self.away:
            raise StoreUnavailable
        return await self.store.run(script, keys, args)


def keeper(store, **settings):
    given = ports(store=store)
    context = Context(given, route="r", plugin="idempotency", id="i")
    settings = IdempotencySettings(**settings)
    return given, Keeper(settings, context, Degrading(store, settings.on_store_error))


def claim(number=0):
    return Claim(b"k%d" % number, MARK, 0.0)


async def test_the_timer_renews_and_rests_when_nothing_is_held():
    given, keep = keeper(store := Away(), lease=1)
    keep._pause = 0.01
    mine = claim()
    assert await keep.begin(mine) == b""
    before = store.store.table.get(mine.key)
    while store.store.table.get(mine.key) == before:
        await asyncio.sleep(0.005)
    await keep.free(mine)
    while keep._timer is not None:
        await asyncio.sleep(0.005)
    await given.settled()
    assert store.store.table.get(mine.key) is None


async def test_a_key_that_ended_while_renewals_were_about_to_go_out_is_not_taken_again():
    _, keep = keeper(store := Away())
    mine = claim()
    await keep.begin(mine)
    tending = asyncio.ensure_future(keep.tend())
    await keep.free(mine)
    await tending
    assert store.store.table.get(mine.key) is None
    keep.close()


async def test_a_key_that_could_not_be_given_back_is_later():
    _, keep = keeper(store := Away())
    mine, other = claim(), claim()
    await keep.begin(mine)
    store.away = True
    await keep.free(mine)
    store.away = False
    assert await keep.begin(other) != b""
    await keep.tend()
    assert await keep.begin(other) == b""


async def test_outcomes_that_wait_for_the_store_are_bounded_and_end():
    given, keep = keeper(store := Away(), ttl=60, lease=1)
    store.away = True
    for number in range(MOST_UNSAVED + 5):
        await keep.end(claim(number), DONE)
    assert keep.unsaved == MOST_UNSAVED
    assert given.value("idempotency_lost_total", "r", "i") == 5
    given.clock.advance(61)
    await keep.tend()
    assert keep.unsaved == 0
    keep.close()


async def test_an_outcome_whose_key_went_to_another_is_told():
    given, keep = keeper(store := Away())
    mine, other = claim(), claim()
    await keep.begin(mine)
    store.store.table.clear()
    await keep.begin(other)
    with given.capturing():
        await keep.end(mine, DONE)
    assert given.value("idempotency_lost_total", "r", "i") == 1
    assert any("taken by another" in line for line in given.lines)
    assert keep._claims == {other}
    await keep.free(other)
    keep.close()
