"""A route made live: what it counts, where it ends, when its plugins are asked."""

import pytest

from gateway.errors import InternalError
from gateway.http import Exchange, Response
from gateway.runtime.route import LiveRoute, condition_of, destination, redirecting
from gateway.services.metrics import Metrics
from gateway.testing import answering, request


def ended(asked, status=200, **more):
    return Exchange(asked, Response(status), status=status, duration=0.2, **more)


def test_an_exchange_is_counted_from_entering_to_leaving():
    metrics = Metrics()
    route = LiveRoute("orders", answering(), metrics.route("orders"))
    first, second = request(), request()
    route.enter(first)
    route.enter(second)
    assert first.route is route
    assert (route.in_flight, metrics.route("orders").in_flight) == (2, 2)
    route.leave(ended(first, received_bytes=3, sent_bytes=5))
    route.leave(ended(second, 503))
    assert (route.in_flight, metrics.route("orders").in_flight) == (0, 0)
    stats = metrics.route("orders").by_status
    assert {status: each.count for status, each in stats.items()} == {200: 1, 503: 1}
    assert (stats[200].received, stats[200].sent, stats[200].seconds) == (3, 5, 0.2)


def test_two_generations_of_a_route_share_counters_and_drain_apart():
    metrics = Metrics()
    old, new = (LiveRoute("orders", answering(), metrics.route("orders")) for _ in range(2))
    asked = request()
    old.enter(asked)
    new.enter(request())
    assert (old.in_flight, new.in_flight, metrics.route("orders").in_flight) == (1, 1, 2)
    asked.route.leave(ended(asked))
    assert (old.in_flight, new.in_flight, metrics.route("orders").in_flight) == (0, 1, 1)


# -- where it ends -----------------------------------------------------------------------------------------------------


def forwarders(**named):
    asked = []

    def find(name):
        asked.append(name)
        return named[name]

    return find, asked


async def test_the_routes_own_upstream_is_bound_once():
    own = answering(201)
    find, asked = forwarders(own=own)
    handler = destination("own", None, find)
    for _ in range(3):
        assert (await handler(request())).status == 201
    assert asked == ["own"]


async def test_what_a_plugin_set_comes_first():
    find, asked = forwarders(own=answering(201), other=answering(202))
    for handler in (destination("own", None, find), destination(None, lambda _request, _draw: "own", find)):
        given = request()
        given.upstream = "other"
        for _ in range(2):
            assert (await handler(given)).status == 202
        assert (await handler(request())).status == 201
    assert asked.count("other") == 2


async def test_a_split_draws_for_each_request():
    draws = []

    def choose(asked, draw):
        draws.append(draw)
        return asked.headers["To"]

    find, _ = forwarders(a=answering(201), b=answering(202))
    handler = destination(None, choose, find)
    assert [(await handler(request(headers={"To": name}))).status for name in "aba"] == [201, 202, 201]
    assert all(0 <= draw < 1 for draw in draws) and len(set(draws)) == 3


@pytest.mark.parametrize("choose", [None, lambda _request, _draw: "nowhere"], ids=["none at all", "a name without"])
async def test_nowhere_to_go_is_our_mistake_and_not_the_clients(choose):
    find, _ = forwarders()
    with pytest.raises(InternalError):
        await destination(None, choose, find)(request())


async def test_an_upstream_that_is_not_there_is_asked_for_again():
    """A plugin may set a name that the next configuration brings."""
    named = {}
    handler = destination(None, None, lambda name: named[name])
    given = request()
    given.upstream = "later"
    with pytest.raises(InternalError):
        await handler(given)
    named["later"] = answering(203)
    assert (await handler(given)).status == 203


def locator(where):
    return lambda _scheme, _host, _path, _query, _params: where


@pytest.mark.parametrize(
    ("where", "onward", "status"),
    [
        pytest.param("/there", True, 308, id="elsewhere"),
        pytest.param("/there", False, 308, id="elsewhere, with no upstream"),
        pytest.param(None, True, 200, id="already there"),
    ],
)
async def test_redirecting(where, onward, status):
    response = await redirecting(locator(where), 308, answering(200) if onward else None)(request())
    assert (response.status, response.headers.get("Location")) == (status, where)


async def test_a_redirect_in_a_circle_ends():
    with pytest.raises(InternalError):
        await redirecting(locator(None), 308, None)(request())


# -- when --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "asked", "holds"),
    [
        pytest.param({"methods": ["POST"]}, {"method": "POST"}, True, id="method"),
        pytest.param({"methods": ["POST"]}, {"method": "post"}, False, id="a method in another case is another"),
        pytest.param({"path": "/a"}, {"path": "/a"}, True, id="a path"),
        pytest.param({"path": "/a"}, {"path": "/a/b"}, False, id="and nothing below it"),
        pytest.param({"path": "/a/"}, {"path": "/a/b"}, True, id="below a prefix"),
        pytest.param({"path": "/a/"}, {"path": "/a"}, True, id="the prefix itself"),
        pytest.param({"path": "/a/"}, {"path": "/ab"}, False, id="a prefix ends on a segment boundary"),
        pytest.param({"path": "/a:b"}, {"path": "/a%3Ab"}, True, id="another spelling is no way around"),
        pytest.param({"headers": {"X": "1"}}, {"headers": {"x": "1"}}, True, id="a field"),
        pytest.param({"headers": {"X": "1"}}, {"headers": {"X": "2"}}, False, id="another value"),
        pytest.param({"headers": {"X": "1"}}, {"headers": [("X", "2"), ("X", "1")]}, True, id="among several"),
        pytest.param({"headers": {"X": "*"}}, {"headers": {"X": ""}}, True, id="any value"),
        pytest.param({"headers": {"X": "*"}}, {}, False, id="no such field"),
        pytest.param({"methods": ["GET"], "path": "/a", "headers": {"X": "*"}}, {"path": "/a"}, False, id="all of it"),
    ],
)
def test_when(when, asked, holds):
    condition = condition_of(frozenset(when.get("methods", ())), when.get("path"), when.get("headers", {}))
    assert condition(request(**asked)) is holds


def test_when_that_asks_nothing_costs_nothing():
    assert condition_of(frozenset(), None, {}) is None
