"""The audit trail of real gateways: two workers and an operator, a worker that is killed, a disk that is full."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

KEY = "0123456789abcdef0123456789abcdef"
API_KEY = "sgk_alice_0123456789abcdef"
TOKEN = "t0k3n-for-operators-0123456789"


def config(folder: Path, workers: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "workers": workers,
        "admin": {"bind": "127.0.0.1:0", "token": TOKEN},
        "audit": {"path": str(folder), "key": KEY, "instance": "gw-1", **more},
        "defaults": {"plugins": [{"plugin": "audit", "with": {"claims": ["sub"], "headers": ["X-Reason"]}}]},
        "upstreams": {"nobody": {"targets": ["http://127.0.0.1:9"]}},
        "routes": [
            {
                "name": "open",
                "match": {"path": "/open/{id}"},
                "without": ["audit"],
                "plugins": [
                    {"plugin": "audit", "with": {"resource": "thing/{path.id}", "wait": True}},
                    {"plugin": "respond", "with": {"body": "here"}},
                ],
            },
            {
                "name": "logged",
                "match": {"path": "/logged/"},
                "plugins": [{"plugin": "respond", "with": {"body": "x"}}],
            },
            {
                "name": "closed",
                "match": {"path": "/closed/"},
                "plugins": [{"plugin": "api_key", "with": {"keys": {"file": str(folder.parent / "keys.yaml")}}}],
                "upstream": "nobody",
            },
        ],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    key = {"id": "alice", "hash": f"sha256:{hashlib.sha256(API_KEY.encode()).hexdigest()}"}
    (tmp_path / "keys.yaml").write_text(json.dumps({"keys": [key]}))
    return tmp_path / "trail"


async def get(url: str, path: str, **headers: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url + path, headers=headers) as answer:
        await answer.read()
        return answer.status


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "gateway", *words], capture_output=True, text=True, check=False)


def records(folder: Path) -> list[dict[str, Any]]:
    """What stands there; a line that is being written does not yet."""
    lines = [line for file in sorted(folder.glob("*.jsonl")) for line in file.read_bytes().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


async def test_two_workers_and_an_operator_write_one_chain(gateway: Any, folder: Path, until: Any):
    process = gateway(config(folder, workers=2))
    asked = [get(process.url, f"/open/{number}") for number in range(20)]
    assert set(await asyncio.gather(*asked)) == {200}
    waited = [each for each in records(folder) if each.get("route") == "open"]
    assert sorted(each["resource"] for each in waited) == sorted(f"thing/{number}" for number in range(20))
    assert await get(process.url, "/closed/a", **{"X-Reason": "curious"}) == 401
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert await get(process.url, "/closed/b", **{"X-API-Key": API_KEY}) == 502
    assert (await process.ask("/reload", "POST"))[0] == 401
    assert (await process.ask("/reload", "POST", headers=bearer))[0] == 200
    await until(lambda: len([each for each in records(folder) if each.get("route") == "closed"]) == 2)
    workers = json.loads((await process.ask("/workers", headers=bearer))[1])["workers"]
    subprocess.run(["kill", "-9", str(workers[0]["pid"])], check=True)
    assert set(await asyncio.gather(*[get(process.url, f"/logged/{number}") for number in range(5)])) <= {200}
    await until(lambda: len([each for each in records(folder) if each.get("route") == "logged"]) == 5)
    assert await get(process.url, "/nowhere") == 404
    await until(lambda: any(each["action"] == "worker_start" for each in records(folder)))
    process.signal(signal.SIGTERM)
    assert await process.ended(60) == 0
    held = command("audit", "verify", "-c", str(process.path))
    assert held.returncode == 0, held.stdout + held.stderr
    told = records(folder)
    # In the order of writing: each process writes its own when it comes to it.
    refused = sorted((each for each in told if each["result"] == "refused"), key=lambda each: str(each["ts"]))
    assert [(each["kind"], each["resource"], each["actor"]) for each in refused] == [
        ("request", "/closed/a", ""),
        ("admin", "/reload", ""),
        ("request", "/nowhere", ""),
    ]
    assert refused[0]["error"] == "unauthorized"
    assert refused[0]["headers"] == {"X-Reason": "curious"}
    reloads = [each["actor"] for each in told if each["action"] == "reload" and each["result"] == "success"]
    assert reloads == [f"token loopback:uid={os.getuid()}"]
    actions = [each["action"] for each in told if each["kind"] == "gateway"]
    assert (actions[0], actions[-2:]) == ("start", ["stop", "drain"])
    died, began = [each for each in told if each["action"].startswith("worker_")]
    assert (died["result"], died["pid"], died["cause"]) == ("failed", workers[0]["pid"], "signal SIGKILL")
    assert died["resource"] == began["resource"] == "worker/0"
    (nowhere,) = [each for each in told if each.get("route") == "-"]
    assert (nowhere["resource"], nowhere["status"], nowhere["error"]) == ("/nowhere", 404, "route_not_found")
    exported = command("audit", "export", "-c", str(process.path), "--route", "open", "--format", "csv")
    assert len(exported.stdout.splitlines()) == 21
    (failed,) = [each for each in told if each["resource"] == "/closed/b"]
    assert (failed["actor"], failed["result"], failed["status"]) == ("alice", "failed", 502)
    assert API_KEY not in json.dumps(told)
    assert TOKEN not in folder.joinpath("head").read_text() + json.dumps(told)


def limit(pid: int, size: int) -> None:
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size < 0 else size, hard))


@pytest.mark.parametrize("on_error", ["deny", "allow"])
async def test_a_full_disk(gateway: Any, folder: Path, until: Any, on_error: str):
    process = gateway(config(folder, on_error=on_error))
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert await get(process.url, "/open/1") == 200
    limit(process.pid, sum(path.stat().st_size for path in folder.glob("*.jsonl")) + 300)
    while await get(process.url, "/logged/a") == 200:
        trail = json.loads((await process.ask("/readyz"))[1])["audit"]
        if not trail["ok"] and on_error == "allow":
            break
    status, body, _ = await process.ask("/readyz")
    told = json.loads(body)
    assert status == (503 if on_error == "deny" else 200)
    assert told["audit"]["error"] == "File too large"
    assert "audit" in told["failing"]
    assert await get(process.url, "/open/2") == (503 if on_error == "deny" else 200)
    assert (await process.ask("/reload", "POST", headers=bearer))[0] == 200
    limit(process.pid, -1)

    async def ready() -> bool:
        return bool(json.loads((await process.ask("/readyz"))[1])["audit"]["ok"])

    await until(ready)
    assert await get(process.url, "/open/3") == 200
    process.signal(signal.SIGTERM)
    assert await process.ended(60) == 0
    held = command("audit", "verify", "-c", str(process.path))
    assert held.returncode == 0, held.stdout + held.stderr
    things = [each["resource"] for each in records(folder) if each.get("route") == "open"]
    assert things == (["thing/1", "thing/3"] if on_error == "deny" else ["thing/1", "thing/2", "thing/3"])
