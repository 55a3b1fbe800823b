"""Logs of a gateway as operators run it: several sinks, rotation and reloads under load, slow requests."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest


def lines(folder: Path, *names: str) -> list[dict[str, Any]]:
    """Every line of the files of these names and of what was moved away from them; a torn one fails."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.partition(".log")[0] in names:
            content = path.read_text()
            assert not content or content.endswith("\n"), path
            found += [json.loads(line) for line in content.splitlines()]
    return found


async def load(url: str, count: int, name: str) -> list[str]:
    """So many requests over several connections, each with a path of its own."""
    numbers = iter(range(count))
    asked: list[str] = []

    async def client(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            path = f"/{name}/{number}"
            async with session.get(url + path) as answer:
                await answer.read()
                assert answer.status == 200
            asked.append(path)

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(client(session) for _ in range(16)))
    return asked


RESPOND = {"routes": [{"name": "r", "plugins": [{"plugin": "respond", "with": {"body": "x"}}]}]}


async def test_two_workers_rotate_and_change_sinks_under_load_and_lose_and_tear_no_line(
    gateway: Any, until: Any
) -> None:
    process = gateway({**RESPOND, "workers": 2, "reload": {"watch": False}}, begin=False)
    folder = process.directory

    def to(name: str) -> dict[str, Any]:
        return {"file": str(folder / f"{name}.log"), "rotate": {"size": "30KB"}}

    process.config["access_log"] = to("one")
    process.start()
    asked = await load(process.url, 800, "before")
    loading = asyncio.create_task(load(process.url, 1600, "during"))
    await until(lambda: len(lines(folder, "one")) > 900)
    # Another tool moves the file away, as logrotate does, and says so.
    (folder / "one.log").rename(folder / "one.log.1")
    process.write({"access_log": {"to": [to("two"), "stdout"]}})
    process.signal(signal.SIGHUP)
    asked += await loading
    await until((folder / "two.log").exists)
    asked += await load(process.url, 400, "after")
    process.signal(signal.SIGTERM)
    assert await process.ended() == 0
    written = [line["path"] for line in lines(folder, "one", "two")]
    assert len(written) == len(asked) == 2800
    assert set(written) == set(asked)
    second = {line["path"] for line in lines(folder, "two")}
    assert {path for path in asked if path.startswith("/after/")} <= second
    assert {json.loads(line)["path"] for line in process.out().splitlines()} == second
    moved = [path for path in folder.iterdir() if ".log.2" in path.name]
    assert len(moved) > 10
    # While one moves it away the others write on, so that a file may end larger; that is the exception.
    sizes = sorted(path.stat().st_size for path in moved)
    assert sizes[len(sizes) // 2] <= 36_000


async def test_every_sink_gets_every_line_and_none_gets_a_secret(gateway: Any, until: Any, tmp_path: Path) -> None:
    collected: list[str] = []

    async def take(request: web.Request) -> web.Response:
        message = ExportLogsServiceRequest.FromString(await request.read())
        for resource in message.resource_logs:
            collected.extend(str(record) for scope in resource.scope_logs for record in scope.log_records)
        return web.Response(content_type="application/x-protobuf")

    application = web.Application()
    application.router.add_post("/v1/logs", take)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as syslog:
        syslog.bind(("127.0.0.1", 0))
        syslog.settimeout(60)
        process = gateway(
            {
                **RESPOND,
                "defaults": {"plugins": [{"plugin": "pii_masking"}]},
                "access_log": {
                    "to": [
                        "stdout",
                        {"file": str(tmp_path / "access.log"), "format": "ecs"},
                        {"syslog": f"udp://127.0.0.1:{syslog.getsockname()[1]}", "format": "otel"},
                        {"otlp": f"http://127.0.0.1:{runner.addresses[0][1]}"},
                    ]
                },
                "log": {"to": ["stderr", {"file": str(tmp_path / "own.log"), "format": "console"}]},
            }
        )
        async with (
            aiohttp.ClientSession() as session,
            session.get(process.url + "/of/ada@shop.example", headers={"User-Agent": "eve@shop.example"}) as answer,
        ):
            assert answer.status == 200
        await until(lambda: collected)
        await until((tmp_path / "access.log").read_text)
        await until(process.out)
        message = await asyncio.to_thread(syslog.recv, 65536)
        found = await process.metrics()
        assert found["sidegate_log_dropped_total", (("log", "access"), ("sink", "stdout"))] == 0
        assert found["sidegate_log_dropped_total", (("log", "gateway"), ("sink", "stderr"))] == 0
    await runner.cleanup()
    ecs = (tmp_path / "access.log").read_text()
    everywhere = [process.out(), ecs, message.decode(), *collected]
    assert all("/of/[email]" in each for each in everywhere), everywhere
    assert not any("@shop.example" in each for each in everywhere)
    assert json.loads(ecs)["url.path"] == "/of/[email]"
    assert json.loads(message.partition(b" - ")[2])["Attributes"]["url.path"] == "/of/[email]"
    assert " listening on " in (tmp_path / "own.log").read_text()


async def test_a_slow_request_says_where_its_time_went(gateway: Any, behind: Any, until: Any) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await request.read()
        await asyncio.sleep(0.3)
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"x" * 10)
        await asyncio.sleep(0.2)
        await answer.write(b"y" * 10)
        return answer

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", slow)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    service = f"http://127.0.0.1:{runner.addresses[0][1]}"
    process = gateway(
        {
            **behind(service),
            "defaults": {"plugins": [{"plugin": "size_limit"}]},
            "access_log": {"to": "stdout", "slow": "100ms", "sample": "0%", "plugin_time": True},
        }
    )

    def told() -> list[dict[str, Any]]:
        return [line for line in map(json.loads, process.log().splitlines()) if line["logger"] == "gateway.slow"]

    async with aiohttp.ClientSession() as session:
        for _ in range(2):  # the second has a connection at hand
            async with session.get(process.url + "/a") as answer:
                assert await answer.read() == b"x" * 10 + b"y" * 10
    await until(lambda: len(told()) == 2)
    await runner.cleanup()
    for line, connected in zip(told(), (True, False), strict=True):
        assert (line["level"], line["msg"], line["path"], line["status"]) == ("warning", "slow request", "/a", 200)
        parts = ("gateway_ms", "queue_ms", "connect_ms", "upload_ms", "first_byte_ms", "body_ms")
        assert abs(sum(line[part] for part in parts) - line["duration_ms"]) < 1
        assert line["first_byte_ms"] >= 290
        assert line["body_ms"] >= 190
        assert (line["connect_ms"] > 0) is connected
        assert set(line["plugins_ms"]) == {"size_limit"}
    await until(lambda: process.out().count("\n") == 2)
    written = [json.loads(line) for line in process.out().splitlines()]
    assert all(set(line["plugins_ms"]) == {"size_limit"} for line in written)
