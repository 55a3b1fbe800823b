"""The ports that plugins hold: they follow the runtime in force, and what runs through them is accounted for."""

import asyncio
import json

import pytest

from gateway.errors import Forbidden, InternalError, StoreUnavailable
from gateway.http import Response
from gateway.plugin import Context
from gateway.runtime import Services
from gateway.testing import answering, origin, read, request, running

ONE = "upstreams: {service: {targets: ['${TARGET}']}}\nroutes: [{name: all, match: {path: /in/}, upstream: service}]"


@pytest.fixture
async def services():
    made = Services(workers=3, owner=False)
    yield made
    await made.close()


def test_what_a_worker_is(services):
    assert (services.ports.workers, services.ports.owner, services.ports.replicas) == (3, False, 1)
    assert services.ports.clock is services.clock
    assert services.ports.client() is services.ports.client()


async def test_before_a_runtime_is_in_force_there_is_nowhere_to_go(services):
    with pytest.raises(KeyError):
        services.ports.upstream("service")
    with pytest.raises(KeyError):
        services.ports.onward("all", "service")
    with pytest.raises(InternalError):
        await services.ports.dispatch(request())
    with pytest.raises(RuntimeError):
        services.ports.store()


async def test_the_way_of_a_route_rewrites_as_the_route_does():
    config = ONE.replace("upstream: service}", "rewrite: {strip_prefix: /in}, upstream: service}")
    async with origin(200) as service, running(config, TARGET=service.url) as gateway:
        ports = gateway.services.ports
        await ports.upstream("service")(request("GET", "/in/x"))
        await Context(ports, route="all", plugin="p", id="p").onward("service")(request("GET", "/in/x"))
        assert [each.path for each in service.requests] == ["/in/x", "/x"]
        with pytest.raises(KeyError):
            ports.onward("all", "nobody")


# -- dispatch ----------------------------------------------------------------------------------------------------------


async def test_a_dispatched_request_takes_its_own_route_and_is_counted_there():
    async with origin(201, body="hi") as service, running(ONE, TARGET=service.url) as gateway:
        asked = request("POST", "/in/x", principal="ann", body="data")
        response = await gateway.services.ports.dispatch(asked)
        assert (response.status, await read(response)) == (201, b"hi")
        (ended,) = gateway.exchanges
        assert (ended.status, ended.request.route.name, ended.received_bytes) == (201, "all", 4)
        assert ended.request.principal is None
        assert asked.principal.id == "ann"
        assert gateway.runtime.in_flight == 0


async def test_a_dispatched_request_that_no_route_takes_leaves_its_outer_route_alone():
    async with origin() as service, running(ONE, TARGET=service.url) as gateway:
        route = gateway.runtime.routes[0]
        outer = request()
        route.enter(outer)
        response = await gateway.services.ports.dispatch(outer)  # its path, /, has no route
        assert json.loads(response.body.whole)["code"] == "route_not_found"
        assert (route.in_flight, gateway.runtime.unrouted.in_flight) == (1, 0)
        assert [each.request.route.name for each in gateway.exchanges] == ["-"]


async def test_a_dispatched_request_whose_client_leaves_is_ended():
    arrived = asyncio.Event()

    async def silent(reader, writer):
        arrived.set()
        await reader.read()  # until the gateway gives up
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with running(ONE, TARGET=url) as gateway:
        client = asyncio.ensure_future(gateway.services.ports.dispatch(request("GET", "/in/x")))
        await arrived.wait()
        assert gateway.runtime.in_flight == 1
        client.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client
        assert gateway.runtime.in_flight == 0
        assert [(each.status, each.aborted) for each in gateway.exchanges] == [(499, True)]
    server.close()
    await server.wait_closed()


async def test_what_is_between_client_and_gateway_stays_there(services):
    seen = []

    async def handle(asked):
        seen.append(asked)
        return Response(200)

    services.ports.handle = handle
    asked = request("GET", "/", params={"id": "1"}, tenant="t")
    asked.upgrade, asked.inform, asked.target, asked.attempts = "websocket", print, "http://x", 3
    asked.error, asked.upstream, asked.repeatable = Forbidden(), "elsewhere", True
    await services.ports.dispatch(asked)
    (inner,) = seen
    assert (inner.upgrade, inner.inform, inner.target, inner.attempts) == ("", None, "", 0)
    assert (inner.error, inner.upstream, inner.tenant, inner.path_params) == (None, None, None, None)
    assert not inner.repeatable


async def test_a_body_that_streams_is_not_dispatched_as_an_empty_one(services):
    services.ports.handle = answering()
    with pytest.raises(InternalError):
        await services.ports.dispatch(request("POST", chunks=[b"x"]))


# -- tasks, refusals, reports ------------------------------------------------------------------------------------------


async def test_spawned_work_ends_with_the_worker(services):
    task = services.ports.spawn(asyncio.Event().wait(), "work")
    await services.close()
    assert task.cancelled()


@pytest.mark.parametrize(
    ("failure", "words"),
    [(KeyError("x"), "ERROR"), (StoreUnavailable(reason="no store"), "WARNING")],
    ids=["a bug has its traceback", "what may happen has a line"],
)
async def test_spawned_work_that_fails_is_logged(services, caplog, failure, words):
    async def work():
        raise failure

    task = services.ports.spawn(work(), "refresh keys")
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert words in caplog.text and "refresh keys" in caplog.text
    assert ("Traceback" in caplog.text) == (words == "ERROR")


def test_refusals_are_counted_by_mode_and_shadow_is_logged(services, caplog):
    caplog.set_level("INFO", "gateway")
    context = Context(services.ports, route="r", plugin="p", id="i")
    context.refused(Forbidden(reason="secret policy"))
    assert "would_refuse" not in caplog.text
    context.would_refuse(Forbidden(reason="too bold"))
    context.would_refuse(Forbidden(reason="too bold"))
    assert "would_refuse r i: too bold" in caplog.text
    (family,) = [each for each in services.metrics.snapshot() if each["name"] == "plugin_refusals_total"]
    assert family["samples"] == [
        [["r", "i", "forbidden", "enforce"], 1],
        [["r", "i", "forbidden", "shadow"], 2],
    ]


def test_reports_go_with_their_plugin(services):
    old, new = (Context(services.ports, route="r", plugin="p", id="i") for _ in range(2))
    old.report("state", lambda: {"n": 1})
    new.report("state", lambda: {"n": 2})
    services.ports.forget(old)
    assert [each["state"]() for each in services.ports.reports.values()] == [{"n": 2}]
