"""cache over real connections: what a target sends and clients get, followers of a broken fetch, several workers."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
from typing import Any

import aiohttp

from gateway.testing import origin as service_of
from gateway.testing import running
from plugins.cache.command import COMMAND

CONFIG = """
upstreams: {service: {targets: ["${TARGET}"], retry: {attempts: 1}}}
routes:
  - name: all
    match: {path: /}
    plugins: [{plugin: cache, with: {}}]
    upstream: service
"""


async def test_hits_ranges_heads_and_conditions() -> None:
    headers = {"Cache-Control": "max-age=60", "ETag": '"a"', "Content-Type": "text/plain"}
    async with service_of(200, headers, body="0123456789") as service, running(CONFIG, TARGET=service.url) as gateway:
        first = await gateway.fetch("GET", "/a")
        assert (first.body, first.headers["Cache-Status"]) == (
            b"0123456789",
            "sidegate; fwd=uri-miss; fwd-status=200; stored",
        )
        hit = await gateway.fetch("GET", "/a")
        assert (hit.body, hit.headers["Content-Length"], hit.headers["Age"]) == (b"0123456789", "10", "0")
        assert len(hit.headers.getall("Date")) == 1
        head = await gateway.fetch("HEAD", "/a")
        assert (head.status, head.body, head.headers.getall("Content-Length")) == (200, b"", ["10"])
        part = await gateway.fetch("GET", "/a", headers={"Range": "bytes=2-4"})
        assert (part.status, part.body, part.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
        assert part.headers.getall("Content-Length") == ["3"]
        same = await gateway.fetch("GET", "/a", headers={"If-None-Match": '"a"'})
        assert (same.status, same.body, "Content-Length" in same.headers) == (304, b"", False)
        assert len(service.requests) == 1
        await gateway.fetch("POST", "/a", body="x")
        await gateway.fetch("GET", "/a")
        assert len(service.requests) == 3


async def test_a_target_that_dies_in_mid_body_is_a_broken_connection_for_every_follower(origin: Any) -> None:
    followers, go = 100, asyncio.Event()
    asked = 0

    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        writer.write(
            b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100_000
        )
        await writer.drain()
        await go.wait()
        writer.transport.abort()

    service = await origin(conduct)
    async with (
        running(CONFIG, TARGET=service.url) as gateway,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        seen: list[int] = []

        async def follow() -> str:
            try:
                async with session.get(f"{gateway.url}/a") as answer:
                    got = 0
                    async for chunk in answer.content.iter_any():
                        got += len(chunk)
                        if got == 100_000:
                            seen.append(got)
                            if len(seen) == followers:
                                go.set()
                    return f"whole: {got}"
            except aiohttp.ClientError:
                return "broken"

        assert set(await asyncio.gather(*[follow() for _ in range(followers)])) == {"broken"}
        assert asked == 1
        (instance,) = gateway.runtime.instances.values()
        assert len(instance.plugin.shelf.memory) == 0


async def test_a_thousand_connections_for_one_expired_answer_are_one_request(origin: Any, until: Any) -> None:
    asked, go = [], asyncio.Event()

    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            if len(asked) > 1:
                await go.wait()
            writer.write(
                b'HTTP/1.1 200 OK\r\nCache-Control: max-age=1\r\nETag: "a"\r\nAge: 1\r\nContent-Length: 2\r\n\r\nok'
            )
            await writer.drain()

    service = await origin(conduct)
    config = CONFIG.replace("with: {}", "with: {ttl: 1h, override: lifetime}")
    async with (
        running(config, TARGET=service.url) as gateway,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        await gateway.fetch("GET", "/a")
        (instance,) = gateway.runtime.instances.values()
        for entry in instance.plugin.shelf.memory:
            entry.soften(0.0)  # expired: nobody waits for a clock

        async def client() -> bytes:
            async with session.get(f"{gateway.url}/a") as answer:
                return await answer.read()

        clients = [asyncio.ensure_future(client()) for _ in range(1000)]
        await until(lambda: len(instance.plugin.flights) == 1)
        (flight,) = instance.plugin.flights.values()
        await until(lambda: len(flight.waiting) == 1000)
        go.set()
        assert set(await asyncio.gather(*clients)) == {b"ok"}
        assert len(asked) == 2
        assert b'if-none-match: "a"' in asked[1].lower()


async def test_purges_reach_every_worker_and_the_command_line_works(
    gateway: Any, behind: Any, origin: Any, answering: Any, until: Any
) -> None:
    service = await origin(answering(b"ok", headers="Cache-Control: max-age=600\r\n"))
    config = {"workers": 2, **behind(service.url)}
    config["routes"][0]["plugins"] = [{"plugin": "cache", "with": {}}]
    process = gateway(config)
    host, port = process.address

    async def fetch(method: str = "GET") -> str:
        """Over a connection of its own, so that both workers get their share."""
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
            session.request(method, f"{process.url}/a") as answer,
        ):
            return answer.headers["Cache-Status"]

    async def entries() -> list[int]:
        return [each["entries"] for each in (await process.tell("/plugins/all/cache/stats"))["workers"]]

    async def fill() -> None:
        """In every worker: each is asked to warm."""
        status, body, _ = await process.ask(f"/plugins/all/cache/warm?urls=http://{host}:{port}/a", "POST")
        assert status == 200, body
        assert await entries() == [1, 1]

    async def command(*words: str) -> tuple[int, str]:
        parser, said = argparse.ArgumentParser(), io.StringIO()
        COMMAND.arguments(parser)
        options = parser.parse_args([*words, "--admin", process.admin])
        with contextlib.redirect_stdout(said):
            code = await asyncio.to_thread(COMMAND.run, options)
        return code, said.getvalue()

    await fill()
    await fetch("POST")
    stats = (await process.tell("/plugins/all/cache/stats"))["workers"]
    assert [each["purges"] for each in stats] == [1, 1], "whoever got it has told the other before it answered"
    assert {await fetch() for _ in range(20)} >= {"sidegate; fwd=uri-miss; fwd-status=200; stored"}
    await fill()
    assert await command("purge", f"http://{host}:{port}/a") == (0, "2 answers taken out\n")
    assert await entries() == [0, 0]
    code, said = await command("warm", f"http://{host}:{port}/a")
    assert (code, said) == (0, "2 answered, 0 failed\n")
    assert await entries() == [1, 1]
    assert (await fetch()).startswith("sidegate; hit; ttl=")
    code, said = await command("stats")
    assert code == 0
    assert said.count("1 answers") == 2
