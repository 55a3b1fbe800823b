"""A configuration in force: every request is answered, counted once, and under the route that took it."""

import json
import sys
import types

import pytest

from gateway.config import load_text
from gateway.errors import BadRequest
from gateway.http import Exchange, Response
from gateway.plugin import Endpoint, Plugin, Settings
from gateway.runtime import Services, build
from gateway.testing import request

TEXT = """
upstreams: {service: {targets: ["http://127.0.0.1:1"]}}
routes:
  - {name: all, match: {path: /in/, methods: [GET]}, upstream: service}
  - {name: item, match: {path: "/items/{id}"}, plugins: [{plugin: respond, with: {body: found}}]}
"""


@pytest.fixture
async def runtime():
    services = Services()
    made = await build(load_text(TEXT, {}).config, services)
    made.commit()
    yield made
    await made.close()
    await services.close()


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "route"),
    [
        pytest.param("GET", "/items/7", 200, None, "item", id="a route that answers"),
        pytest.param("GET", "/a/../items/7", 200, None, "item", id="by another spelling"),
        pytest.param("GET", "/out", 404, "route_not_found", "-", id="no route"),
        pytest.param("POST", "/in/x", 405, "method_not_allowed", "-", id="another method"),
        pytest.param("GET", "/in/x", 502, "connect_failed", "all", id="nobody listens at the target"),
        pytest.param("OPTIONS", "/*", 200, None, "-", id="OPTIONS * is about the gateway itself"),
        pytest.param("GET", "/in/%zz", 400, "malformed_path", "-", id="no path"),
    ],
)
async def test_every_request_is_answered_and_counted_once(runtime, method, path, status, code, route):
    asked = request(method, path)
    response = await runtime.handle(asked)
    assert response.status == status
    assert (response.error.code if response.error else None) == code
    assert (asked.route.name, runtime.in_flight) == (route, 1)
    runtime.record(Exchange(asked, response, status=status, duration=0))
    assert runtime.in_flight == 0
    counted = {family["name"]: family for family in runtime.services.metrics.snapshot()}["requests_total"]["samples"]
    assert [sample for sample in counted if sample[1]] == [[[route, str(status)], 1]]


async def test_parameters_of_the_path_are_for_the_chain(runtime):
    asked = request("GET", "/items/7")
    await runtime.handle(asked)
    assert asked.path_params == {"id": "7"}


async def test_a_405_says_what_is_allowed(runtime):
    response = await runtime.handle(request("POST", "/in/x"))
    assert "GET" in response.headers["Allow"]


async def test_what_is_no_request_is_refused_and_counted_like_one(runtime):
    asked = request()
    response = runtime.refuse(BadRequest("no."), asked)
    assert json.loads(response.body.whole)["detail"] == "no."
    assert (asked.route.name, runtime.unrouted.in_flight) == ("-", 1)


async def test_what_is_refused_after_it_took_a_route_stays_there(runtime):
    asked = request("GET", "/items/7")
    await runtime.handle(asked)
    runtime.refuse(BadRequest(), asked)
    assert (asked.route.name, runtime.in_flight) == ("item", 1)


async def test_the_end_of_an_exchange_is_told_once(runtime):
    told = []
    runtime.services.log_exchange = told.append
    asked = request("GET", "/items/7")
    response = await runtime.handle(asked)
    ended = Exchange(asked, response, status=200, duration=0)
    runtime.record(ended)
    assert told == [ended]


async def test_ports_lead_to_the_runtime_that_was_committed_last(runtime):
    services = runtime.services
    assert services.ports.handle == runtime.handle
    another = await build(load_text(TEXT.replace("found", "changed"), {}).config, services, old=runtime)
    assert services.ports.handle == runtime.handle, "building changes nothing yet"
    another.commit()
    assert services.ports.handle == another.handle
    with pytest.raises(KeyError):
        services.ports.upstream("nowhere")
    response = await services.ports.dispatch(request("GET", "/items/1"))
    assert response.body.whole == b"changed"
    await another.close(runtime)


@pytest.mark.parametrize(
    ("route", "target", "stays"),
    [("all", "http://127.0.0.1:1", True), ("gone", "http://127.0.0.1:1", False), ("all", "http://127.0.0.1:2", False)],
    ids=["route and target are there", "its route is gone", "its target is gone"],
)
async def test_which_tunnels_may_go_on(runtime, route, target, stays):
    asked = request(route=route)
    asked.target = target
    assert runtime.lets_stay(asked) is stays


async def test_a_page_of_the_operators_own_is_used():
    services = Services()
    made = await build(load_text(TEXT + "errors: {html: '<b>{status}</b>'}\n", {}).config, services)
    response = await made.handle(request("GET", "/out", headers={"Accept": "text/html"}))
    assert response.body.whole == b"<b>404</b>"
    await made.close()
    await services.close()


FOLDED = """
routing: {ignore_case: true}
upstreams: {service: {targets: ["http://127.0.0.1:1"]}}
defaults:
  plugins:
    - {plugin: respond, id: kept, with: {status: 403}, when: {path: /Files/Secret/}}
routes:
  - {name: admin, match: {path: /Admin/}, plugins: [{plugin: respond, with: {body: admin}}]}
  - {name: files, match: {path: /files/}, plugins: [{plugin: respond, with: {body: files}}]}
  - {name: item, match: {path: "/Items/{Id}"}, plugins: [{plugin: respond, with: {body: item}}]}
"""


@pytest.mark.parametrize(
    ("path", "status", "route"),
    [
        pytest.param("/aDMIN/x", 200, "admin", id="a prefix"),
        pytest.param("/FILES/x", 200, "files", id="another"),
        pytest.param("/files/SECRET/x", 403, "files", id="the condition of a plugin"),
        pytest.param("/ITEMS/aB", 200, "item", id="a template"),
    ],
)
async def test_case_makes_no_difference_where_it_is_to_make_none(path, status, route):
    services = Services()
    made = await build(load_text(FOLDED, {}).config, services)
    made.commit()
    asked = request("GET", path)
    assert (await made.handle(asked)).status == status
    assert asked.route.name == route
    assert asked.path == path, "what is forwarded keeps its case"
    await made.close()
    await services.close()


AUDITED = """
audit: {path: %s, key: 0123456789abcdef}
defaults: {plugins: [{plugin: audit, with: {headers: [X-Reason]}}]}
routes:
  - {name: here, match: {path: /in/, methods: [GET]}, plugins: [{plugin: respond}]}
  - {name: jobs, match: {path: /jobs/}, plugins: [{plugin: "own:Paged"}, {plugin: respond}]}
  - {name: silent, match: {path: /silent/}, without: [audit], plugins: [{plugin: "own:Shy"}, {plugin: respond}]}
"""


class Paged(Plugin[Settings]):
    """Has a page of its own."""

    path = "/page"

    async def __call__(self, request, proceed):
        return await proceed(request)

    def endpoints(self):
        async def page(_request):
            return Response(200)

        return [Endpoint(self.path, page)]


class Shy(Paged):
    path = "/shy"


@pytest.mark.parametrize(
    ("method", "path", "status", "route", "recorded"),
    [
        pytest.param("GET", "/out", 404, "-", 1, id="no route"),
        pytest.param("POST", "/in/x", 405, "-", 1, id="another method"),
        pytest.param("GET", "/in/%zz", 400, "-", 1, id="no path"),
        pytest.param("GET", "/in/x", 200, "here", 1, id="a route, once"),
        pytest.param("GET", "/page", 200, "jobs", 1, id="a plugin's own page"),
        pytest.param("GET", "/shy", 200, "silent", 0, id="a page of a route that is not recorded"),
    ],
)
async def test_where_all_is_recorded_so_is_what_no_route_takes(
    tmp_path, monkeypatch, method, path, status, route, recorded
):
    module = types.ModuleType("own")
    module.Paged, module.Shy = Paged, Shy
    monkeypatch.setitem(sys.modules, "own", module)
    services = Services()
    runtime = await build(load_text(AUDITED % tmp_path, {}).config, services)
    runtime.commit()
    events = []
    monkeypatch.setattr(services.audit, "record", events.append)
    asked = request(method, path, headers={"X-Reason": "curious"})
    response = await runtime.handle(asked)
    assert (response.status, asked.route.name, runtime.in_flight) == (status, route, 1)
    asked.finish(Exchange(asked, response, status=status, duration=0))
    assert [(each.facts["status"], each.route, each.details["headers"]) for each in events] == [
        (status, route, {"X-Reason": "curious"})
    ] * recorded
    await runtime.close()
    await services.close()
