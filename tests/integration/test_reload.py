"""Taking up a changed configuration in a real process: nothing is lost, nothing is half, a mistake changes nothing."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets
from aiohttp import web

from gateway.testing.authority import Authority

RELOADS = 100


class Load:
    """Requests without a pause until told to stop: over kept connections, and each over a new one."""

    def __init__(self) -> None:
        self.done = 0
        self.failed: list[str] = []
        self.stopping = False

    async def kept(self, url: str) -> None:
        async with aiohttp.ClientSession() as session:
            while not self.stopping:
                await self._one(session.get(f"{url}/kept"))
                await asyncio.sleep(0.002)

    async def posted(self, url: str) -> None:
        async with aiohttp.ClientSession() as session:
            while not self.stopping:
                await self._one(session.post(f"{url}/echo", data=b"x" * 100_000), 100_000)
                await asyncio.sleep(0.005)

    async def fresh(self, url: str) -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            while not self.stopping:
                await self._one(session.get(f"{url}/new"))
                await asyncio.sleep(0.005)

    async def _one(self, asking: Any, size: int = 2) -> None:
        try:
            async with asking as answer:
                body = await answer.read()
                if answer.status != 200 or len(body) != size:
                    self.failed.append(f"{answer.status} {body[:200]!r}")
        except (aiohttp.ClientError, OSError) as error:
            self.failed.append(repr(error))
        self.done += 1


@asynccontextmanager
async def service() -> AsyncIterator[str]:
    """Plain answers, an echo, a WebSocket echo and a stream of events."""

    async def plain(request: web.Request) -> web.StreamResponse:
        if request.path == "/ws":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            async for message in socket:
                await socket.send_str(message.data)
            return socket
        if request.path == "/events":
            stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await stream.prepare(request)
            for number in range(100_000):
                await stream.write(f"data: {number}\n\n".encode())
                await asyncio.sleep(0.02)
            return stream
        return web.Response(body=await request.read() if request.path == "/echo" else b"ok")

    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{rest:.*}", plain)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def generation(url: str, number: int, workers: int = 1) -> dict[str, Any]:
    """The nth configuration: an upstream, a header, plugins and a route's name change; the first route stays."""
    return {
        "workers": workers,
        "upstreams": {
            "same": {"targets": [url]},
            "changing": {"targets": [url], "timeout": {"connect": f"{2000 + number}ms"}},
        },
        "routes": [
            {"name": "same", "match": {"path": "/ws"}, "upstream": "same"},
            {
                "name": "all",
                "match": {"path": "/"},
                "upstream": "changing" if number % 2 else "same",
                "plugins": [
                    {"plugin": "headers", "with": {"response": {"set": {"X-Generation": str(number)}}}},
                    {"plugin": "size_limit", "with": {"other": f"{200 + number % 3}KB"}},
                ],
            },
            {"name": f"only-{number}", "match": {"path": f"/only-{number}"}, "upstream": "changing"},
        ],
    }


@pytest.mark.parametrize("workers", [pytest.param(1, id="one worker"), pytest.param(2, id="two workers")])
async def test_a_hundred_reloads_under_load_fail_not_one_request(gateway: Any, until: Any, workers: int) -> None:
    reloads = RELOADS if workers == 1 else RELOADS // 4
    async with service() as url:
        process = gateway(generation(url, 0, workers))
        load = Load()
        tasks = [asyncio.create_task(one(process.url)) for one in (load.kept, load.kept, load.posted, load.fresh)]
        events: list[int] = []
        stream = asyncio.create_task(_read_events(process.url, events))
        async with websockets.connect(process.url.replace("http", "ws") + "/ws") as socket:
            for number in range(1, reloads + 1):
                process.write(generation(url, number, workers))
                status, body, _ = await process.ask("/reload", "POST")
                assert status == 200, body
                await socket.send(f"{number}")
                assert await socket.recv() == f"{number}"
            async with aiohttp.ClientSession() as session, session.get(f"{process.url}/") as answer:
                assert answer.headers["X-Generation"] == str(reloads)
            seen = len(events)
            await until(lambda: len(events) > seen)
        load.stopping = True
        await asyncio.gather(*tasks)
        assert load.failed == []
        assert load.done > 2 * reloads
        assert events == list(range(len(events)))
        assert not stream.done()
        stream.cancel()
        await asyncio.gather(stream, return_exceptions=True)
        # A file change is told as well as POST; whoever came first took it up, and nothing was refused.
        assert await process.metric("config_reloads_total") >= reloads
        assert await process.metric("config_reloads_refused_total") == 0
        assert process.log().count('"level":"error"') == 0

        async def swept() -> bool:
            routes = {dict(labels).get("route") for _, labels in await process.metrics()} - {None}
            return routes == {"-", "same", "all", f"only-{reloads}"}

        await until(swept)
        assert await process.metric("requests_total", route="all", status="200") >= load.done
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0


async def _read_events(url: str, events: list[int]) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/events") as answer:
        while line := await answer.content.readline():
            if line.startswith(b"data: "):
                events.append(int(line[6:]))


async def test_a_websocket_whose_route_is_gone_is_told_so_and_others_stay(gateway: Any) -> None:
    async with service() as url:
        config = {
            "upstreams": {"service": {"targets": [url]}},
            "routes": [
                {"name": "going", "match": {"path": "/a/"}, "rewrite": {"strip_prefix": "/a"}, "upstream": "service"},
                {"name": "staying", "match": {"path": "/b/"}, "rewrite": {"strip_prefix": "/b"}, "upstream": "service"},
            ],
        }
        process = gateway(config)
        base = process.url.replace("http", "ws")
        async with websockets.connect(f"{base}/a/ws") as going, websockets.connect(f"{base}/b/ws") as staying:
            process.write({**config, "routes": config["routes"][1:]})
            assert (await process.ask("/reload", "POST"))[0] == 200
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await going.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
            await staying.send("still")
            assert await staying.recv() == "still"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("routes: [", "gateway.yaml:1", id="no YAML"),
        pytest.param("routs: []", "routs", id="an unknown key"),
        pytest.param(
            "{listeners: [{bind: 127.0.0.1:1}], routes: [{name: a, redirect: {to: /b}}]}",
            "restart",
            id="a restart is due",
        ),
        pytest.param('{"access_log": {"file": "/nowhere/at/all.log"}}', "access_log", id="a log that cannot be opened"),
        pytest.param("", "", id="an empty file"),
    ],
)
async def test_a_refused_configuration_changes_nothing_and_shows(
    gateway: Any, behind: Any, origin: Any, answering: Any, session: Any, text: str, words: str
) -> None:
    process = gateway({**behind((await origin(answering())).url), "reload": {"watch": False}})
    before = await process.tell("/config")
    process.write(text)
    status, body, _ = await process.ask("/reload", "POST")
    assert status == 409
    assert words in " ".join(json.loads(body)["problems"])
    async with session.get(f"{process.url}/x") as answer:
        assert (answer.status, await answer.read()) == (200, b"ok")
    assert await process.tell("/config") == before
    report = await process.tell("/readyz")
    assert report["ready"] is True
    assert (report["reload"]["ok"], report["reload"]["digest"]) == (False, before["digest"])
    assert await process.metric("config_last_reload_successful") == 0
    assert await process.metric("config_reloads_refused_total") == 1
    process.write({})
    assert (await process.ask("/reload", "POST"))[0] == 200
    assert (await process.tell("/readyz"))["reload"]["ok"] is True
    assert await process.metric("config_last_reload_successful") == 1


def greeting(words: str, path: str = "/") -> dict[str, Any]:
    return {
        "routes": [
            {"name": "all", "match": {"path": path}, "plugins": [{"plugin": "respond", "with": {"body": words}}]},
        ]
    }


async def test_a_changed_file_is_taken_up_by_itself_and_again(gateway: Any, session: Any, until: Any) -> None:
    process = gateway(greeting("one"))
    for words in ("two", "three"):
        process.write(greeting(words))
        await until(lambda words=words: _says(session, process, words))
    process.path.write_text(json.dumps({**process.config, **greeting("written in place")}))
    await until(lambda: _says(session, process, "written in place"))


async def _says(session: Any, process: Any, words: str) -> bool:
    async with session.get(process.url) as answer:
        return (await answer.text()) == words


async def test_sighup_reloads_without_a_watch_and_begins_a_new_log(gateway: Any, session: Any, until: Any) -> None:
    process = gateway({**greeting("one"), "reload": {"watch": False}}, begin=False)
    log = process.directory / "access.log"
    process.config["access_log"] = {"file": str(log)}
    process.start()
    assert await _says(session, process, "one")
    await until(lambda: log.read_text().count("\n") == 1)
    log.rename(log.with_suffix(".1"))
    process.write(greeting("two"))
    process.signal(signal.SIGHUP)
    await until(lambda: _says(session, process, "two"))
    await until(lambda: log.exists() and log.read_text())
    assert log.with_suffix(".1").read_text().count("\n") >= 1


async def test_a_mounted_configmap_is_taken_up_when_its_link_is_swapped(
    gateway: Any, session: Any, until: Any, tmp_path: Path
) -> None:
    """Kubernetes: gateway.yaml → ..data/gateway.yaml, ..data → ..1; an update puts another ..data in place."""
    process = gateway(greeting("one"), begin=False)
    mount = tmp_path / "mount"
    mount.mkdir()

    def publish(number: int, words: str) -> None:
        (mount / f"..{number}").mkdir()
        (mount / f"..{number}" / "gateway.yaml").write_text(json.dumps({**process.config, **greeting(words)}))
        (mount / "..new").symlink_to(f"..{number}")
        (mount / "..new").replace(mount / "..data")

    publish(1, "one")
    (mount / "gateway.yaml").symlink_to("..data/gateway.yaml")
    process.path = mount / "gateway.yaml"
    process.start()
    assert await _says(session, process, "one")
    for number, words in ((2, "two"), (3, "three")):
        publish(number, words)
        await until(lambda words=words: _says(session, process, words))


async def test_a_file_that_the_configuration_names_is_watched_too(
    gateway: Any, session: Any, until: Any, tmp_path: Path
) -> None:
    page = tmp_path / "pages" / "error.html"
    page.parent.mkdir()
    page.write_text("<p>first {status}</p>")
    process = gateway({**greeting("one", "/one"), "errors": {"html": {"file": str(page)}}})

    async def shown() -> str:
        async with session.get(process.url, headers={"Accept": "text/html"}) as answer:
            return str(await answer.text())

    assert await shown() == "<p>first 404</p>"
    page.write_text("<p>second {status}</p>")

    async def second() -> bool:
        return await shown() == "<p>second 404</p>"

    await until(second)


async def test_the_log_level_and_limits_follow_a_reload(gateway: Any, session: Any, until: Any) -> None:
    process = gateway({**greeting("one"), "log": {"level": "error"}}, begin=False)
    process.config["log"] = {"level": "info"}
    process.start()
    process.write({**greeting("one"), "limits": {"url": "1000B"}, "log": {"level": "info"}})
    status, body, _ = await process.ask("/reload", "POST")
    assert status == 200, body
    async with session.get(f"{process.url}/{'x' * 2000}") as answer:
        assert answer.status == 414
    await until(lambda: "in force" in process.log())
    said = len(process.log())
    process.write({**greeting("two"), "log": {"level": "error"}})
    assert (await process.ask("/reload", "POST"))[0] == 200
    process.signal(signal.SIGTERM)
    assert await process.ended() == 0
    assert process.log()[said:] == ""


async def test_settings_of_tls_need_no_restart(gateway: Any, behind: Any, until: Any, tmp_path: Path) -> None:
    authority = Authority()
    cert, key = authority.issue("a", dns=("localhost",)).write(tmp_path, "a")
    client = ssl.create_default_context(cafile=authority.write(tmp_path))
    client.maximum_version = ssl.TLSVersion.TLSv1_2

    def listener(**tls: Any) -> dict[str, Any]:
        return {"listeners": [{"bind": "127.0.0.1:0", "tls": {"cert": str(cert), "key": str(key), **tls}}]}

    async with service() as url:
        config = {**behind(url), "workers": 2}
        process = gateway({**config, **listener()})
        where = f"https://localhost:{process.address[1]}/"
        async with aiohttp.ClientSession() as session:
            async with session.get(where, ssl=client) as answer:
                assert answer.status == 200
            process.write({**config, **listener(min_version="1.3")})
            assert (await process.ask("/reload", "POST"))[0] == 200

            async def refused() -> bool:
                try:
                    async with aiohttp.ClientSession() as fresh, fresh.get(where, ssl=client):
                        return False
                except aiohttp.ClientConnectorError:
                    return True

            await until(refused)
            async with session.get(where, ssl=client) as answer:
                assert answer.status == 200, "an open connection stays"
        process.write({**config, **listener(client_ca=str(tmp_path / "none.crt"))})
        status, body, _ = await process.ask("/reload", "POST")
        assert status == 409
        assert b"client_ca" in body
        process.write({**config, "listeners": [{"bind": "127.0.0.1:0"}]})
        assert b"listeners[0].tls changed" in (await process.ask("/reload", "POST"))[1]
