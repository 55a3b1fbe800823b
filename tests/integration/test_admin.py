"""The admin listener of a real process: metrics, health, what is in force, and that it tells no secret."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

TOKEN = "t0k3n-for-operators-0123456789"
PASSWORD = "pl4nted-s3cret-0123456789"
ALL = ("/metrics", "/healthz", "/readyz", "/routes", "/upstreams", "/config", "/workers")


async def test_every_answer_is_there_and_of_its_kind(gateway: Any, behind: Any, origin: Any, answering: Any) -> None:
    target = await origin(answering())
    process = gateway(behind(target.url))
    for path in ALL:
        status, body, headers = await process.ask(path)
        assert status == 200, path
        if path == "/metrics":
            assert headers["Content-Type"].startswith("text/plain")
        else:
            assert headers["Content-Type"].startswith("application/json")
            assert json.loads(body)
    assert (await process.tell("/healthz")) == {"status": "ok"}
    (route,) = (await process.tell("/routes"))["routes"]
    assert (route["name"], route["upstream"]) == ("all", "service")
    (worker,) = (await process.tell("/workers"))["workers"]
    assert worker["pid"] == process.pid
    ((upstream,),) = ([w["upstreams"]["service"]["targets"] for w in (await process.tell("/upstreams"))["workers"]],)
    assert upstream[0]["target"] == target.url
    assert (await process.tell("/config"))["config"]["routes"][0]["name"] == "all"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "/nowhere", 404, id="an unknown path"),
        pytest.param("POST", "/healthz", 405, id="a method that does nothing here"),
        pytest.param("GET", "/reload", 405, id="a reload by GET"),
        pytest.param("GET", "/plugins/all/none/none", 404, id="a view that no plugin has"),
    ],
)
async def test_mistakes_are_problem_documents(
    gateway: Any, behind: Any, refused_url: str, method: str, path: str, status: int
) -> None:
    process = gateway(behind(refused_url))
    found, body, headers = await process.ask(path, method)
    assert found == status
    assert headers["Content-Type"].startswith("application/problem+json")
    assert json.loads(body)["status"] == status


async def test_metrics_parse_and_no_label_comes_from_a_client(
    gateway: Any, behind: Any, origin: Any, answering: Any, session: Any
) -> None:
    target = await origin(answering())
    process = gateway(behind(target.url))
    for number in range(30):
        said = {"Host": f"h{number}.example", "User-Agent": f"a{number}"}
        async with session.get(f"{process.url}/only-{number}?q={number}", headers=said) as answer:
            await answer.read()
    await asyncio.sleep(0)
    for accept in ("", "application/openmetrics-text; version=1.0.0"):
        _, body, headers = await process.ask("/metrics", headers={"Accept": accept})
        text = body.decode()
        assert ("openmetrics" in headers["Content-Type"]) == bool(accept)
        assert not re.search(r"only-\d|h\d+\.example|\"a\d+\"", text)
    _, body, _ = await process.ask("/metrics")
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    samples = families["sidegate_requests"].samples
    counts = {tuple(s.labels.values()): s.value for s in samples if "_total" in s.name and s.value}
    assert counts == {("all", "200"): 30.0}
    histogram = families["sidegate_request_duration_seconds"]
    assert [s.value for s in histogram.samples if s.name.endswith("_count")] == [30.0]
    assert families["sidegate_connections"].type == "counter"
    assert families["sidegate_log_dropped"].type == "counter"
    assert all(family.documentation for family in families.values())
    assert sum(len(family.samples) for family in families.values()) < 200


async def test_no_secret_is_in_any_answer_or_log(gateway: Any, origin: Any, answering: Any, session: Any) -> None:
    target = await origin(answering())
    process = gateway(
        {
            "log": {"level": "debug"},
            "access_log": "stdout",
            "admin": {"bind": "127.0.0.1:0", "token": "${ADMIN}"},
            "stores": {"shared": "redis://user:${PASSWORD}@127.0.0.1:1/0"},
            "health": {"checks": {"cache": {"redis": "redis://:${PASSWORD}@127.0.0.1:1/0", "interval": "100ms"}}},
            "upstreams": {"service": {"targets": [target.url]}},
            "routes": [{"name": "all", "match": {"path": "/"}, "upstream": "service"}],
        },
        ADMIN=TOKEN,
        PASSWORD=PASSWORD,
    )
    sent = {"Authorization": f"Bearer {PASSWORD}-c", "Cookie": f"s={PASSWORD}-d"}
    async with session.get(f"{process.url}/a", headers=sent) as answer:
        assert answer.status == 200
    await process.ask("/config", headers={"Authorization": f"Bearer {PASSWORD}-wrong"})
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    said = b""
    for path in ALL:
        status, body, headers = await process.ask(path, headers=bearer)
        assert status == 200, path
        said += body + str(headers).encode()
    status, body, _ = await process.ask("/reload", "POST", headers=bearer)
    assert status == 200
    process.write({"stores": {"shared": f"x://u:{PASSWORD}@h"}, "admin": {"bind": "127.0.0.1:0", "token": [PASSWORD]}})
    status, refused, _ = await process.ask("/reload", "POST", headers=bearer)
    assert status == 409
    process.signal(15)
    assert await process.ended() == 0
    everything = said + body + process.log().encode() + process.out().encode()
    for secret in (TOKEN, PASSWORD):
        leaks = [line for line in (everything + refused).split(b"\n") if secret.encode() in line]
        assert leaks == []


async def test_a_token_is_asked_for_but_not_by_probes(gateway: Any, behind: Any, refused_url: str) -> None:
    process = gateway({**behind(refused_url), "admin": {"bind": "127.0.0.1:0", "token": TOKEN}})
    for path in ALL:
        status, body, headers = await process.ask(path)
        assert status == (200 if path in ("/healthz", "/readyz") else 401), path
        if status == 401:
            assert headers["WWW-Authenticate"].startswith("Bearer")
            assert json.loads(body)["code"] == "unauthorized"
    for wrong in (f"Bearer {TOKEN}x", "Bearer ", f"Basic {TOKEN}", "Bearer \xff\xfe", f"Bearer {TOKEN[:-1]}"):
        assert (await process.ask("/config", headers={"Authorization": wrong}))[0] == 401
    assert (await process.ask("/config", headers={"Authorization": f"bearer {TOKEN}"}))[0] == 200
    assert (await process.ask("/reload", "POST"))[0] == 401


async def test_off_loopback_it_does_not_start_without_a_token(gateway: Any, behind: Any, refused_url: str) -> None:
    process = gateway({**behind(refused_url), "admin": {"bind": "0.0.0.0:0"}}, begin=False)
    process.start(wait=False)
    assert await process.ended() == 1
    assert "token" in process.log()


async def test_a_browser_page_of_a_named_origin_may_call_it(gateway: Any, behind: Any, refused_url: str) -> None:
    page = "https://ops.example.com"
    process = gateway(
        {**behind(refused_url), "admin": {"bind": "127.0.0.1:0", "token": TOKEN, "cors": {"origins": [page]}}}
    )
    preflight = {"Origin": page, "Access-Control-Request-Method": "GET"}
    preflight["Access-Control-Request-Headers"] = "authorization"
    status, _, headers = await process.ask("/config", "OPTIONS", preflight)
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, page)
    status, _, headers = await process.ask("/config", headers={"Origin": page, "Authorization": f"Bearer {TOKEN}"})
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, page)
    status, _, headers = await process.ask("/config", headers={"Origin": page})
    assert (status, headers.get("Access-Control-Allow-Origin")) == (401, page)
    preflight["Origin"] = "https://evil.example.com"
    assert (await process.ask("/config", "OPTIONS", preflight))[0] == 401
    _, _, headers = await process.ask("/healthz", headers={"Origin": "https://evil.example.com"})
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("critical", [pytest.param(False, id="shown"), pytest.param(True, id="critical: 503")])
async def test_named_checks_watch_real_things(
    gateway: Any, behind: Any, origin: Any, answering: Any, start_redis: Any, until: Any, critical: bool
) -> None:
    target, redis = await origin(answering()), start_redis()
    often = {"interval": "100ms", "timeout": "500ms"}
    checks = {
        "web": {"http": f"{target.url}/up", **often},
        "port": {"tcp": target.url.removeprefix("http://"), **often},
        "cache": {"redis": redis.url, "critical": critical, **often},
    }
    process = gateway({**behind(target.url), "health": {"checks": checks}})

    async def all_well() -> Any:
        report = await process.tell("/readyz")
        return all(check["ok"] for check in report["checks"].values()) and report

    report = await until(all_well)
    assert report["ready"] is True
    assert {name: check["kind"] for name, check in report["checks"].items()} == {
        "web": "http",
        "port": "tcp",
        "cache": "redis",
    }
    assert all(0 <= check["seconds"] < 5 for check in report["checks"].values())
    assert await process.metric("check_up") == 3
    redis.kill()

    async def failing() -> Any:
        status, body, _ = await process.ask("/readyz")
        report = json.loads(body)
        return report["checks"]["cache"]["ok"] is False and (status, report)

    status, report = await until(failing)
    assert status == (503 if critical else 200)
    assert report["reasons"] == (["check cache fails"] if critical else [])
    assert report["checks"]["cache"]["error"]
    assert await process.metric("check_up", check="cache") == 0
    redis.start()
    await until(all_well)


async def test_a_critical_upstream_without_a_usable_target_is_a_503(
    gateway: Any, behind: Any, refused_url: str, until: Any
) -> None:
    health = {"active": {"path": "/", "interval": "100ms", "timeout": "500ms", "unhealthy": 1}}
    process = gateway(behind(refused_url, critical=True, health=health))

    async def unready() -> Any:
        status, body, _ = await process.ask("/readyz")
        return status == 503 and json.loads(body)

    report = await until(unready)
    assert report["reasons"] == ["upstream service has no usable target"]
    assert report["upstreams"]["service"]["targets"][0]["state"] == "ill"
