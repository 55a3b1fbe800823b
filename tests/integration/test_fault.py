"""fault over real connections: only those that a condition names, and no target sees them."""

from __future__ import annotations

import json

from gateway.testing import origin, running

CONFIG = """
upstreams: {app: {targets: ["${TARGET}"]}}
routes:
  - name: app
    match: {path: /}
    plugins:
      - {plugin: fault, with: {delay: {duration: 5ms}, abort: {status: 504}}, when: {headers: {X-Game-Day: "yes"}}}
    upstream: app
"""


async def test_over_a_real_connection():
    async with origin(200, body="hi") as service, running(CONFIG, TARGET=service.url) as gateway:
        assert (await gateway.fetch("GET", "/")).status == 200
        answer = await gateway.fetch("GET", "/", headers={"X-Game-Day": "yes"})
        assert (answer.status, json.loads(answer.body)["code"]) == (504, "fault_injected")
        assert len(service.requests) == 1
