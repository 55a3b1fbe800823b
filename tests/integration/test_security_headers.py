"""security_headers over real connections: on answers and refusals, HSTS only where a trusted proxy says https."""

from __future__ import annotations

from gateway.testing import origin, running

CONFIG = """
trusted_proxies: [127.0.0.1]
upstreams: {app: {targets: ["${TARGET}"]}}
routes:
  - name: app
    match: {path: /}
    plugins:
      - plugin: security_headers
        with: {preset: web, csp: off}
      - plugin: size_limit
        with: {other: 1B}
    upstream: app
"""


async def test_over_a_real_connection():
    own = {"X-Frame-Options": "DENY"}
    async with origin(200, own, body="hi") as service, running(CONFIG, TARGET=service.url) as gateway:
        answer = await gateway.fetch("GET", "/")
        assert (answer.status, answer.body) == (200, b"hi")
        assert answer.headers.getall("X-Frame-Options") == ["DENY"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert {"Strict-Transport-Security", "Content-Security-Policy"} & set(answer.headers) == set()

        answer = await gateway.fetch("GET", "/", headers={"X-Forwarded-Proto": "https"})
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"

        answer = await gateway.fetch("POST", "/", body="too long")
        assert (answer.status, answer.headers["X-Frame-Options"]) == (413, "SAMEORIGIN")
