"""request_inspection over real connections: in shadow by itself, refusing when told to."""

from __future__ import annotations

from gateway.testing import origin, running

CONFIG = """
upstreams: {app: {targets: ["${TARGET}"]}}
routes:
  - name: watched
    match: {path: /watched/}
    plugins: [{plugin: request_inspection}]
    upstream: app
  - name: closed
    match: {path: /closed/}
    plugins: [{plugin: request_inspection, mode: enforce}]
    upstream: app
"""


async def test_over_a_real_connection():
    async with origin(200, body="hi") as service, running(CONFIG, TARGET=service.url) as gateway:
        attack = "?id=1%20union%20select%20null,null"
        assert (await gateway.fetch("GET", "/watched/" + attack)).status == 200
        assert (await gateway.fetch("GET", "/closed/" + attack)).status == 403
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert (await gateway.fetch("POST", "/closed/", headers=form, body="name=O%27Brien")).status == 200
        assert service.bodies == [b"", b"name=O%27Brien"]
