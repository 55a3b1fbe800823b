"""transform over real connections: both ways at once, with lengths that are true."""

from __future__ import annotations

import gzip

from gateway.testing import origin, running

CONFIG = """
upstreams: {app: {targets: ["${TARGET}"]}}
routes:
  - name: app
    match: {path: /}
    plugins:
      - {plugin: compression, with: {min_size: 10B}}
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


async def test_compression_outside_it_still_gives_what_the_client_asked_for():
    body = b'{"users":[{"name":"%s","password":"x"}]}' % (b"ada" * 100)
    async with origin(200, JSON, body=body) as service, running(CONFIG, TARGET=service.url) as gateway:
        answer = await gateway.fetch("GET", "/", headers={"Accept-Encoding": "gzip"})
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(answer.body) == body.replace(b',"password":"x"', b"")
        assert service.requests[0].headers["Accept-Encoding"] == "identity"
