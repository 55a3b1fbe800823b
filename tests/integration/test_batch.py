"""batch over real connections: every part through its own route, and counted there."""

import asyncio
import json

from gateway.cli.foreign import run_foreign
from gateway.testing import origin, running

CONFIG = """
upstreams: {service: {targets: ["${TARGET}"]}}
listeners: [{bind: 127.0.0.1:0}]
routes:
  - name: batch
    match: {path: /batch}
    plugins:
      - plugin: batch
        with: {inherit: [X-API-Key]}
  - name: keyed
    match: {path: /keyed/}
    rewrite: {strip_prefix: /keyed}
    upstream: service
    plugins:
      - plugin: api_key
        with: {keys: {file: "${KEYS}"}}
  - name: limited
    match: {path: /limited}
    upstream: service
    plugins:
      - plugin: rate_limit
        with: {limits: [{rate: 2, period: 1h}]}
  - name: open
    match: {path: /open/}
    upstream: service
"""
JSON = {"Content-Type": "application/json", "User-Agent": "me"}


async def test_each_part_passes_its_own_routes_chain(tmp_path, capsys):
    file = tmp_path / "keys.yaml"
    assert await asyncio.to_thread(run_foreign, "keys", ["add", "billing", "--file", str(file)]) == 0
    key = capsys.readouterr().out.strip()
    parts = [
        {"path": "/open/a?b=c"},
        {"path": "/keyed/x", "method": "POST", "body": {"n": 1}},
        {"path": "/keyed/y", "headers": {"X-API-Key": "wrong"}},
        {"path": "/keyed/../open/z"},
        {"path": "/limited"},
        {"path": "/limited"},
        {"path": "/limited"},
        {"path": "/nowhere"},
        {"path": "/batch", "method": "POST", "body": [{"path": "/open/"}]},
    ]
    async with (
        origin(200, {"Content-Type": "application/json", "Set-Cookie": "s=1"}, '{"ok":true}') as service,
        running(CONFIG, TARGET=service.url, KEYS=str(file)) as gateway,
    ):
        answer = await gateway.fetch("POST", "/batch", headers={**JSON, "X-API-Key": key}, body=json.dumps(parts))
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
        told = json.loads(answer.body)
        assert [each["status"] for each in told[:4]] == [200, 200, 401, 200]
        assert sorted(each["status"] for each in told[4:7]) == [200, 200, 429]
        assert [each["status"] for each in told[7:]] == [404, 400]
        assert told[0]["body"] == {"ok": True}
        assert "Set-Cookie" not in told[0]["headers"]
        assert told[8]["body"]["code"] == "nested_batch"
        seen = sorted((each.method, each.path_qs) for each in service.requests)
        assert seen == [("GET", "/limited")] * 2 + [("GET", "/open/a?b=c"), ("GET", "/open/z"), ("POST", "/x")]
        assert {each.headers["User-Agent"] for each in service.requests} == {"me"}
        exchanges = await gateway.ended(len(parts) + 1)
        assert sorted(each.request.route.name for each in exchanges) == [
            "-",
            *["batch"] * 2,
            *["keyed"] * 2,
            *["limited"] * 3,
            *["open"] * 2,
        ]
        who = {each.request.path: each.request.principal and each.request.principal.id for each in exchanges}
        assert (who["/keyed/x"], who["/keyed/y"], who["/open/a"]) == ("billing", None, None)
