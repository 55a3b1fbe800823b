"""rate_limit over real connections, as operators write it."""

import json

import pytest

from gateway.testing import origin, running

CONFIG = """
stores: {shared: "${STORE}"}
upstreams: {orders: {targets: ["${TARGET}"]}}
listeners: [{bind: 127.0.0.1:0}]
routes:
  - name: orders
    match: {path: /}
    upstream: orders
    plugins:
      - plugin: rate_limit
        with:
          key: principal                     # client_ip | principal | tenant | header:X | template
          limits: [{rate: 100, period: 60s, burst: 200, algorithm: gcra}]
          on_store_error: local
        mode: shadow
      - plugin: rate_limit
        id: tight
        with:
          limits: [{rate: 2, period: 1h, name: hourly}]
"""


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_over_a_real_connection(kind, request):
    store = "memory://" if kind == "memory" else request.getfixturevalue("redis_server").url
    sent = {"Server": "origin", "X-Kept": "yes"}
    async with (
        origin(200, sent, body="hi") as service,
        running(CONFIG, TARGET=service.url, STORE=store) as gateway,
    ):
        first, second, third = [await gateway.fetch("GET", "/") for _ in range(3)]
        assert [each.status for each in (first, second, third)] == [200, 200, 429]
        assert (first.body, first.headers["X-Kept"]) == (b"hi", "yes")
        assert first.headers.getall("RateLimit-Policy") == ['"hourly";q=2;w=3600'], "shadow is not announced"
        assert first.headers["RateLimit"] == '"hourly";r=1;t=1800'
        assert second.headers["RateLimit"] in ('"hourly";r=0;t=3600', '"hourly";r=0;t=3599')
        assert third.headers["Content-Type"] == "application/problem+json"
        assert 1790 <= int(third.headers["Retry-After"]) <= 1800
        said = json.loads(third.body)
        assert said["violated-policies"] == ["hourly"]
        assert said["type"].endswith("#quota-exceeded")
        assert len(service.requests) == 2
