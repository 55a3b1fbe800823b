"""Breakers that are shared: what one finds all know, one of them probes, and without a store each is on its own."""

import asyncio
import contextlib

import msgspec
import pytest

from gateway.errors import StoreUnavailable
from gateway.http import Attempt
from gateway.services.store import MemoryStore
from gateway.services.store.key import channel
from gateway.testing import answering, opened, ports, request
from plugins.circuit_breaker import CircuitBreaker

URL = "http://10.0.0.1:80"
SHARED = {"failures": 1, "shared": True, "open": {"base": "1s", "max": "8s", "jitter": "0%"}}
CHANNEL = channel("circuit_breaker/upstream:orders/circuit_breaker")


class Flaky(MemoryStore):
    """A store that can be away."""

    away = False

    def __getattribute__(self, name):
        if name in ("set", "get", "delete", "publish") and object.__getattribute__(self, "away"):

            async def fails(*_args, **_given):
                raise StoreUnavailable

            return fails
        return super().__getattribute__(name)


@contextlib.asynccontextmanager
async def gateways(count=2, **settings):
    async with contextlib.AsyncExitStack() as stack:
        first = ports(store=Flaky())
        store = first.store()
        store._now = lambda: int(first.clock.time() * 1_000_000)
        made = []
        for number in range(count):
            given = first if number == 0 else ports(store=store)
            given.clock = first.clock
            manager = opened(CircuitBreaker, {**SHARED, **settings}, ports=given, route="upstream:orders")
            made.append(await stack.enter_async_context(manager))
            made[-1].kept = made[-1].plugin.gate(URL)
        yield made


async def ask(live, target=None):
    made = request()
    made.attempt = Attempt("orders", URL, 1, 1e12)
    return await live(made, target or answering())


async def settled(*all_of):
    for _ in range(3):
        for live in all_of:
            await live.ports.settled()
            await asyncio.sleep(0)


def states(*all_of):
    return [live.plugin.snapshot()[0]["state"] for live in all_of]


async def test_what_one_finds_all_know():
    async with gateways(3) as (one, two, three):
        await ask(one, answering(500))
        await settled(one, two, three)
        assert states(one, two, three) == ["open"] * 3
        target = answering()
        assert (await ask(two, target)).error.code == "circuit_open"
        assert target.calls == 0
        assert not three.kept.admits()
        assert any("another gateway says so" in line for line in two.ports.lines)
        labels = ("orders", "circuit_breaker", URL, "open")
        assert two.ports.value("circuit_breaker_transitions_total", *labels) == 1


async def test_one_of_them_probes_and_when_it_succeeds_all_close():
    async with gateways() as (one, two):
        await ask(one, answering(500))
        await settled(one, two)
        one.ports.clock.advance(1)
        go, probe = asyncio.Event(), answering()

        async def slow(asked):
            await go.wait()
            return await probe(asked)

        task = asyncio.create_task(ask(two, slow))
        await asyncio.sleep(0.001)
        target = answering()
        assert (await ask(one, target)).error.code == "circuit_open"
        assert (await ask(two, target)).error.code == "circuit_open"
        assert target.calls == 0
        go.set()
        assert (await task).status == 200
        await settled(one, two)
        assert states(one, two) == ["closed", "closed"]
        assert (await ask(one, target)).status == 200


async def test_a_probe_that_fails_leaves_it_open_for_all_and_for_longer():
    async with gateways() as (one, two):
        await ask(one, answering(500))
        await settled(one, two)
        one.ports.clock.advance(1)
        await ask(two, answering(500))
        await settled(one, two)
        shown = [live.plugin.snapshot()[0] for live in (one, two)]
        assert [(each["state"], each["opens"], each["retry_in"]) for each in shown] == [("open", 2, 2.0)] * 2


async def test_of_requests_that_ask_at_once_one_probes():
    async with gateways(1) as (one,):
        await ask(one, answering(500))
        await settled(one)
        one.ports.clock.advance(1)
        target = answering()
        answers = await asyncio.gather(*(ask(one, target) for _ in range(5)))
        assert sum(each.status == 200 for each in answers) >= 1
        assert states(one) == ["closed"]


async def test_who_comes_later_learns_of_it():
    async with gateways(1) as (one,):
        await ask(one, answering(500))
        await settled(one)
        given = ports(store=one.ports.store())
        given.clock = one.ports.clock
        async with opened(CircuitBreaker, SHARED, ports=given, route="upstream:orders") as late:
            late.kept = late.plugin.gate(URL)
            await settled(late)
            assert states(late) == ["open"]
            assert late.plugin.snapshot()[0]["retry_in"] == 1.0


async def test_an_operator_resets_all():
    async with gateways() as (one, two):
        await ask(one, answering(500))
        await settled(one, two)
        views = {view.name: view for view in two.plugin.admin()}
        await views["reset"].answer({})
        await settled(one, two)
        assert states(one, two) == ["closed", "closed"]


async def test_who_probes_and_dies_does_not_keep_it_open():
    async with gateways() as (one, two):
        await ask(one, answering(500))
        await settled(one, two)
        one.ports.clock.advance(1)
        assert await one.plugin._fleet.may_probe(one.plugin.breakers()[0])
        assert (await ask(two)).error.code == "circuit_open"
        one.ports.clock.advance(11)
        assert (await ask(two)).status == 200


@pytest.mark.parametrize(
    ("choice", "status", "after"),
    [
        pytest.param("local", 500, "open", id="local: each probes for itself"),
        pytest.param("allow", 500, "open", id="allow: it closes, and what fails is counted anew"),
        pytest.param("deny", 503, "open", id="deny: it stays open"),
    ],
)
async def test_without_a_store(choice, status, after):
    async with gateways(on_store_error=choice) as (one, two):
        await ask(one, answering(500))
        await settled(one, two)
        one.ports.store().away = True
        one.ports.clock.advance(1)
        assert (await ask(two, answering(500))).status == status
        await settled(one, two)
        assert states(two) == [after]
        assert two.plugin.snapshot()[0]["opens"] == (2 if choice == "local" else 1)
        assert two.ports.value("circuit_breaker_degraded_total", "orders", "circuit_breaker") >= 1
        one.ports.store().away = False
        one.ports.clock.advance(9)
        assert (await ask(two)).status == 200, "it is used again as soon as it is back"
        await settled(one, two)
        assert states(one, two) == ["closed", "closed"]


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="no JSON"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"from": "x"}', id="half of it"),
        pytest.param(
            msgspec.json.encode({"from": "x", "target": URL, "state": 9, "wait": 1, "opens": 1}), id="no state"
        ),
        pytest.param(
            msgspec.json.encode({"from": "x", "target": "http://other", "state": 2, "wait": 1, "opens": 1}),
            id="of a target that is not here",
        ),
        pytest.param(
            msgspec.json.encode({"from": "x", "target": URL, "state": 1, "wait": 1, "opens": 1}), id="half-open"
        ),
    ],
)
async def test_what_does_not_belong_in_the_channel_changes_nothing(message):
    async with gateways(1) as (one,):
        await one.ports.store().publish(CHANNEL, message)
        await settled(one)
        assert states(one) == ["closed"]


async def test_nobody_can_close_a_target_off_for_longer_than_the_settings_say():
    async with gateways(1) as (one,):
        said = {"from": "x", "target": URL, "state": 2, "wait": 1e9, "opens": 10**9}
        await one.ports.store().publish(CHANNEL, msgspec.json.encode(said))
        await settled(one)
        assert one.plugin.snapshot()[0]["retry_in"] == 8.0
        one.ports.clock.advance(8)
        assert (await ask(one, answering(500))).status == 500
        assert one.plugin.snapshot()[0]["retry_in"] == 8.0
