"""deprecation over real connections: announced on one route, ended on another, and the admin API says who calls."""

from __future__ import annotations

import json

from gateway.testing import origin, running

CONFIG = """
upstreams: {app: {targets: ["${TARGET}"]}}
routes:
  - name: v1
    match: {path: /v1/}
    plugins:
      - {plugin: deprecation, with: {since: 2020-01-01, sunset: 2020-06-01}}
    upstream: app
  - name: v2
    match: {path: /v2/}
    plugins:
      - {plugin: deprecation, with: {since: 2020-01-01, sunset: 2199-01-01, links: {successor-version: /v3/}}}
    upstream: app
"""


async def test_over_a_real_connection():
    async with origin(200, body="hi") as service, running(CONFIG, TARGET=service.url) as gateway:
        answer = await gateway.fetch("GET", "/v2/a")
        assert (answer.status, answer.body) == (200, b"hi")
        assert answer.headers["Deprecation"] == "@1577836800"
        assert answer.headers["Sunset"] == "Tue, 01 Jan 2199 00:00:00 GMT"
        assert answer.headers["Link"] == '</v3/>; rel="successor-version"'

        answer = await gateway.fetch("GET", "/v1/a")
        assert (answer.status, json.loads(answer.body)["code"]) == (410, "api_gone")
