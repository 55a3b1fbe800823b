"""tenant over real connections: limits, metrics and the access log are kept apart by it, and the target is told."""

from __future__ import annotations

import json

from gateway.testing import origin as service_of
from gateway.testing import running

CONFIG = """
listeners: [{bind: 127.0.0.1:0}]
upstreams: {app: {targets: ["${TARGET}"]}}
routes:
  - name: app
    upstream: app
    plugins:
      - plugin: tenant
        with:
          sources: [{host: "{tenant}.example.com"}, {header: X-Org}]
          map: {acme-corp: t17, beta: t18}
          header: X-Tenant-Id
      - plugin: rate_limit
        with: {key: tenant, limits: [{rate: 1, period: 1h}]}
"""


async def test_tenants_are_kept_apart():
    async with service_of(200) as service, running(CONFIG, TARGET=service.url) as gateway:

        async def ask(host, **headers):
            return await gateway.fetch("GET", "/", headers={"Host": host, **headers})

        first = await ask("acme-corp.example.com", **{"X-Tenant-Id": "t18"})
        assert first.status == 200
        assert service.requests[0].headers.getall("X-Tenant-Id") == ["t17"]
        assert (await ask("ACME-CORP.example.com:80")).status == 429
        assert (await ask("localhost", **{"X-Org": "beta"})).status == 200
        assert (await ask("acme-corp.example.com", **{"X-Org": "beta"})).status == 403
        assert (await ask("gamma.example.com")).status == 403
        assert (await ask("localhost")).status == 400
        ended = await gateway.ended(6)
        assert [each.request.tenant for each in ended] == ["t17", "t17", "t18", None, None, None]
        counted = {
            tuple(values[2:]): value
            for family in gateway.services.metrics.snapshot()
            if family["name"] == "tenant_requests_total"
            for values, value in family["samples"]
            if value
        }
        assert counted == {("t17", "2xx"): 1, ("t17", "4xx"): 1, ("t18", "2xx"): 1}


async def test_the_access_log_has_the_tenant(gateway, answering, origin, session, until):
    service = await origin(answering())
    process = gateway(
        {
            "access_log": "stdout",
            "upstreams": {"app": {"targets": [service.url]}},
            "routes": [
                {
                    "name": "app",
                    "upstream": "app",
                    "plugins": [{"plugin": "tenant", "with": {"sources": [{"header": "X-Tenant"}]}}],
                }
            ],
        }
    )
    async with session.get(process.url + "/", headers={"X-Tenant": "Acme"}) as answer:
        assert answer.status == 200
    lines = await until(lambda: [line for line in process.out_path.read_text().splitlines() if '"tenant"' in line])
    assert json.loads(lines[0])["tenant"] == "acme"
