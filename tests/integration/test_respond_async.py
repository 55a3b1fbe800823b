"""respond_async over real HTTP, a real file and a gateway that is killed: what was put off is made after all."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

from aiohttp import web


async def test_what_was_put_off_survives_the_gateway(tmp_path: Path, gateway: Any, session: Any, until: Any) -> None:
    got: list[tuple[str, str]] = []
    gate = asyncio.Event()

    async def work(request: web.Request) -> web.Response:
        got.append((request.method, request.headers["Sidegate-Progress"]))
        await gate.wait()
        return web.Response(status=201, text="made", headers={"X-Made": "1"})

    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", work)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    process = gateway(
        {
            "stores": {"durable": f"sqlite://{tmp_path}/queue.db"},
            "upstreams": {"reports": {"targets": [f"http://127.0.0.1:{runner.addresses[0][1]}"]}},
            "routes": [
                {
                    "name": "reports",
                    "match": {"path": "/reports"},
                    "plugins": [{"plugin": "respond_async", "with": {"lease": "1s"}}],
                    "upstream": "reports",
                }
            ],
        }
    )

    async def put_off(method: str) -> str:
        async with session.request(
            method, f"{process.url}/reports", data=b"x", headers={"Prefer": "respond-async"}
        ) as answer:
            assert (answer.status, answer.headers["Preference-Applied"]) == (202, "respond-async")
            return str(answer.headers["Location"])

    async def state(url: str) -> dict[str, Any]:
        async with session.get(process.url + url, allow_redirects=False) as answer:
            return dict(await answer.json(content_type=None))

    try:
        put, post = await put_off("PUT"), await put_off("POST")
        await until(lambda: len(got) == 2)
        async with session.post(process.url + got[0][1], json={"percent": 40}) as answer:
            assert answer.status == 204
        told = [await state(url) for url in (put, post)]
        assert {each["status"] for each in told} == {"running"}
        assert [each["progress"] for each in told if "progress" in each] == [{"percent": 40}]
        process.signal(signal.SIGKILL)
        await process.ended()
        process.log_path.unlink()
        process.start()
        gate.set()

        async def ended() -> bool:
            return [(await state(url))["status"] for url in (put, post)] == ["done", "failed"]

        await until(ended)
        assert (await state(post))["error"] == "interrupted"
        assert sorted(method for method, _ in got) == ["POST", "PUT", "PUT"], "what may be done twice, and nothing else"
        async with session.get(process.url + put) as answer:
            assert (answer.status, await answer.text(), answer.headers["X-Made"]) == (201, "made", "1")
    finally:
        gate.set()
        await runner.cleanup()
