"""http_signature over real connections: what one side signs the other verifies, and answers are signed."""

from __future__ import annotations

import json

from gateway.testing import origin, running

CONFIG = """
upstreams:
  app: {targets: ["${TARGET}"]}
  partner:
    targets: ["${TARGET}"]
    attempt:
      - plugin: http_signature
        with: {sign: {id: us, algorithm: hmac-sha256, secret: 0123456789abcdef0123456789abcdef,
                      components: ["@method", "@path", "@query", content-digest]}}
routes:
  - name: out
    match: {path: /out/}
    rewrite: {strip_prefix: /out}
    upstream: partner
  - name: in
    match: {path: /in/}
    plugins:
      - any:
          - plugin: http_signature
            with:
              verify:
                keys: [{id: us, algorithm: hmac-sha256, secret: 0123456789abcdef0123456789abcdef}]
                components: ["@method", "@path", "@query"]
          - plugin: http_signature
            id: other
            with:
              verify: {keys: [{id: them, algorithm: hmac-sha256, secret: fedcba9876543210fedcba9876543210}]}
    upstream: app
  - name: answers
    match: {path: /answers}
    plugins:
      - plugin: http_signature
        with: {answers: {id: us, algorithm: hmac-sha256, secret: 0123456789abcdef0123456789abcdef}}
    upstream: app
"""


async def test_over_real_connections():
    async with origin(200, body="hi") as service, running(CONFIG, TARGET=service.url) as gateway:
        kind = {"Content-Type": "application/json"}
        assert (await gateway.fetch("POST", "/out/in/pay?a=b", headers=kind, body=b"{}")).status == 200
        seen = service.requests[0].headers
        names = ("Signature", "Signature-Input", "Content-Digest", "Content-Type")
        signed = {name: seen[name] for name in names}
        assert (await gateway.fetch("POST", "/in/pay?a=b", headers=signed, body=b"[]")).status == 400
        assert (await gateway.fetch("POST", "/in/pay?a=c", headers=signed, body=b"{}")).status == 401
        assert (await gateway.fetch("POST", "/in/pay?a=b", headers=signed, body=b"{}")).status == 200
        again = await gateway.fetch("POST", "/in/pay?a=b", headers=signed, body=b"{}")
        assert (again.status, json.loads(again.body)["code"]) == (401, "signature_invalid")
        assert again.headers["Accept-Signature"].startswith('sig1=("@method" "@path" "@query"')
        answer = await gateway.fetch("GET", "/answers")
        assert answer.body == b"hi"
        assert answer.headers["Signature-Input"].startswith('sidegate=("@status"')
