"""What a plugin gets from the gateway, and work that outlives the client."""

import asyncio

import pytest

from gateway.errors import Forbidden, InternalError
from gateway.http import Exchange, Response
from gateway.plugin import Context, Mode, Plugin, Settings
from gateway.testing import answering, opened, ports, read, request


def context(given, **more):
    return Context(given, route="r", plugin="p", id="i", **more)


async def test_ports_are_asked_at_the_call():
    """So that a plugin which survives a reload reaches the new upstream."""
    given = ports()
    seen = context(given)
    with pytest.raises(KeyError):
        seen.upstream("orders")
    old, new = answering(200), answering(201)
    given.upstreams["orders"] = old
    assert (await seen.upstream("orders")(request())).status == 200
    given.upstreams["orders"] = new
    assert (await seen.upstream("orders")(request())).status == 201


async def test_services_are_those_of_the_ports():
    given = ports()
    seen = context(given)
    assert seen.clock is given.clock
    assert seen.metrics is given.metrics
    assert seen.client() is given.calls
    assert seen.store() is given.store()
    assert seen.log.name == "gateway.plugins.p"
    assert seen.mode is Mode.ENFORCE
    seen.report("state", lambda: {"open": 1})
    assert given.reports["state"]() == {"open": 1}


async def test_a_refusal_says_whether_it_was_enforced():
    given = ports()
    context(given).refused(Forbidden())
    context(given, mode=Mode.SHADOW).would_refuse(Forbidden())
    assert [(each.plugin, each.code, each.enforced) for each in given.refusals] == [
        ("i", "forbidden", True),
        ("i", "forbidden", False),
    ]


async def test_a_dispatched_request_is_an_exchange_of_its_own():
    given = ports()
    given.routes = answering(202)
    asked = request("POST", principal="ann", tenant="t", params={"id": "1"}, body=b"x")
    asked.upstream = "elsewhere"
    assert (await context(given).dispatch(asked)).status == 202
    inner = given.routes.request
    assert (inner.principal, inner.tenant, inner.path_params, inner.upstream) == (None, None, None, None)
    assert (given.routes.body, asked.principal.id) == (b"x", "ann")


async def test_dispatch_goes_one_level_deep():
    given = ports()
    seen = context(given)
    given.routes = seen.dispatch
    with pytest.raises(InternalError):
        await seen.dispatch(request())


# -- detached ----------------------------------------------------------------------------------------------------------


class Fetches(Plugin[Settings]):
    """Runs the rest of the chain for nobody in particular, as a cache does."""

    async def __call__(self, request, proceed):
        work = self.context.detached(request, proceed, 5.0)
        return await asyncio.shield(self.context.spawn(work, "fetch"))


async def test_detached_work_ends_when_its_body_does_and_not_when_the_client_does():
    ended = []

    async def rest(asked):
        asked.when_done(ended.append)
        return await target(asked)

    target = answering(200, chunks=[b"a", b"b"])
    async with opened(Fetches) as live:
        asked = request()
        response = await live.head(asked, rest)
        inner = target.request
        assert inner.detached
        assert inner is not asked
        asked.finish(Exchange(asked, None, status=499, duration=0))
        assert ended == [], "the client's end is not the fetch's"
        assert await read(response) == b"ab"
        assert [(each.status, each.aborted, each.request) for each in ended] == [(200, False, inner)]


async def test_a_client_that_leaves_does_not_end_detached_work():
    go, arrived = asyncio.Event(), asyncio.Event()

    async def slow(asked):
        arrived.set()
        await go.wait()
        return Response(200, body=b"late")

    async with opened(Fetches) as live:
        client = asyncio.ensure_future(live(request(), slow))
        await arrived.wait()
        client.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client
        assert [(each.status, each.aborted) for each in live.exchanges] == [(499, True)]
        (work,) = live.ports._tasks
        go.set()
        assert (await work).body.whole == b"late"


async def test_detached_work_has_its_own_deadline():
    ended = []

    async def never(asked):
        asked.when_done(ended.append)
        await asyncio.Event().wait()

    given = ports()
    with pytest.raises(TimeoutError):
        await context(given).detached(request(), never, 0.01)
    assert [(each.aborted, each.response) for each in ended] == [(True, None)]


async def test_only_a_held_body_can_be_detached():
    with pytest.raises(InternalError):
        await context(ports()).detached(request("POST", chunks=[b"x"]), answering(), 1.0)


def test_a_plugin_knows_in_which_list_it_stands():
    made = [Context(ports(), route=route, plugin="p", id="p") for route in ("orders", "upstream:orders")]
    assert [each.on_attempt for each in made] == [False, True]
