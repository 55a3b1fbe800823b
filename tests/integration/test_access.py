"""access over real connections, behind `any:` of two authenticators: who gets in, who is told what, what is logged."""

from __future__ import annotations

import time

import jwt

from gateway.testing import origin, running

SECRET = "thirty-two bytes or even more of them"
CONFIG = """
listeners: [{bind: 127.0.0.1:0}]
upstreams: {orders: {targets: ["${TARGET}"]}}
routes:
  - name: orders
    match: {path: "/users/{user}/"}
    upstream: orders
    plugins:
      - any:
          - plugin: jwt
            with: {issuers: [{issuer: me, audience: me, algorithms: [HS256], secrets: ["${SECRET}"]}]}
          - plugin: api_key
            with: {keys: {file: "${KEYS}"}}
      - plugin: access
        with:
          rules:
            - {name: secrets, path: "/users/{user}/keys/", require: {strength: {acr: mfa, max_age: 5m}, role: admin}}
            - {name: own, require: {any: [{parameter: {user: principal}}, {claim: {realm_access.roles: support}}]}}
"""
KEYS = """
keys:
  - {id: k, hash: 'sha256:d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272', principal: bob}
"""


def bearer(**claims):
    now = int(time.time())
    usual = {"iss": "me", "aud": "me", "sub": "ada", "iat": now, "exp": now + 60}
    return {"Authorization": f"Bearer {jwt.encode({**usual, **claims}, SECRET, 'HS256')}"}


async def test_rules_decide_over_real_connections(tmp_path):
    (tmp_path / "keys.yaml").write_text(KEYS)
    async with (
        origin(200) as service,
        running(CONFIG, TARGET=service.url, SECRET=SECRET, KEYS=str(tmp_path / "keys.yaml")) as gateway,
    ):
        assert (await gateway.fetch("GET", "/users/ada/x", headers=bearer())).status == 200
        assert (await gateway.fetch("GET", "/users/bob/x", headers={"X-API-Key": "sesame"})).status == 200
        support = bearer(realm_access={"roles": ["support"]})
        assert (await gateway.fetch("GET", "/users/bob/x", headers=support)).status == 200
        assert len(service.requests) == 3

        assert (await gateway.fetch("GET", "/users/bob/x")).status == 401
        refused = await gateway.fetch("GET", "/users/bob/x", headers=bearer())
        assert (refused.status, b"own" in refused.body) == (403, False)
        weak = await gateway.fetch("GET", "/users/ada/keys/", headers=bearer(roles=["admin"], acr="pwd"))
        assert weak.status == 401
        assert (
            'error="insufficient_user_authentication", acr_values="mfa", max_age="300"'
            in (weak.headers["WWW-Authenticate"])
        )
        strong = bearer(roles=["admin"], acr="mfa", auth_time=int(time.time()))
        assert (await gateway.fetch("GET", "/users/ada/keys/", headers=strong)).status == 200
        ended = await gateway.ended(7)
        assert ended[4].error.reason.startswith("rule own requires (path parameter user that is the caller's principal")
