"""api_key over real connections: a key made by the command, used, and revoked while the gateway runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.cli.foreign import run_foreign
from gateway.testing import origin, running

CONFIG = """
listeners: [{bind: 127.0.0.1:0}]
upstreams: {orders: {targets: ["${TARGET}"]}}
routes:
  - name: orders
    upstream: orders
    plugins:
      - any:
          - plugin: jwt
            with:
              issuers:
                - {issuer: me, audience: me, algorithms: [HS256], secrets: ["thirty-two bytes or even more of them"]}
              claims_to_headers: {X-User: sub}
          - plugin: api_key
            with: {keys: {file: "${KEYS}"}, reread: 100ms}
"""


async def test_a_key_is_used_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keys.yaml"
    made = ["add", "billing", "--file", str(file)]
    assert await asyncio.to_thread(run_foreign, "keys", made) == 0
    key = capsys.readouterr().out.strip()
    async with origin(200, body="hi") as service, running(CONFIG, TARGET=service.url, KEYS=str(file)) as gateway:
        answer = await gateway.fetch("GET", "/", headers={"X-API-Key": key, "X-User": "root", "X-Other": "kept"})
        assert (answer.status, answer.body) == (200, b"hi")
        sent = service.requests[0].headers
        assert "X-API-Key" not in sent
        assert "X-User" not in sent  # only jwt may say it, and jwt did not
        assert sent["X-Other"] == "kept"
        assert (await gateway.ended(1))[0].request.principal.id == "billing"

        refused = await gateway.fetch("GET", "/")
        assert refused.status == 401
        assert refused.headers["WWW-Authenticate"] == 'Bearer realm="orders", ApiKey realm="orders"'
        assert (await gateway.fetch("GET", "/", headers={"X-API-Key": key[:-1]})).status == 401
        assert len(service.requests) == 1

        revoke = ["revoke", key.split("_")[1], "--file", str(file)]
        assert await asyncio.to_thread(run_foreign, "keys", revoke) == 0
        async with asyncio.timeout(30):
            while (await gateway.fetch("GET", "/", headers={"X-API-Key": key})).status != 401:
                await asyncio.sleep(0.02)


SHARED = """
listeners: [{bind: 127.0.0.1:0}]
stores: {shared: "${REDIS}"}
upstreams: {orders: {targets: ["${TARGET}"]}}
routes:
  - name: orders
    upstream: orders
    plugins:
      - plugin: api_key
        with: {keys: {store: partners}, reread: 100ms}
"""


async def test_keys_in_redis_are_the_same_for_two_gateways_and_outlive_its_end(start_redis, capsys) -> None:
    server = start_redis()
    given = ["--store", server.url, "--name", "partners"]

    async def said(*words: str) -> str:
        assert await asyncio.to_thread(run_foreign, "keys", [*words, *given]) == 0
        return capsys.readouterr().out.strip()

    key, other = await said("add", "billing", "--role", "reader"), await said("add", "shop")
    async with (
        origin(200, body="hi") as service,
        running(SHARED, TARGET=service.url, REDIS=server.url) as one,
        running(SHARED, TARGET=service.url, REDIS=server.url) as two,
    ):
        for gateway in (one, two):
            assert (await gateway.fetch("GET", "/", headers={"X-API-Key": key})).status == 200
            assert (await gateway.fetch("GET", "/", headers={"X-API-Key": key + "x"})).status == 401
        listed = await said("list")
        assert listed.count("valid") == 2 and key not in listed

        await said("revoke", other.split("_")[1])
        async with asyncio.timeout(30):
            for gateway in (one, two):
                while (await gateway.fetch("GET", "/", headers={"X-API-Key": other})).status != 401:
                    await asyncio.sleep(0.02)

        server.kill()
        await asyncio.sleep(0.3)  # some looks later
        for gateway in (one, two):
            assert (await gateway.fetch("GET", "/", headers={"X-API-Key": key})).status == 200
            assert (await gateway.fetch("GET", "/", headers={"X-API-Key": other})).status == 401


async def test_a_gateway_that_never_reached_its_store_lets_nobody_in(start_redis) -> None:
    server = start_redis()
    server.kill()
    async with origin(200) as service, running(SHARED, TARGET=service.url, REDIS=server.url) as gateway:
        answer = await gateway.fetch("GET", "/", headers={"X-API-Key": "anything"})
        assert (answer.status, service.requests) == (503, [])
