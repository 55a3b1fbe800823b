"""cors over real connections: preflights of routes that take no OPTIONS, refusals, what a service says itself."""

from __future__ import annotations

from gateway.testing import origin, running

APP = "https://app.example.com"
CONFIG = """
upstreams: {orders: {targets: ["${TARGET}"]}}
routes:
  - name: everything
    match: {path: /}
    upstream: orders
  - name: orders
    match: {path: /orders/, methods: [GET, POST]}
    plugins:
      - plugin: cors
        with: {origins: [https://app.example.com], expose: [Retry-After]}
      - plugin: size_limit
        with: {other: 10B}
    upstream: orders
"""
PREFLIGHT = {"Origin": APP, "Access-Control-Request-Method": "POST"}


async def test_over_a_real_connection():
    headers = {"Access-Control-Allow-Origin": "*", "Vary": "Accept"}
    async with origin(200, headers, body="hi") as service, running(CONFIG, TARGET=service.url) as gateway:
        answer = await gateway.fetch("OPTIONS", "/orders/1", headers=PREFLIGHT)
        assert (answer.status, answer.body, len(service.requests)) == (204, b"", 0)
        assert answer.headers["Access-Control-Allow-Origin"] == APP
        assert "Content-Length" not in answer.headers  # RFC 9110 §8.6

        answer = await gateway.fetch("GET", "/orders/1", headers={"Origin": APP})
        assert (answer.status, answer.body) == (200, b"hi")
        assert answer.headers.getall("Access-Control-Allow-Origin") == [APP]
        assert ", ".join(answer.headers.getall("Vary")) == "Accept, Origin"

        answer = await gateway.fetch("POST", "/orders/1", headers={"Origin": APP}, body="x" * 11)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (413, APP)

        answer = await gateway.fetch("GET", "/orders/1", headers={"Origin": "https://evil.com"})
        assert (answer.status, "Access-Control-Allow-Origin" in answer.headers) == (200, False)


async def test_a_preflight_goes_to_the_route_it_asks_about():
    async with origin(200) as service, running(CONFIG, TARGET=service.url) as gateway:
        asked = {**PREFLIGHT, "Access-Control-Request-Method": "DELETE"}
        answer = await gateway.fetch("OPTIONS", "/orders/1", headers=asked)
        assert (answer.status, len(service.requests)) == (200, 1), "a route without cors takes that method"
        answer = await gateway.fetch("OPTIONS", "/orders/1", headers={"Origin": APP})
        assert (answer.status, len(service.requests)) == (200, 2), "no preflight"
        answer = await gateway.fetch("OPTIONS", "/orders/1", headers={**PREFLIGHT, "Origin": "https://evil.com"})
        assert (answer.status, len(service.requests)) == (403, 2)
        shadowed = CONFIG.replace("plugin: cors\n", "plugin: cors\n        mode: shadow\n")
        await gateway.reload(shadowed, TARGET=service.url)
        answer = await gateway.fetch("OPTIONS", "/orders/1", headers={**PREFLIGHT, "Origin": "https://evil.com"})
        assert (answer.status, len(service.requests)) == (200, 3)
