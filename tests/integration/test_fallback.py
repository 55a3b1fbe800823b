"""fallback over real connections: an open breaker, a spent budget, a deadline, and a cache inside that goes first."""

from __future__ import annotations

import asyncio

from gateway.testing import origin, running

BREAKER = """
upstreams:
  shop:
    targets: ['${SHOP}']
    retry: off
    health: {passive: off}
    attempt: [{plugin: circuit_breaker, with: {failures: 1, open: {base: 30s}}}]
  spare: {targets: ['${SPARE}']}
routes:
  - name: spare
    match: {path: /api/}
    rewrite: {strip_prefix: /api}
    upstream: shop
    plugins: [{plugin: fallback, with: {upstream: spare}}]
  - name: fixed
    match: {path: /fixed}
    upstream: shop
    plugins: [{plugin: fallback, with: {answer: {status: 200, body: sorry}}}]
"""


async def test_an_open_breaker_leads_elsewhere_with_the_route_s_rewriting():
    async with (
        origin(500) as shop,
        origin(200, body="spare") as spare,
        running(BREAKER, SHOP=shop.url, SPARE=spare.url) as gateway,
    ):
        assert (await gateway.fetch("GET", "/api/a")).status == 500
        answer = await gateway.fetch("POST", "/api/a?b=1", body="order")
        assert (answer.status, answer.body, answer.headers["X-Fallback"]) == (200, b"spare", "upstream")
        assert (spare.requests[0].path_qs, spare.bodies[0]) == ("/a?b=1", b"order")
        whole = await gateway.fetch("GET", "/fixed")
        head = await gateway.fetch("HEAD", "/fixed")
        assert (whole.status, whole.body) == (200, b"sorry")
        assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", "5")
        assert len(shop.requests) == 1
        ended = await gateway.ended(4)
        assert [each.error.code if each.error else None for each in ended] == [
            None,
            "circuit_open",
            "circuit_open",
            "circuit_open",
        ]


BUDGET = """
upstreams:
  shop:
    targets: ['${SHOP}']
    retry: {attempts: 2, on: [503], budget: 0%, backoff: {base: 1ms, max: 1ms}}
    health: {passive: off}
routes:
  - name: shop
    match: {path: /}
    upstream: shop
    plugins: [{plugin: fallback, with: {answer: {status: 200, body: sorry}, on: [budget]}}]
"""


async def test_a_spent_budget():
    async with origin(503) as shop, running(BUDGET, SHOP=shop.url) as gateway:
        statuses = [(await gateway.fetch("GET", "/")).status for _ in range(14)]
        # A small reserve of retries is there whatever the budget.
        assert statuses[0] == 503
        assert statuses[-1] == 200


DEADLINE = """
upstreams:
  shop:
    targets: ['${SHOP}']
    retry: off
    timeout: {first_byte: 200ms}
    health: {passive: off}
    attempt: [{plugin: circuit_breaker, with: {failures: 2, open: {base: 30s}}}]
routes:
  - name: shop
    match: {path: /}
    upstream: shop
    plugins: [{plugin: fallback, with: {answer: {status: 200, body: sorry}, on: [deadline]}}]
"""


async def test_a_deadline_that_was_answered_for_is_one_failure_to_the_breaker():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        url = "http://{}:{}".format(*server.sockets[0].getsockname())
        async with running(DEADLINE, SHOP=url) as gateway:
            statuses = [(await gateway.fetch("GET", "/")).status for _ in range(3)]
            assert statuses == [200, 200, 503], "two deadlines, then the breaker, which `on` does not name"


STALE = """
upstreams:
  shop: {targets: ['${SHOP}'], retry: off, health: {passive: off}}
routes:
  - name: shop
    match: {path: /}
    upstream: shop
    plugins:
      - {plugin: fallback, with: {answer: {status: 503, body: sorry}, statuses: [500]}}
      - {plugin: cache, with: {stale_if_error: 1h}}
"""


async def test_what_a_cache_inside_still_has_goes_first():
    fresh = {"Cache-Control": "max-age=1", "Age": "1"}
    async with origin(200, fresh, "old") as shop, running(STALE, SHOP=shop.url) as gateway:
        assert (await gateway.fetch("GET", "/known")).body == b"old"
        shop.status = 500
        known = await gateway.fetch("GET", "/known")
        assert (known.status, known.body, "X-Fallback" in known.headers) == (200, b"old", False)
        unknown = await gateway.fetch("GET", "/unknown")
        assert (unknown.status, unknown.body, unknown.headers["X-Fallback"]) == (503, b"sorry", "answer")
