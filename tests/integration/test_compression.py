"""compression over real connections: read by a real client, streamed, and undone for a target."""

from __future__ import annotations

import gzip
import json

import pytest

from gateway.testing import origin, running

CONFIG = """
upstreams: {app: {targets: ["${TARGET}"]}}
routes:
  - name: app
    match: {path: /}
    plugins: [{plugin: compression, with: {decompress: {}}}]
    upstream: app
"""
BODY = json.dumps(list(range(50_000))).encode()
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("chunks", [None, [BODY[:1000], BODY[1000:]]], ids=["with a length", "in chunks"])
async def test_over_a_real_connection(chunks):
    async with origin(200, JSON, body=BODY, chunks=chunks) as service, running(CONFIG, TARGET=service.url) as gateway:
        answer = await gateway.fetch("GET", "/", headers={"Accept-Encoding": "gzip"})
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(answer.body) == BODY

        plain = await gateway.fetch("GET", "/", headers={"Accept-Encoding": "identity"})
        assert (plain.body, "Content-Encoding" in plain.headers) == (BODY, False)

        if chunks is None:  # the test's own service has no answer to HEAD in chunks
            head = await gateway.fetch("HEAD", "/", headers={"Accept-Encoding": "gzip"})
            assert (head.status, head.headers["Content-Encoding"], head.body) == (200, "gzip", b"")

        coded = {**JSON, "Content-Encoding": "gzip"}
        assert (await gateway.fetch("POST", "/", headers=coded, body=gzip.compress(BODY))).status == 200
        assert service.bodies[-1] == BODY
        bomb = gzip.compress(b"\0" * 50_000_000)
        assert (await gateway.fetch("POST", "/", headers=coded, body=bomb)).status == 413
