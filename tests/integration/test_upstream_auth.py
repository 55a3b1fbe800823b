"""upstream_auth over real connections: a token from a real endpoint, and each attempt with what goes on the wire."""

from __future__ import annotations

import json

from gateway.testing import origin, running

CONFIG = """
upstreams:
  api:
    targets: ["${TARGET}"]
    attempt:
      - plugin: upstream_auth
        with:
          oauth2: {token_url: "${ID}/token", client: {id: me, secret: s}}
          hmac: {secret: k, signed: "{path}", header: X-Sig}
routes:
  - name: out
    match: {path: /stripe/}
    rewrite: {strip_prefix: /stripe, add_prefix: /v1}
    upstream: api
"""


async def test_over_a_real_connection():
    token = json.dumps({"access_token": "t1", "token_type": "Bearer", "expires_in": 600})
    async with (
        origin(200, body="hi") as service,
        origin(200, {"Content-Type": "application/json"}, body=token) as issuer,
        running(CONFIG, TARGET=service.url, ID=issuer.url) as gateway,
    ):
        for _ in range(2):
            answer = await gateway.fetch("POST", "/stripe/charges?a=b", headers={"Authorization": "callers"}, body="x")
            assert (answer.status, answer.body) == (200, b"hi")
        assert len(issuer.requests) == 1
        seen = service.requests[0]
        assert (seen.path_qs, seen.headers["Authorization"]) == ("/v1/charges?a=b", "Bearer t1")
        # printf %s '/v1/charges?a=b' | openssl dgst -sha256 -hmac k
        assert seen.headers["X-Sig"] == "3ce3c16949decb5a01d23c49c3558a2e4ec6d007d43eb2718aa8af890997be3d"
