"""forward_auth over real connections: the service is asked, obeyed, and its absence closes the door."""

from __future__ import annotations

import json

from gateway.testing import origin, running

CONFIG = """
upstreams:
  app: {targets: ["${TARGET}"]}
  auth: {targets: ["${AUTH}"]}
routes:
  - name: app
    match: {path: /}
    plugins:
      - plugin: forward_auth
        with: {upstream: auth, path: /verify, upstream_headers: [X-User], principal: {id: X-User}}
    upstream: app
"""


async def test_over_a_real_connection():
    async with origin(200, body="hi") as service, origin(200, {"X-User": "ada"}) as auth:
        async with running(CONFIG, TARGET=service.url, AUTH=auth.url) as gateway:
            answer = await gateway.fetch("POST", "/a?b=c", headers={"Authorization": "x", "X-User": "root"}, body="d")
            assert (answer.status, answer.body) == (200, b"hi")
            assert service.requests[0].headers.getall("X-User") == ["ada"]
            told = auth.requests[0]
            assert (told.method, told.path, told.headers["X-Forwarded-Uri"]) == ("GET", "/verify", "/a?b=c")
            assert told.headers["X-Forwarded-For"] == "127.0.0.1"
        async with running(CONFIG, TARGET=service.url, AUTH="http://127.0.0.1:1") as gateway:
            answer = await gateway.fetch("GET", "/")
            assert (answer.status, json.loads(answer.body)["code"]) == (503, "forward_auth_unavailable")
            assert len(service.requests) == 1
