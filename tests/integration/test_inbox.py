"""inbox over real HTTP, real files and real processes: what was answered 202 reaches the target, whatever dies."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import hashlib
import hmac
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.services.queue import Query, State
from gateway.testing import origin, running


class Backend:
    """A service that can be told how to answer, and to be down; it keeps its port over that."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str, int]] = []
        """Body, event id and attempt of each request."""
        self.headers: list[Any] = []
        self.answer: Callable[[int], web.Response] = lambda _number: web.Response(status=200)
        """From the number of the request."""
        self.delay = 0.0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._runner: web.AppRunner | None = None

    async def _handle(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode("latin-1")
        self.got.append((body, request.headers["Sidegate-Event-Id"], int(request.headers["Sidegate-Attempt"])))
        self.headers.append(request.headers)
        if self.delay:
            await asyncio.sleep(self.delay)
        return self.answer(len(self.got))

    async def up(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def down(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @property
    def bodies(self) -> set[str]:
        return {body for body, _, _ in self.got}


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    made = Backend()
    await made.up()
    yield made
    await made.down()


def config(path: Path, url: str, **settings: Any) -> dict[str, Any]:
    retry = {"base": "100ms", "max": "500ms"}
    return {
        "stores": {"durable": f"sqlite://{path}/queue.db"},
        "upstreams": {"service": {"targets": [url], "timeout": {"connect": "2s", "first_byte": "10s"}}},
        "routes": [
            {
                "name": "hooks",
                "match": {"path": "/hooks/"},
                "rewrite": {"strip_prefix": "/hooks"},
                "plugins": [{"plugin": "inbox", "with": {"retry": retry, "lease": "1s", "recovery": "1s", **settings}}],
                "upstream": "service",
            }
        ],
        "shutdown": {"drain": "5s"},
    }


async def send(url: str, *names: str) -> list[int]:
    async with aiohttp.ClientSession() as session:

        async def one(name: str) -> int:
            async with session.post(f"{url}/hooks/x", data=name, headers={"Webhook-Id": f"id-{name}"}) as answer:
                await answer.read()
                return answer.status

        return list(await asyncio.gather(*[one(name) for name in names]))


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


@pytest.fixture(params=["sqlite", "redis"])
def durable(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/queue.db"
    return str(request.getfixturevalue("redis_server").url)


async def test_a_target_that_is_down_gets_everything_when_it_is_back(
    tmp_path: Path, durable: str, backend: Backend, until: Any
) -> None:
    await backend.down()
    made = {**config(tmp_path, backend.url), "stores": {"durable": durable}}
    async with running(json.dumps(made)) as gateway:
        assert set(await send(gateway.url, *names("a", 30))) == {202}
        assert await send(gateway.url, "a1") == [202]
        await until(lambda: gateway.runtime.upstreams["service"].targets[0].tally.failed.value)
        assert not backend.got
        await backend.up()
        await until(lambda: backend.bodies == set(names("a", 30)))
        await gateway.ended(31 + 30)
    assert {event for _, event, _ in backend.got} == {f"id-{name}" for name in names("a", 30)}
    assert len(backend.got) == 30


async def test_what_the_target_sees_and_what_is_counted(tmp_path: Path, backend: Backend, until: Any) -> None:
    backend.answer = lambda number: web.Response(status=500 if number == 1 else 200)
    async with running(json.dumps(config(tmp_path, backend.url))) as gateway:
        answer = await gateway.fetch(
            "POST",
            "/hooks/a/b?c=d",
            body=b"\x00\xff",
            headers={"X-Mine": "1", "Authorization": "Bearer x", "Sidegate-Attempt": "9", "Content-Type": "app/x"},
        )
        assert answer.status == 202
        await until(lambda: len(backend.got) == 2)
        exchanges = await gateway.ended(3)
        labels = {
            (row["name"], *map(str, values)): value
            for row in gateway.services.metrics.snapshot()
            for values, value in row["samples"]
        }
    first, second = backend.headers
    assert [each["Sidegate-Attempt"] for each in backend.headers] == ["1", "2"]
    assert first["Sidegate-Event-Id"] == second["Sidegate-Event-Id"] == answer.headers["Sidegate-Delivery-Id"]
    assert (first["X-Mine"], first["Content-Length"], first["X-Forwarded-For"]) == ("1", "2", "127.0.0.1")
    assert "Authorization" not in first
    assert first["traceparent"][3:35] == second["traceparent"][3:35]
    assert first["X-Request-Id"] == exchanges[0].request.id
    assert [each.status for each in exchanges] == [202, 500, 200]
    assert {each.request.route.name for each in exchanges} == {"hooks"}
    assert labels["requests_total", "hooks", "202"] == 1
    assert labels["requests_total", "delivery:hooks", "500"] == labels["requests_total", "delivery:hooks", "200"] == 1
    assert labels["delivery_delivered_total", "hooks", "inbox"] == 1


async def test_a_target_that_is_slow_busy_and_refuses(tmp_path: Path, backend: Backend, until: Any) -> None:
    answers = {
        "gone": lambda tries: web.Response(status=410, text="no such thing"),
        "busy": lambda tries: web.Response(status=429 if tries == 1 else 200, headers={"Retry-After": "1"}),
        "ill": lambda tries: web.Response(status=503 if tries < 3 else 200),
        "fine": lambda tries: web.Response(status=204),
    }
    backend.answer = lambda _number: answers[backend.got[-1][0]](backend.got[-1][2])
    slow = config(tmp_path, backend.url, deadline="300ms")
    async with running(json.dumps(slow)) as gateway:
        assert set(await send(gateway.url, *answers)) == {202}
        queue = await gateway.services.queue()

        async def settled() -> bool:
            (found,) = await queue.tally()
            return (found.ready, found.leased, found.dead) == (0, 0, 1)

        await until(settled)
        (dead,) = (await queue.find(Query(states=frozenset({State.DEAD})))).items
        assert (dead.labels["event"], dead.last.status, dead.last.detail) == ("id-gone", 410, "no such thing")
        tries = {body: max(number for other, _, number in backend.got if other == body) for body in answers}
        assert tries == {"gone": 1, "busy": 2, "ill": 3, "fine": 1}
        backend.delay = 0.5
        assert await send(gateway.url, "fine2") == [202]
        answers["fine2"] = answers["fine"]
        await until(lambda: ("fine2", "id-fine2", 2) in backend.got)
        backend.delay = 0
        await until(settled)


async def test_kill_and_restart_lose_nothing_that_was_accepted(
    tmp_path: Path, backend: Backend, gateway: Any, until: Any
) -> None:
    backend.delay = 0.02
    process = gateway(config(tmp_path, backend.url, concurrency=4))
    accepted: list[str] = []

    async def flood(prefix: str) -> None:
        for name in names(prefix, 1000):
            try:
                (status,) = await send(process.url, name)
            except (aiohttp.ClientError, OSError):
                return
            if status == 202:
                accepted.append(name)

    floods = [asyncio.ensure_future(flood(prefix)) for prefix in "abcdefgh"]
    await until(lambda: len(backend.got) > 20)
    process.signal(signal.SIGKILL)
    await process.ended()
    await asyncio.gather(*floods)
    before = backend.bodies
    assert set(accepted) - backend.bodies, "everything was delivered before the kill, which shows nothing"
    process.log_path.unlink()
    process.start()
    await until(lambda: set(accepted) <= backend.bodies)
    events = {body: {event for other, event, _ in backend.got if other == body} for body in accepted}
    assert all(ids == {f"id-{body}"} for body, ids in events.items())
    counted = collections.Counter(body for body, _, _ in backend.got)
    assert all(count <= 2 for count in counted.values())
    assert {body for body, count in counted.items() if count == 2} <= before, "only what was under way comes twice"


async def test_two_workers_accept_and_one_delivers(tmp_path: Path, backend: Backend, gateway: Any, until: Any) -> None:
    process = gateway({"workers": 2, **config(tmp_path, backend.url)})
    sent = names("w", 60)
    for start in range(0, 60, 10):
        assert set(await send(process.url, *sent[start : start + 10])) == {202}
    await until(lambda: backend.bodies == set(sent))

    async def counted() -> bool:
        return bool(await process.metric("delivery_delivered_total") == 60)

    await until(counted)
    assert len(backend.got) == 60
    assert await process.metric("inbox_accepted_total") == 60
    assert await process.metric("queue_up") == 1
    queue = (await process.tell("/readyz"))["queue"]
    assert (queue["ok"], queue["stranded"]) == (True, {})
    backend.delay = 0.05
    more = names("x", 40)
    for start in range(0, 40, 10):
        assert set(await send(process.url, *more[start : start + 10])) == {202}
    (owner,) = [each["pid"] for each in (await process.tell("/workers"))["workers"] if each["worker"] == 0]
    os.kill(owner, signal.SIGKILL)  # the one that delivers: it is started again, and goes on
    await until(lambda: backend.bodies == {*sent, *more})


async def test_a_reload_changes_where_it_goes_and_a_route_that_is_gone_shows(
    tmp_path: Path, backend: Backend, gateway: Any, until: Any
) -> None:
    await backend.down()
    first = config(tmp_path, backend.url)
    process = gateway(first)
    assert set(await send(process.url, *names("r", 5))) == {202}
    without = {"upstreams": first["upstreams"], "routes": [{**first["routes"][0], "name": "other"}]}
    process.write(without)

    async def stranded() -> bool:
        state = (await process.tell("/readyz"))["queue"]
        return bool(state["stranded"] == {"inbox/hooks/inbox": 5})

    await until(stranded)
    assert "queue: nobody delivers inbox/hooks/inbox" in (await process.tell("/readyz"))["failing"]
    async with origin(200) as elsewhere:
        process.write({"upstreams": {"service": {"targets": [elsewhere.url]}}})
        await until(lambda: set(elsewhere.bodies) == {name.encode() for name in names("r", 5)})
    assert not backend.got


async def test_sigterm_ends_in_order_and_what_is_left_is_delivered_by_the_next(
    tmp_path: Path, backend: Backend, gateway: Any, until: Any
) -> None:
    backend.delay = 0.1
    process = gateway(config(tmp_path, backend.url, concurrency=2))
    assert set(await send(process.url, *names("t", 40))) == {202}
    await until(lambda: len(backend.got) > 2)
    process.signal(signal.SIGTERM)
    assert await process.ended() == 0
    assert len(backend.bodies) < 40
    process.log_path.unlink()
    process.start()
    await until(lambda: len(backend.bodies) == 40)
    assert len(backend.got) == 40, "what was under way had time to end, so nothing came twice"


async def test_a_client_that_leaves_in_mid_upload_leaves_nothing(tmp_path: Path, backend: Backend) -> None:
    async with running(json.dumps(config(tmp_path, backend.url))) as gateway:
        host, _, port = gateway.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /hooks/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(b"half")
        await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await gateway.ended(1)
        queue = await gateway.services.queue()
        assert await queue.tally() == []
    assert not backend.got


async def test_behind_a_verified_signature_each_event_is_kept_once_and_none_is_lost_to_a_full_queue(
    tmp_path: Path, backend: Backend, until: Any
) -> None:
    """Both remember events; what the inbox could not keep, neither may believe to have."""
    await backend.down()
    made = config(tmp_path, backend.url)
    signature = {"plugin": "webhook_signature", "with": {"provider": "github", "secrets": ["s3cret"]}}
    made["routes"][0]["plugins"].insert(0, signature)

    async def event(gateway: Any, number: int, secret: bytes = b"s3cret") -> int:
        body = b'{"number": %d}' % number
        signed = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
        headers = {
            "X-Hub-Signature-256": signed,
            "X-GitHub-Delivery": f"d-{number}",
            "Content-Type": "application/json",
        }
        answer = await gateway.fetch("POST", "/hooks/github", headers=headers, body=body)
        return int(answer.status)

    async with running(json.dumps({**made, "queue": {"max_items": 2}})) as gateway:
        assert await event(gateway, 0, b"forged") == 401
        assert [await event(gateway, number) for number in (1, 1, 2, 3, 3)] == [202, 200, 202, 503, 503]
        await gateway.reload(json.dumps({**made, "queue": {"max_items": 3}}))
        assert [await event(gateway, 3), await event(gateway, 3)] == [202, 200]
        await backend.up()
        await until(lambda: len(backend.bodies) == 3)
    assert sorted(event for _, event, _ in backend.got) == ["d-1", "d-2", "d-3"]
