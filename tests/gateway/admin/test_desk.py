"""The admin API's part about kept work, over a queue in memory."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.admin.desk import Desk
from gateway.services.clock import Clock
from gateway.services.masking import Masking
from gateway.services.queue import Attempt, Draft, QueueError, QueueUnavailable, State
from gateway.services.queue.message import VERSION, KeptRequest
from gateway.testing import MemoryQueue

BODY = b'{"password": "s3cr3t"}'


def kept() -> bytes:
    fields = [(b"Content-Type", b"application/json"), (b"Cookie", b"s3cr3t")]
    return KeptRequest(VERSION, "POST", "/hooks", "", "shop.example", "https", fields, BODY, 1.8e9, "r1").pack()


class Gateway:
    """What the desk asks of it."""

    def __init__(self) -> None:
        self.masking = Masking()
        self.held: Any = MemoryQueue(Clock())
        self.problem: Exception | None = None
        self.told: list[dict[str, Any]] = [{"erased": 2, "failed": []}, {"erased": 1, "failed": []}]
        self.erased: list[str] = []
        self.url = ""
        self.session: aiohttp.ClientSession

    async def queue(self) -> Any:
        if self.problem is not None:
            raise self.problem
        return self.held

    async def erase(self, subject: str) -> list[dict[str, Any]]:
        self.erased.append(subject)
        return self.told

    async def ask(self, method: str, path: str, **other: Any) -> tuple[int, Any]:
        async with self.session.request(method, self.url + path, **other) as answer:
            if "json" not in answer.content_type or "jsonl" in answer.content_type:
                return answer.status, await answer.text()
            return answer.status, await answer.json(content_type=None)

    async def fill(self) -> list[str]:
        ids = []
        for route, status in (("stripe", 503), ("github", 410)):
            draft = Draft(
                f"inbox/{route}/inbox",
                kept(),
                labels={"route": route},
                subject="alice",
                state=State.DEAD,
                last=Attempt(1, 1.8e9, 0.1, status, "bad"),
            )
            ids.append((await self.held.put(draft)).id)
        ids.append((await self.held.put(Draft("inbox/stripe/inbox", b"opaque", labels={"route": "stripe"}))).id)
        return ids


@pytest.fixture
async def desk() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    application = web.Application()
    Desk(gateway).add_routes(application.router)  # type: ignore[arg-type]
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as session:
        gateway.session = session
        yield gateway
    await runner.cleanup()


async def test_how_it_stands(desk: Gateway) -> None:
    await desk.fill()
    status, told = await desk.ask("GET", "/queue")
    assert status == 200
    assert {each["topic"]: (each["ready"], each["dead"]) for each in told["topics"]} == {
        "inbox/stripe/inbox": (1, 1),
        "inbox/github/inbox": (0, 1),
    }


@pytest.mark.parametrize(
    ("query", "count"),
    [
        pytest.param("", 3, id="all"),
        pytest.param("?state=dead", 2, id="by state"),
        pytest.param("?state=dead&state=ready", 3, id="by one of two states"),
        pytest.param("?route=stripe&status=503", 1, id="by route and status"),
        pytest.param("?limit=2", 2, id="a part"),
    ],
)
async def test_what_is_listed(desk: Gateway, query: str, count: int) -> None:
    await desk.fill()
    status, told = await desk.ask("GET", f"/queue/items{query}")
    assert (status, len(told["items"])) == (200, count)


async def test_one_item_is_shown_masked(desk: Gateway) -> None:
    ids = await desk.fill()
    status, told = await desk.ask("GET", f"/queue/items/{ids[0]}")
    assert (status, told["id"], told["request"]["method"]) == (200, ids[0], "POST")
    assert told["history"][0]["status"] == 503
    assert "s3cr3t" not in json.dumps(told)


async def test_an_export_has_the_original_bytes_and_is_not_cached(desk: Gateway) -> None:
    ids = await desk.fill()
    async with desk.session.get(f"{desk.url}/queue/export?state=dead") as answer:
        assert (answer.content_type, answer.headers["Cache-Control"]) == ("application/jsonl", "no-store")
        lines = [json.loads(line) for line in (await answer.text()).splitlines()]
    assert [each["id"] for each in lines] == ids[:2]
    assert base64.b64decode(lines[0]["request"]["body"]) == BODY


async def test_an_export_that_fails_is_cut_and_not_ended(desk: Gateway) -> None:
    await desk.fill()
    whole = desk.held

    async def export(query: Any) -> AsyncIterator[Any]:
        async for item in whole.export(query):
            yield item
            raise QueueUnavailable("the disk is gone")

    desk.held = SimpleNamespace(export=export, attempts=whole.attempts)
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        await desk.ask("GET", "/queue/export")


async def test_who_reads_an_export_may_leave(desk: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    await desk.fill()
    left, ended = asyncio.Event(), asyncio.Event()
    whole = desk.held

    async def export(query: Any) -> AsyncIterator[Any]:
        try:
            async for item in whole.export(query):
                yield item
                await left.wait()
                while True:
                    yield item
        finally:
            ended.set()

    desk.held = SimpleNamespace(export=export, attempts=whole.attempts)
    async with desk.session.get(f"{desk.url}/queue/export") as answer:
        assert await answer.content.readany()
        answer.close()
    left.set()
    await asyncio.wait_for(ended.wait(), 60)
    await asyncio.sleep(0)
    assert not caplog.records


async def test_a_body_in_no_charset_there_is(desk: Gateway) -> None:
    await desk.fill()
    headers = {"Content-Type": "application/json; charset=nonsense"}
    assert await desk.ask("POST", "/queue/erase", data=b'{"subject": "alice"}', headers=headers) == (200, {"items": 2})


@pytest.mark.parametrize(
    ("path", "states"),
    [
        pytest.param("/queue/replay?status=503", ["ready", "dead", "ready"], id="of those with a status"),
        pytest.param("/queue/replay?all=1", ["ready", "ready", "ready"], id="of all dead ones"),
        pytest.param("/queue/replay?status=503&dry_run=1", ["dead", "dead", "ready"], id="none in a dry run"),
    ],
)
async def test_a_replay(desk: Gateway, path: str, states: list[str]) -> None:
    ids = await desk.fill()
    status, told = await desk.ask("POST", path)
    assert status == 200
    assert told["items"] == (1 if "status" in path else 2)
    assert [(await desk.held.get(each)).state for each in ids] == states


async def test_a_purge_and_an_erasure(desk: Gateway) -> None:
    ids = await desk.fill()
    assert await desk.ask("POST", f"/queue/purge?id={ids[2]}&dry_run=1") == (200, {"items": 1, "dry_run": True})
    assert await desk.ask("POST", f"/queue/purge?id={ids[2]}") == (200, {"items": 1})
    assert await desk.ask("POST", "/queue/erase", json={"subject": "bob"}) == (200, {"items": 0})
    assert await desk.ask("POST", "/queue/erase", json={"subject": "alice"}) == (200, {"items": 2})


async def test_an_erasure_everywhere(desk: Gateway) -> None:
    await desk.fill()
    assert await desk.ask("POST", "/erase", json={"subject": "alice"}) == (
        200,
        {"items": 2, "answers": 3, "failed": []},
    )
    desk.problem = RuntimeError("no queue")
    assert (await desk.ask("POST", "/erase", json={"subject": "alice"}))[1]["items"] == 0
    assert desk.erased == ["alice", "alice"]


async def test_an_erasure_that_is_not_whole_says_so_and_goes_as_far_as_it_can(desk: Gateway) -> None:
    desk.problem = QueueUnavailable("disk full")
    desk.told[1]["failed"] = ["orders/idempotency: the store is away"]
    assert await desk.ask("POST", "/erase", json={"subject": "alice"}) == (
        503,
        {"items": 0, "answers": 3, "failed": ["queue: disk full", "orders/idempotency: the store is away"]},
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        pytest.param("GET", "/queue/items/none", None, 404, id="an item there is not"),
        pytest.param("GET", "/queue/items?state=alive", None, 400, id="a state there is not"),
        pytest.param("GET", "/queue/items?colour=red", None, 400, id="a parameter there is not"),
        pytest.param("GET", "/queue/items?limit=0", None, 400, id="no limit"),
        pytest.param("GET", "/queue/items?limit=nan", None, 400, id="a limit that is no number"),
        pytest.param("GET", "/queue/items?limit=100000", None, 400, id="more than a page"),
        pytest.param("POST", "/queue/replay", None, 400, id="a replay of nothing in particular"),
        pytest.param("POST", "/queue/replay?state=dead", None, 400, id="a state alone is nothing in particular"),
        pytest.param("POST", "/queue/replay?all=1&state=leased", None, 400, id="a replay of what is under way"),
        pytest.param("POST", "/queue/replay?all=1&rate=0", None, 400, id="a rate of nothing"),
        pytest.param("POST", "/queue/replay?all=1&dry_run=yes", None, 400, id="a word in the place of 1"),
        pytest.param("POST", "/queue/purge", None, 400, id="a purge of nothing in particular"),
        pytest.param("POST", "/queue/purge?route=", None, 400, id="a purge of a route that was left out"),
        pytest.param("POST", "/queue/replay?route=&status=503", None, 400, id="a replay of one that was left out"),
        pytest.param("HEAD", "/queue/export", None, 405, id="the head of an export"),
        pytest.param("POST", "/queue/erase", b"[" * 4000, 400, id="an erasure by what has no end"),
        pytest.param("GET", "/queue/purge?all=1", None, 405, id="a change by GET"),
        pytest.param("POST", "/queue/erase", b"alice", 400, id="an erasure without JSON"),
        pytest.param("POST", "/erase", b"alice", 400, id="an erasure everywhere without JSON"),
        pytest.param("POST", "/erase", b'{"subject": "\\ud800"}', 400, id="an erasure of what is no text"),
        pytest.param("GET", "/erase", None, 405, id="an erasure by GET"),
        pytest.param("POST", "/queue/erase", b'{"subject": ""}', 400, id="an erasure of nobody"),
        pytest.param("POST", "/queue/erase", b'["alice"]', 400, id="an erasure by a list"),
        pytest.param("POST", "/queue/erase", b" " * 5000, 400, id="a body far too long"),
    ],
)
async def test_mistakes_change_nothing(desk: Gateway, method: str, path: str, body: bytes | None, status: int) -> None:
    ids = await desk.fill()
    assert (await desk.ask(method, path, data=body))[0] == status
    assert [(await desk.held.get(each)).state for each in ids] == ["dead", "dead", "ready"]


async def test_a_place_in_the_listing_that_is_none_is_whoever_asks_mistake(desk: Gateway) -> None:
    async def find(*_: Any, **__: Any) -> None:
        raise QueueError("there is no such place in the listing")

    desk.held = SimpleNamespace(find=find)
    status, told = await desk.ask("GET", "/queue/items?after=nowhere")
    assert (status, told["detail"]) == (400, "there is no such place in the listing")


async def test_without_a_queue_or_while_it_fails(desk: Gateway) -> None:
    desk.problem = RuntimeError("none")
    assert (await desk.ask("GET", "/queue"))[0] == 404
    desk.problem = QueueUnavailable("disk full")
    assert (await desk.ask("GET", "/queue"))[0] == 503
    desk.problem = None
    desk.held.broken = True
    status, told = await desk.ask("POST", "/queue/purge?all=1")
    assert (status, told["code"]) == (503, "queue_unavailable")
