"""A person's data goes from everywhere: the queue, kept answers and caches, of several workers over one Redis."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
from pathlib import Path
from typing import Any

import bcrypt
from aiohttp import web


def signed_in(name: str, **fields: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:pw'.encode()).decode()}", **fields}


def configuration(folder: Path, redis: str, target: str) -> dict[str, Any]:
    hashed = bcrypt.hashpw(b"pw", bcrypt.gensalt(10)).decode()
    (folder / "users").write_text(f"alice:{hashed}\nbob:{hashed}\n")
    caller = {"plugin": "basic_auth", "with": {"users": str(folder / "users")}}
    plugins = {
        "pay": {"plugin": "idempotency"},
        "me": {"plugin": "cache", "with": {"tiers": ["memory", "shared"], "authenticated": True}},
        "orders": {"plugin": "dead_letter"},
    }
    return {
        "workers": 2,
        "admin": {"bind": f"unix:{folder}/admin.sock"},
        "stores": {"shared": redis, "durable": redis},
        "upstreams": {"service": {"targets": [target]}},
        "routes": [
            {"name": name, "match": {"path": f"/{name}"}, "plugins": [caller, plugin], "upstream": "service"}
            for name, plugin in plugins.items()
        ],
    }


async def test_everything_of_a_subject_goes_and_nothing_else(
    tmp_path: Path, gateway: Any, session: Any, redis_server: Any
) -> None:
    asked: list[tuple[str, str]] = []

    async def serve(request: web.Request) -> web.Response:
        asked.append((request.method, request.path))
        if request.path == "/orders":
            return web.Response(status=503)
        return web.Response(text="personal", headers={"Cache-Control": "max-age=600"})

    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", serve)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    config = configuration(tmp_path, redis_server.url, f"http://127.0.0.1:{runner.addresses[0][1]}")
    process = gateway(config)

    async def round_of(name: str) -> list[str]:
        """What reached the target."""
        asked.clear()
        for method, path in (("POST", "/pay"), ("GET", "/me"), ("POST", "/orders")):
            headers = signed_in(name, **({"Idempotency-Key": '"k"'} if method == "POST" else {}))
            body = b"x" if method == "POST" else None
            async with session.request(method, process.url + path, headers=headers, data=body) as answer:
                await answer.read()
        return [path for _, path in asked]

    async def run(*words: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "gateway", "inbox", *words, "-c", str(process.path)]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    try:
        for name in ("alice", "bob"):
            assert await round_of(name) == ["/pay", "/me", "/orders"]
            assert "/pay" not in await round_of(name)
        code, out, _ = await run("list", "--state", "dead")
        assert (code, len(out.splitlines())) == (0, 2)
        code, out, err = await run("erase", "alice")
        assert code == 0, err
        assert out.splitlines()[0] == "1 items deleted"
        assert int(out.splitlines()[1].split()[0]) >= 2
        assert await round_of("alice") == ["/pay", "/me", "/orders"]
        assert "/pay" not in await round_of("bob")
        # While nobody runs, what only a gateway can find is not said to be gone.
        process.kill()
        code, out, err = await run("erase", "bob")
        assert (code, out) == (1, "1 items deleted\n")
        assert "cache, idempotency" in err
        assert (await run("erase", "bob", "--queue-only"))[0] == 0
    finally:
        await runner.cleanup()
