"""What stands behind a plugin that keeps work: reached without a client, as configured at the call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.errors import InternalError
from gateway.http.delivery import Delivery, note_delivery
from gateway.plugin import Context
from gateway.testing import origin, read, request, running

CONFIG = """
stores: {{durable: "sqlite://{folder}/queue.db"}}
upstreams: {{service: {{targets: ["${{TARGET}}"]}}}}
routes:
  - name: hooks
    match: {{path: /in/}}
    rewrite: {{strip_prefix: /in}}
    upstream: service
    plugins:
      - plugin: headers
        with: {{request: {{set: {{X-Above: "yes"}}}}}}
      - plugin: inbox
      - plugin: headers
        id: below
        with: {{request: {{set: {{X-Below: "{below}"}}}}}}
"""


def config(folder: Path, below: str = "one") -> str:
    return CONFIG.format(folder=folder, below=below)


def context(gateway: Any, route: str = "hooks", id: str = "inbox") -> Context:  # noqa: A002
    return Context(gateway.services.ports, route=route, plugin="inbox", id=id)


async def test_the_plugins_below_and_the_routes_own_way(tmp_path: Path) -> None:
    async with origin(201, body="done") as service, running(config(tmp_path), TARGET=service.url) as gateway:
        asked = request("POST", "/in/x?y=z", body="data", route="-")
        note_delivery(asked, Delivery("item", 2))
        response = await context(gateway).behind(asked)
        assert (response.status, await read(response)) == (201, b"done")
        (got,) = service.requests
        assert (got.path_qs, service.bodies) == ("/x?y=z", [b"data"])
        assert (got.headers.get("X-Above"), got.headers.get("X-Below")) == (None, "one")
        (exchange,) = await gateway.ended(1)
        assert (exchange.request.route.name, exchange.status) == ("hooks", 201)
        assert gateway.runtime.in_flight == 0
        counted = [row for row in gateway.services.metrics.snapshot() if row["name"] == "requests_total"]
        assert [["delivery:hooks", "201"], 1] in counted[0]["samples"]


async def test_it_leads_through_what_is_configured_at_the_call(tmp_path: Path) -> None:
    async with origin(200) as service, running(config(tmp_path), TARGET=service.url) as gateway:
        held = context(gateway)
        await gateway.reload(config(tmp_path, below="two"), TARGET=service.url)
        await read(await held.behind(request("POST", "/in/x")))
        assert service.requests[0].headers["X-Below"] == "two"


@pytest.mark.parametrize(
    ("route", "id"), [pytest.param("gone", "inbox", id="the route"), pytest.param("hooks", "gone", id="the plugin")]
)
async def test_what_is_gone_is_said(tmp_path: Path, route: str, id: str) -> None:  # noqa: A002
    async with origin(200) as service, running(config(tmp_path), TARGET=service.url) as gateway:
        missing = context(gateway, route, id)
        with pytest.raises(LookupError):
            await missing.behind(request("POST", "/in/x"))
        assert missing.destination() is None


async def test_a_body_that_streams_has_no_business_here(tmp_path: Path) -> None:
    async with origin(200) as service, running(config(tmp_path), TARGET=service.url) as gateway:
        with pytest.raises(InternalError):
            await context(gateway).behind(request("POST", "/in/x", chunks=[b"a"]))


async def test_only_the_instance_in_force_has_a_destination(tmp_path: Path) -> None:
    async with origin(200) as service, running(config(tmp_path), TARGET=service.url) as gateway:
        (instance,) = [each for each in gateway.runtime.instances.values() if each.name == "inbox"]
        mine = instance.plugin.context
        destination = mine.destination()
        assert destination is not None
        assert (destination.upstream, destination.hindrance()) == ("service", "")
        assert context(gateway).destination() is None
        await gateway.reload(config(tmp_path, below="two"), TARGET=service.url)
        assert mine.destination() is not None, "it was taken over as it is"
        changed = config(tmp_path).replace("- plugin: inbox", "- plugin: inbox\n        with: {deadline: 5s}")
        await gateway.reload(changed, TARGET=service.url)
        assert mine.destination() is None
        gateway.services.ports.draining = True
        (instance,) = [each for each in gateway.runtime.instances.values() if each.name == "inbox"]
        assert instance.plugin.context.destination() is None


async def test_another_file_makes_another_instance(tmp_path: Path) -> None:
    """A plugin holds on to the queue it was opened with."""
    async with origin(200) as service, running(config(tmp_path), TARGET=service.url) as gateway:
        before = {each.name: each.plugin for each in gateway.runtime.instances.values()}
        (tmp_path / "b").mkdir()
        await gateway.reload(config(tmp_path / "b"), TARGET=service.url)
        after = {each.name: each.plugin for each in gateway.runtime.instances.values()}
        assert after["inbox"] is not before["inbox"]
        assert after["headers"] is before["headers"]


@pytest.mark.parametrize(
    ("ill", "ejected", "why"),
    [
        pytest.param(False, False, "", id="a target that is well"),
        pytest.param(True, False, "no_target", id="none that the checks find well"),
        pytest.param(False, True, "no_target", id="none that is not ejected"),
    ],
)
async def test_why_nothing_should_be_sent(tmp_path: Path, ill: bool, ejected: bool, why: str) -> None:
    async with origin(200) as service, running(config(tmp_path), TARGET=service.url) as gateway:
        (target,) = gateway.runtime.upstreams["service"].targets
        target.probed, target.ejected = not ill, ejected
        (instance,) = [each for each in gateway.runtime.instances.values() if each.name == "inbox"]
        assert instance.plugin.context.destination().hindrance() == why


async def test_an_open_circuit_is_a_hindrance(tmp_path: Path) -> None:
    breaker = 'targets: ["${TARGET}"], attempt: [{plugin: circuit_breaker, with: {consecutive: 1, open: {base: 30s}}}]'
    text = config(tmp_path).replace('targets: ["${TARGET}"]', breaker)
    async with origin(503) as service, running(text, TARGET=service.url) as gateway:
        (instance,) = [each for each in gateway.runtime.instances.values() if each.name == "inbox"]
        assert instance.plugin.context.destination().hindrance() == ""
        await read(await context(gateway).behind(request("POST", "/in/x")))
        await gateway.ended(1)
        assert instance.plugin.context.destination().hindrance() == "circuit_open"
