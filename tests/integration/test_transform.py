"""transform over real connections: both ways at once, with lengths that are true."""

from __future__ import annotations

from gateway.testing import origin, running

CONFIG = """
upstreams: {app: {targets: ["${TARGET}"]}}
routes:
  - name: app
    match: {path: /}
    plugins:
      - plugin: transform
        with:
          request: {remove: [/debug], set: {/meta/route: "{route}"}}
          response: {remove: [/users/*/password]}
    upstream: app
"""
JSON = {"Content-Type": "application/json"}


async def test_over_a_real_connection():
    body = b'{"users": [{"name": "ada", "password": "x"}], "n": 1.50}'
    async with origin(200, JSON, body=body) as service, running(CONFIG, TARGET=service.url) as gateway:
        answer = await gateway.fetch("POST", "/", headers=JSON, body=b'{"a": 1, "debug": true}')
        assert answer.body == b'{"users":[{"name":"ada"}],"n":1.50}'
        assert answer.headers["Content-Length"] == str(len(answer.body))
        assert service.bodies == [b'{"a":1,"meta":{"route":"app"}}']
