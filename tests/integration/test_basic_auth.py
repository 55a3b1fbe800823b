"""basic_auth over real connections: a user gets in, guessing is limited by rate_limit, a removed user is out."""

from __future__ import annotations

import asyncio
import base64

import bcrypt

from gateway.testing import origin, running

CONFIG = """
listeners: [{bind: 127.0.0.1:0}]
upstreams: {app: {targets: ["${TARGET}"]}}
routes:
  - name: app
    upstream: app
    plugins:
      - plugin: rate_limit
        with: {key: client_ip, limits: [{rate: 30, period: 1h}]}
      - any:
          - plugin: api_key
            with: {keys: {file: "${KEYS}"}}
          - plugin: basic_auth
            with: {users: "${USERS}", realm: Back office, reread: 100ms}
"""


def basic(name, password):
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


async def test_a_user_gets_in_until_removed(tmp_path):
    users, keys = tmp_path / "users", tmp_path / "keys.yaml"
    users.write_text(f"josé:{bcrypt.hashpw('çé'.encode(), bcrypt.gensalt(10)).decode()}\n")
    keys.write_text("keys: []")
    async with (
        origin(200) as service,
        running(CONFIG, TARGET=service.url, USERS=str(users), KEYS=str(keys)) as gateway,
    ):
        answers = await asyncio.gather(*(gateway.fetch("GET", "/", headers=basic("josé", "çé")) for _ in range(5)))
        assert [each.status for each in answers] == [200] * 5
        assert "Authorization" not in service.requests[0].headers
        assert (await gateway.ended(5))[0].request.principal.id == "josé"

        refused = await gateway.fetch("GET", "/")
        assert refused.headers["WWW-Authenticate"] == 'ApiKey realm="app", Basic realm="Back office", charset="UTF-8"'
        users.write_text("# nobody\n")
        for _ in range(10):
            refused = await gateway.fetch("GET", "/", headers=basic("josé", "çé"))
            if refused.status == 401:
                break
            await asyncio.sleep(0.3)
        assert refused.status == 401
        while (answer := await gateway.fetch("GET", "/", headers=basic("josé", "guess"))).status == 401:
            pass
        assert answer.status == 429
