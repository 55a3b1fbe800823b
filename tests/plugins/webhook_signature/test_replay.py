"""The memory of events: both sides of each script, leases, outages."""

import asyncio

import pytest

from gateway.errors import StoreUnavailable
from gateway.plugin import Context
from gateway.services.store import Degrading, KeyPrefix, MemoryStore, OnStoreError, open_store
from gateway.testing import ports
from plugins.webhook_signature.replay import BEGIN, DELIVERED, END, FREE, RENEW, Claim, Memory

KEY = KeyPrefix("webhook_signature", "r", "i").key("evt_1")
LEASE, TTL = 30_000_000, 86_400_000_000

STEPS = [
    pytest.param([(BEGIN, (b"a", LEASE), b"")], id="a new event is ours"),
    pytest.param([(BEGIN, (b"a", LEASE), b""), (BEGIN, (b"b", LEASE), b"p")], id="under way with another"),
    pytest.param([(BEGIN, (b"a", LEASE), b""), (END, (TTL,), 1), (BEGIN, (b"b", LEASE), b"d")], id="delivered"),
    pytest.param([(BEGIN, (b"a", LEASE), b""), (FREE, (b"a",), 1), (BEGIN, (b"b", LEASE), b"")], id="free again"),
    pytest.param(
        [(BEGIN, (b"a", LEASE), b""), (FREE, (b"b",), 0), (BEGIN, (b"b", LEASE), b"p")], id="not another's to free"
    ),
    pytest.param([(END, (TTL,), 1), (FREE, (b"a",), 0), (BEGIN, (b"b", LEASE), b"d")], id="delivered is not freed"),
    pytest.param([(BEGIN, (b"a", LEASE), b""), (RENEW, (b"a", LEASE), 1), (BEGIN, (b"b", LEASE), b"p")], id="renewed"),
    pytest.param([(BEGIN, (b"a", LEASE), b""), (RENEW, (b"b", LEASE), 0)], id="not another's to renew"),
    pytest.param([(END, (TTL,), 1), (RENEW, (b"a", LEASE), 0), (BEGIN, (b"b", LEASE), b"d")], id="delivered stays so"),
    pytest.param([(RENEW, (b"a", LEASE), 1), (BEGIN, (b"b", LEASE), b"p")], id="a lease that the store lost"),
]


@pytest.mark.parametrize("steps", STEPS)
def test_in_memory(steps):
    store = MemoryStore()
    for script, arguments, wanted in steps:
        assert store.run_now(script, (KEY,), arguments) == wanted


@pytest.mark.parametrize("steps", STEPS)
async def test_in_redis(steps, redis_server):
    store = await open_store(redis_server.url)
    try:
        for script, arguments, wanted in steps:
            assert await store.run(script, (KEY,), arguments) == wanted
        left = int(redis_server.command("PTTL", KEY.decode())) if await store.get(KEY) else 0
        assert 0 <= left <= TTL / 1000
    finally:
        await store.close()


class Flaky:
    """A store in memory that can be away; not a `MemoryStore` to those who ask."""

    def __init__(self):
        self.inner = MemoryStore()
        self.away = False
        self.runs = []

    async def run(self, script, keys, args=()):
        self.runs.append(script.name)
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable
        return self.inner.run_now(script, keys, args)


def memory(store=None, policy=OnStoreError.LOCAL, lease=30.0):
    given = ports()
    context = Context(given, route="r", plugin="webhook_signature", id="i")
    return Memory(context, Degrading(store or MemoryStore(), policy), ttl=86400.0, lease=lease), given


async def test_a_store_that_is_away_at_the_end_hears_of_it_later():
    store = Flaky()
    kept, given = memory(store)
    claim = await kept.begin(KEY)
    assert isinstance(claim, Claim)
    store.away = True
    kept.end(claim)
    await given.settled()
    assert (kept.unsaved, await kept.begin(KEY)) == (1, DELIVERED)
    store.away = False
    await kept.tend()
    assert (kept.unsaved, store.inner.run_now(BEGIN, (KEY,), (b"x", 1))) == (0, b"d")
    await kept.close()
    await given.close()


async def test_what_is_left_is_written_down_at_the_close():
    store = Flaky()
    kept, given = memory(store)
    claim = await kept.begin(KEY)
    store.away = True
    kept.end(claim)
    await given.settled()
    store.away = False
    await kept.close()
    assert store.inner.run_now(BEGIN, (KEY,), (b"x", 1)) == b"d"
    await given.close()


async def test_a_lease_is_renewed_while_the_work_goes_on_and_not_after():
    store = Flaky()
    kept, given = memory(store)
    claim = await kept.begin(KEY)
    given.clock.advance(11)
    await kept.tend()
    assert store.runs.count("webhook_renew") == 1
    kept.end(claim)
    await given.settled()
    await kept.tend()
    assert store.runs.count("webhook_renew") == 1
    assert kept.under_way == 0
    await kept.close()
    await given.close()


async def test_a_lease_that_is_renewed_as_its_work_ends_does_not_outlive_it():
    store = Flaky()
    kept, given = memory(store)
    claim = await kept.begin(KEY)
    given.clock.advance(11)
    tending = asyncio.ensure_future(kept.tend())
    await asyncio.sleep(0)
    store.inner.table.clear()  # the lease had just ended
    kept.free(claim)
    await tending
    await given.settled()
    assert store.inner.run_now(BEGIN, (KEY,), (b"x", 1)) == b""
    await kept.close()
    await given.close()


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        pytest.param(OnStoreError.LOCAL, Claim, id="local: what this worker knows"),
        pytest.param(OnStoreError.ALLOW, type(None), id="allow: without"),
        pytest.param(OnStoreError.DENY, StoreUnavailable, id="deny"),
    ],
)
async def test_a_store_that_is_away_at_the_beginning(policy, wanted):
    store = Flaky()
    store.away = True
    kept, given = memory(store, policy)
    if wanted is StoreUnavailable:
        with pytest.raises(StoreUnavailable):
            await kept.begin(KEY)
    else:
        assert isinstance(await kept.begin(KEY), wanted)
    if policy is OnStoreError.LOCAL:
        assert await kept.begin(KEY) == b"p"
    await given.settled()
    await kept.close()
    await given.close()
