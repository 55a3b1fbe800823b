"""concurrency_limit: whose places, how long they are held, who is shed and what he is told."""

import asyncio

import pytest

from gateway.errors import ConnectFailed, FirstByteTimeout
from gateway.http import Attempt, Principal, Response
from gateway.http.peer import Peer
from gateway.testing import answering, opened, ports, request
from plugins.concurrency_limit import ConcurrencyLimit

EXAMPLE = {"limit": 100}
ONE = {"limit": 1}
WAITING = {"limit": 1, "queue": {"size": 5, "timeout": "1m"}}
CLASSES = {
    "limit": 10,
    "priority": {"header": "X-Priority", "rate_classes": {"gold": "critical"}, "routes": {"job": "background"}},
}
FAMILIES = ("in_flight", "queued", "limit")


class Slow:
    """A target that answers when it is told to."""

    def __init__(self, status=200, **answer):
        self.go, self.requests, self._answer = asyncio.Event(), [], answering(status, **answer)

    async def __call__(self, asked):
        self.requests.append(asked)
        await self.go.wait()
        return await self._answer(asked)


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


def gauges(live, route="test", target="*"):
    return tuple(live.ports.value(f"concurrency_limit_{name}", route, "concurrency_limit", target) for name in FAMILIES)


def shed(live, name="all", reason="full", mode="enforce"):
    return live.ports.value("concurrency_limit_shed_total", "test", "concurrency_limit", name, reason, mode)


async def test_who_finds_no_place_is_told_when_to_come_back():
    async with opened(ConcurrencyLimit, ONE) as live:
        target = Slow()
        first = asyncio.create_task(live(request(), target))
        await turns()
        assert gauges(live) == (1, 0, 1)
        response = await live(request(), target)
        assert (response.status, response.error.code, response.headers["Retry-After"]) == (503, "overloaded", "1")
        assert (len(target.requests), shed(live)) == (1, 1)
        target.go.set()
        assert (await first).status == 200
        assert gauges(live) == (0, 0, 1)


async def test_who_waits_gets_the_place_that_becomes_free():
    async with opened(ConcurrencyLimit, WAITING) as live:
        target = Slow()
        tasks = [asyncio.create_task(live(request(), target)) for _ in range(6)]
        await turns()
        assert gauges(live) == (1, 5, 1)
        assert (await live(request(), target)).status == 503
        target.go.set()
        assert [(await task).status for task in tasks] == [200] * 6
        assert gauges(live) == (0, 0, 1)
        assert live.ports.value("concurrency_limit_wait_seconds", "test", "concurrency_limit") == 5


async def test_who_waits_too_long_is_refused():
    async with opened(ConcurrencyLimit, {"limit": 1, "queue": {"size": 5, "timeout": "1ms"}}) as live:
        target = Slow()
        first = asyncio.create_task(live(request(), target))
        await turns()
        assert (await live(request(), target)).error.code == "overloaded"
        assert shed(live, reason="timeout") == 1
        target.go.set()
        await first


async def test_a_client_that_leaves_the_line_frees_it():
    async with opened(ConcurrencyLimit, {"limit": 1, "queue": {"size": 1, "timeout": "1m"}}) as live:
        target = Slow()
        first, second = (asyncio.create_task(live(request(), target)) for _ in range(2))
        await turns()
        second.cancel()
        await turns()
        assert gauges(live) == (1, 0, 1)
        third = asyncio.create_task(live(request(), target))
        await turns()
        assert gauges(live) == (1, 1, 1)
        target.go.set()
        assert [(await each).status for each in (first, third)] == [200, 200]
        assert len(target.requests) == 2


@pytest.mark.parametrize(
    ("given", "held"),
    [pytest.param({}, 1, id="by default"), pytest.param({"hold": "head"}, 0, id="only until the head")],
)
async def test_a_stream_holds_its_place_until_the_last_byte(given, held):
    async with opened(ConcurrencyLimit, {**ONE, **given}) as live:
        asked = request()
        response = await live.head(asked, answering(chunks=[b"a", b"b"]))
        assert gauges(live)[0] == held
        assert await response.body.pull() == b"a"
        assert (await live()).status == (503 if held else 200)
        assert [await response.body.pull() for _ in range(2)] == [b"b", b""]
        assert gauges(live)[0] == 0
        live.leave(asked, response)


async def test_a_client_that_leaves_in_mid_stream_gives_its_place_back():
    async with opened(ConcurrencyLimit, ONE) as live:
        asked = request()
        response = await live.head(asked, answering(chunks=[b"a", b"b"]))
        live.leave(asked, response)
        assert gauges(live)[0] == 0


async def test_a_tunnel_holds_its_place_until_it_ends():
    class Tunnel:
        gone = False

        def close(self):
            pass

    async def switching(_request):
        response = Response(101)
        response.tunnel = Tunnel()
        return response

    async with opened(ConcurrencyLimit, ONE) as live:
        asked = request(headers={"Upgrade": "websocket"})
        response = await live.head(asked, switching)
        assert gauges(live)[0] == 1
        live.leave(asked, response)
        assert gauges(live)[0] == 0


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(answering(error=ConnectFailed()), id="an error"),
        pytest.param(answering(500), id="a failure"),
        pytest.param(answering(chunks=[b"x"], error=FirstByteTimeout()), id="an answer that breaks off"),
    ],
)
async def test_whatever_happens_the_place_comes_back(target):
    async with opened(ConcurrencyLimit, ONE) as live:
        for _ in range(3):
            asked = request("HEAD")
            response = await live.head(asked, target)
            live.leave(asked, response)
            assert gauges(live)[0] == 0


async def test_a_bug_behind_it_gives_the_place_back():
    async def broken(_request):
        raise RuntimeError

    async with opened(ConcurrencyLimit, ONE) as live:
        assert (await live(request(), broken)).status == 500
        assert gauges(live)[0] == 0


async def test_callers_have_places_of_their_own():
    async with opened(ConcurrencyLimit, {"limit": 1, "key": "principal"}) as live:
        target = Slow()
        tasks = [asyncio.create_task(live(request(principal=name), target)) for name in ("ann", "bob")]
        await turns()
        response = await live(request(principal="ann"), target)
        assert (response.status, response.error.code, response.headers["Retry-After"]) == (
            429,
            "too_many_in_flight",
            "1",
        )
        assert gauges(live) == (2, 0, 1)
        (view,) = live.plugin.admin()
        assert await view.answer({}) == {"callers": 2, "in_flight": 2, "queued": 0, "most_of_one": 1}
        target.go.set()
        await asyncio.gather(*tasks)
        assert await view.answer({}) == {"callers": 0, "in_flight": 0, "queued": 0, "most_of_one": 0}


@pytest.mark.parametrize(
    ("choice", "statuses"),
    [
        pytest.param("ip", [200, 429], id="counted by address"),
        pytest.param("skip", [200, 200], id="not limited"),
        pytest.param("deny", [403, 403], id="refused"),
    ],
)
async def test_a_request_without_its_key(choice, statuses):
    async with opened(ConcurrencyLimit, {"limit": 1, "key": "principal", "on_missing_key": choice}) as live:
        heads = [await live.head(request(), answering(chunks=[b"x"])) for _ in range(2)]
        assert [each.status for each in heads] == statuses
        for each in heads:
            each.body.close()


async def test_a_principal_called_like_an_address_has_places_of_its_own():
    async with opened(ConcurrencyLimit, {"limit": 1, "key": "principal"}) as live:
        asked = [request(client_ip="192.0.2.1"), request(principal="192.0.2.1")]
        heads = [await live.head(each, answering(chunks=[b"x"])) for each in asked]
        assert [each.status for each in heads] == [200, 200]
        for each in heads:
            each.body.close()


def trusted(**given):
    made = request(**given)
    made.peer = Peer("10.0.0.1", trusted=True)
    return made


GOLD = Principal("g", rate_class="gold")


@pytest.mark.parametrize(
    ("make", "passes"),
    [
        pytest.param(request, 9, id="normal by default"),
        pytest.param(lambda: request(headers={"X-Priority": "critical"}), 9, id="a client cannot raise itself"),
        pytest.param(lambda: trusted(headers={"X-Priority": "critical"}), 10, id="a trusted proxy can"),
        pytest.param(lambda: trusted(headers={"X-Priority": "background"}), 8, id="or lower"),
        pytest.param(lambda: trusted(headers={"X-Priority": "urgent"}), 9, id="not to what does not exist"),
        pytest.param(lambda: request(principal=GOLD), 10, id="by the principal's rate class"),
        pytest.param(lambda: request(principal=Principal("i", rate_class="iron")), 9, id="one that says nothing"),
        pytest.param(lambda: request(route="job"), 8, id="by route"),
        pytest.param(
            lambda: trusted(headers={"X-Priority": "background"}, principal=GOLD), 8, id="the header comes first"
        ),
        pytest.param(lambda: request(principal=GOLD, route="job"), 10, id="then the principal"),
    ],
)
async def test_the_lower_class_is_shed_first(make, passes):
    async with opened(ConcurrencyLimit, CLASSES) as live:
        heads = [await live.head(make(), answering(chunks=[b"x"])) for _ in range(12)]
        assert sum(each.status == 200 for each in heads) == passes
        for each in heads:
            each.body.close()
        assert gauges(live)[0] == 0


async def test_what_is_shed_is_counted_by_class():
    async with opened(ConcurrencyLimit, {**CLASSES, "limit": 1}) as live:
        head = await live.head(request(), answering(chunks=[b"x"]))
        await live(request(principal=GOLD))
        await live(request(route="job"))
        assert (shed(live, "critical"), shed(live, "background"), shed(live, "normal")) == (1, 1, 0)
        head.body.close()


async def test_in_shadow_nobody_waits_and_who_would_be_shed_is_counted():
    async with opened(ConcurrencyLimit, {"limit": 1, "queue": {"size": 1, "timeout": "1m"}}, mode="shadow") as live:
        heads = [await live.head(request(), answering(chunks=[b"x"])) for _ in range(4)]
        assert [each.status for each in heads] == [200] * 4
        assert live.ports.would_refuse == ["overloaded"] * 2
        assert (gauges(live), shed(live, mode="shadow")) == ((4, 0, 1), 2)
        for each in heads:
            each.body.close()
        assert gauges(live) == (0, 0, 1)


# -- around attempts ---------------------------------------------------------------------------------------------------


def tried(target):
    made = request()
    made.attempt = Attempt("orders", target, 1, 1e12)
    return made


async def test_each_target_has_places_of_its_own_and_the_balancer_knows():
    async with opened(ConcurrencyLimit, ONE, route="upstream:orders") as live:
        gates = {name: live.plugin.gate(name) for name in ("a", "b")}
        head = await live.head(tried("a"), answering(chunks=[b"x"]))
        assert {name: gate.admits() for name, gate in gates.items()} == {"a": False, "b": True}
        assert (await live(tried("a"))).error.code == "overloaded"
        assert (await live(tried("b"))).status == 200
        assert gauges(live, "upstream:orders", "a") == (1, 0, 1)
        head.body.close()
        assert gates["a"].admits()


async def test_shadow_and_callers_do_not_steer_the_balancer():
    async with opened(ConcurrencyLimit, ONE, mode="shadow", route="upstream:orders") as live:
        assert live.plugin.gate("a") is None
    async with opened(ConcurrencyLimit, {**ONE, "key": "client_ip"}, route="upstream:orders") as live:
        assert live.plugin.gate("a") is None
        head = await live.head(tried("a"), answering(chunks=[b"x"]))
        assert [(await live(tried(name))).status for name in ("a", "b")] == [429, 200], "a caller's, at each target"
        head.body.close()


# -- over a reload -----------------------------------------------------------------------------------------------------


async def test_what_is_under_way_counts_for_the_changed_limit_too():
    given = ports()
    async with opened(ConcurrencyLimit, {"limit": 3}, ports=given) as old:
        heads = [await old.head(request(), answering(chunks=[b"x"])) for _ in range(2)]
        async with opened(ConcurrencyLimit, {"limit": 2}, ports=given) as new:
            assert (await new()).status == 503
            heads[0].body.close()
            assert (await new()).status == 200
            heads[1].body.close()
            assert gauges(new) == (0, 0, 2)
    assert gauges(new) == (0, 0, 0), "the last one takes its metrics with it"


async def test_a_limit_that_found_itself_is_found_again_after_a_change():
    given = ports()
    async with opened(ConcurrencyLimit, {"adaptive": {}}, ports=given) as old:
        old.plugin._route.gradient.limit = 77.0
        async with opened(ConcurrencyLimit, {"adaptive": {"window": "2s"}}, ports=given) as new:
            assert gauges(new)[2] == 77
        async with opened(ConcurrencyLimit, {"limit": 5}, ports=given) as new:
            assert gauges(new)[2] == 5


# -- adaptive ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "counts"),
    [
        pytest.param(answering(200), True, id="an answer"),
        pytest.param(answering(404), True, id="one that says no"),
        pytest.param(answering(503), False, id="a failure, which may be quick"),
        pytest.param(answering(error=ConnectFailed()), False, id="no connection"),
        pytest.param(answering(error=FirstByteTimeout()), True, id="no answer in time"),
    ],
)
async def test_what_says_something_of_latency(target, counts):
    async with opened(ConcurrencyLimit, {"adaptive": {"samples": 1, "window": "10ms"}}) as live:

        async def proceed(asked):
            live.ports.clock.advance(0.25)
            return await target(asked)

        await live(request(), proceed)
        (view,) = live.plugin.admin()
        (shown,) = await view.answer({})
        assert shown == {
            "of": "*",
            "in_flight": 0,
            "queued": 0,
            "limit": 20,
            "baseline": 0.25 if counts else None,
            "sample": 0.25 if counts else 0,
            "probing": False,
        }
