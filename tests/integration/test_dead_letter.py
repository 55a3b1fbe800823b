"""dead_letter over real HTTP and a real file: what a target that is down did not take is replayed by hand."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from aiohttp import web


async def test_what_a_target_did_not_take_is_replayed(tmp_path: Path, gateway: Any, session: Any, until: Any) -> None:
    got: list[tuple[str, bytes, str]] = []

    async def take(request: web.Request) -> web.Response:
        got.append((request.path_qs, await request.read(), request.headers["Sidegate-Attempt"]))
        return web.Response(status=201)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = gateway(
        {
            "stores": {"durable": f"sqlite://{tmp_path}/queue.db"},
            "upstreams": {"orders": {"targets": [f"http://127.0.0.1:{port}"]}},
            "routes": [
                {
                    "name": "orders",
                    "match": {"path": "/api/"},
                    "rewrite": {"strip_prefix": "/api"},
                    "plugins": [{"plugin": "dead_letter", "with": {"retry": {"base": "100ms"}}}],
                    "upstream": "orders",
                }
            ],
        }
    )

    async def inbox(*words: str) -> str:
        command = [sys.executable, "-m", "gateway", "inbox", *words, "-c", str(process.path)]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
        return str(done.stdout)

    async with session.post(f"{process.url}/api/orders?n=1", data=b'{"n": 1}') as answer:
        problem = await answer.json(content_type=None)
        assert (answer.status, problem["code"]) == (502, "connect_failed")
        kept = answer.headers["Sidegate-Delivery-Id"]
    (listed,) = json.loads(await inbox("list", "--json"))["items"]
    assert (listed["id"], listed["state"], listed["last"]["error"]) == (kept, "dead", "connect_failed")
    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        assert (await inbox("replay", kept)).startswith("1 ")
        await until(lambda: got)
    finally:
        await runner.cleanup()
    assert got == [("/orders?n=1", b'{"n": 1}', "2")]

    async def gone() -> bool:
        return json.loads(await inbox("list", "--json"))["items"] == []

    await until(gone)
