"""csrf over real connections: a page of another site is refused, ours goes on with its token."""

from __future__ import annotations

from gateway.testing import origin, running

CONFIG = """
upstreams: {app: {targets: ["${TARGET}"]}}
routes:
  - name: app
    match: {path: /}
    plugins:
      - plugin: csrf
        with: {token: {keys: [0123456789abcdef], cookie: csrf}}
    upstream: app
"""


async def test_over_a_real_connection():
    async with origin(200, body="hi") as service, running(CONFIG, TARGET=service.url) as gateway:
        page = await gateway.fetch("GET", "/")
        token = page.headers["Set-Cookie"].partition(";")[0].removeprefix("csrf=")
        ours = {"Origin": gateway.url, "Cookie": f"csrf={token}"}
        assert (await gateway.fetch("POST", "/", headers={**ours, "X-CSRF-Token": token})).status == 200
        assert (await gateway.fetch("POST", "/", headers=ours)).status == 403
        theirs = {**ours, "Origin": "http://evil.test", "X-CSRF-Token": token}
        assert (await gateway.fetch("POST", "/", headers=theirs)).status == 403
        assert len(service.requests) == 2
