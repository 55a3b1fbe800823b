"""What people see of a real process' circuit breaker, and what gateways see of each other's through a real Redis."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from gateway.testing import origin as service
from gateway.testing import running

SECRET = "a-secret-of-the-webhook"


async def test_state_is_in_metrics_readyz_admin_log_and_webhook(
    gateway: Any, behind: Any, origin: Any, answering: Any, session: Any, until: Any
) -> None:
    target = await origin(answering(status=500))
    async with service(204) as hooks:
        breaker = {
            "failures": 2,
            "open": {"base": "30s"},
            "webhook": {"url": f"{hooks.url}/hook", "secret": SECRET},
        }
        process = gateway(
            behind(target.url, retry="off", attempt=[{"plugin": "circuit_breaker", "with": breaker}])
            | {"access_log": "off"}
        )
        for _ in range(3):
            async with session.get(process.url) as answer:
                await answer.read()
        assert answer.status == 503

        labels = {"upstream": "service", "plugin": "circuit_breaker", "target": target.url}
        assert await process.metric("circuit_breaker_state", **labels) == 2
        assert await process.metric("circuit_breaker_transitions_total", **labels, to="open") == 1
        plugins = (await process.tell("/readyz"))["plugins"]
        assert '"state": "open"' in json.dumps(plugins)
        (shown,) = await views(process, "/plugins/upstream:service/circuit_breaker/breakers")
        assert (shown["target"], shown["state"]) == (target.url, "open")
        assert "circuit of" in process.log()
        await until(lambda: hooks.requests)
        event = json.loads(hooks.bodies[0])
        assert event["type"] == "circuit_breaker.state_changed"
        assert (event["data"]["upstream"], event["data"]["target"], event["data"]["state"]) == (
            "service",
            target.url,
            "open",
        )
        assert hooks.requests[0].headers["webhook-signature"].startswith("v1,")
        for path in ("/config", "/readyz", "/metrics"):
            _, body, _ = await process.ask(path)
            assert SECRET.encode() not in body
            assert b"/hook" not in body

        await process.ask("/plugins/upstream:service/circuit_breaker/reset", "POST")
        assert await process.metric("circuit_breaker_state", **labels) == 0
        await until(lambda: len(hooks.requests) == 2)
        assert json.loads(hooks.bodies[1])["data"]["state"] == "closed"


async def views(process: Any, path: str) -> list[dict[str, Any]]:
    """The first worker's answer to a view."""
    found: Any = await process.tell(path)
    while not (isinstance(found, list) and found and "target" in found[0]):
        found = next(iter(found.values())) if isinstance(found, dict) else found[0]
    return found  # type: ignore[no-any-return]


async def test_an_endpoint_that_hangs_delays_no_request(
    gateway: Any, behind: Any, origin: Any, answering: Any, session: Any
) -> None:
    target = await origin(answering(status=500))
    hung = asyncio.Event()

    async def hang(_request: web.BaseRequest) -> web.Response:
        await hung.wait()
        return web.Response()

    runner = web.ServerRunner(web.Server(hang))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = "http://{}:{}".format(*runner.addresses[0][:2])
        breaker = {"failures": 1, "open": {"base": "30s"}, "webhook": {"url": url, "timeout": "60s"}}
        process = gateway(behind(target.url, retry="off", attempt=[{"plugin": "circuit_breaker", "with": breaker}]))
        statuses = []
        async with asyncio.timeout(20):
            for _ in range(5):
                async with session.get(process.url) as answer:
                    statuses.append(answer.status)
        assert statuses == [500, 503, 503, 503, 503]
        hung.set()
    finally:
        await runner.cleanup()


SHARED = """
stores: {shared: "${STORE}"}
upstreams:
  orders:
    targets: ["${TARGET}"]
    retry: off
    health: {passive: off}
    attempt: [{plugin: circuit_breaker, with: {failures: 2, open: {base: 300ms, jitter: 0%}, shared: true}}]
routes: [{name: orders, match: {path: /}, upstream: orders}]
"""


async def test_two_gateways_share_through_redis_and_go_on_without_it(start_redis: Any, until: Any) -> None:
    redis = start_redis()
    async with (
        service(500) as target,
        running(SHARED, TARGET=target.url, STORE=redis.url) as one,
        running(SHARED, TARGET=target.url, STORE=redis.url) as two,
    ):

        def open_at(gateway: Any) -> bool:
            return not gateway.runtime.upstreams["orders"].targets[0].gate.admits()

        # Once a message of one has reached the other, both listen.
        for _ in range(2):
            await one.fetch("GET", "/")
        await until(lambda: open_at(two))
        assert (await two.fetch("GET", "/")).status == 503
        assert len(target.requests) == 2, "two never had a failure of its own"

        target.status = 200
        async with asyncio.timeout(20):
            while (await two.fetch("GET", "/")).status != 200:
                await asyncio.sleep(0.02)
            while (await one.fetch("GET", "/")).status != 200:
                await asyncio.sleep(0.02)

        redis.kill()
        target.status = 500
        statuses = [(await one.fetch("GET", "/")).status for _ in range(3)]
        assert statuses == [500, 500, 503], "without Redis its own breaker works"
        assert (await two.fetch("GET", "/")).status == 500, "and nobody tells the other"
        target.status = 200
        async with asyncio.timeout(20):
            while (await one.fetch("GET", "/")).status != 200:
                await asyncio.sleep(0.02)


ROUTE = """
upstreams:
  orders:
    targets: ["${TARGET}"]
    retry: {attempts: 2, on: [500], backoff: {base: 1ms, max: 1ms}}
    health: {passive: off}
routes:
  - name: fragile
    match: {path: /fragile}
    upstream: orders
    plugins: [{plugin: circuit_breaker, with: {failures: 1, open: {base: 30s}}}]
  - name: other
    match: {path: /}
    upstream: orders
"""


async def test_a_route_s_breaker_judges_what_came_after_all_attempts_and_no_other_route() -> None:
    async with service(500) as target, running(ROUTE, TARGET=target.url) as gateway:
        assert (await gateway.fetch("GET", "/fragile")).status == 500
        assert len(target.requests) == 2
        refused = await gateway.fetch("GET", "/fragile")
        assert (refused.status, b"circuit_open" in refused.body, len(target.requests)) == (503, True, 2)
        assert (await gateway.fetch("GET", "/")).status == 500, "another route has nothing to do with it"
        families = {each["name"]: each["samples"] for each in gateway.services.metrics.snapshot()}
        assert families["circuit_breaker_state"] == [[["route:fragile", "circuit_breaker", "*"], 2.0]]
