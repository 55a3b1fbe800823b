"""Requests that could not be answered in passing: where they go when waiting is of no use."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import GatewayError
from gateway.http import Response
from gateway.testing import answering, opened, request
from plugins import cache as module
from plugins.cache import Cache

FRESH = {"Cache-Control": "max-age=60"}


async def test_only_if_cached_is_a_problem_of_its_own() -> None:
    async with opened(Cache, None) as live:
        answer = await live(request(headers={"Cache-Control": "only-if-cached"}), answering(200))
        assert (answer.status, answer.error.code) == (504, "only_if_cached")


async def test_with_too_many_fetches_under_way_a_request_goes_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FLIGHTS", 1)
    go = asyncio.Event()

    async def slow(_asked: object) -> Response:
        await go.wait()
        return Response(200, headers=FRESH)

    async with opened(Cache, None) as live:
        first = asyncio.ensure_future(live(request("GET", "/a"), slow))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        answer = await live(request("GET", "/b"), answering(200, FRESH, "x"))
        assert answer.headers["Cache-Status"] == "sidegate; fwd=uri-miss; fwd-status=200; detail=busy"
        go.set()
        await first


async def test_an_origin_that_varies_by_ever_new_fields_does_not_hold_anybody_up() -> None:
    calls = 0

    async def moody(_asked: object) -> Response:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        return Response(200, headers={**FRESH, "Vary": f"X-{calls}"}, body=b"x")

    async with opened(Cache, None) as live:
        asked = [request("GET", "/a", headers={f"X-{number}": str(each) for number in range(9)}) for each in range(20)]
        answers = await asyncio.gather(*[live(each, moody) for each in asked])
        assert {answer.status for answer in answers} == {200}
        assert calls <= 60


async def test_what_is_cached_never_reaches_a_websocket() -> None:
    async with opened(Cache, None) as live:
        await live(request("GET", "/a"), answering(200, FRESH, "x"))
        asked = request("GET", "/a")
        asked.upgrade = "websocket"
        target = answering(101)
        assert (await live(asked, target)).status == 101
        assert target.calls == 1


async def test_a_body_with_a_get_passes_by() -> None:
    async with opened(Cache, None) as live:
        await live(request("GET", "/a"), answering(200, FRESH, "x"))
        target = answering(200)
        await live(request("GET", "/a", body="query"), target)
        assert (target.calls, target.body) == (1, b"query")


async def test_an_inner_refusal_is_not_kept_and_not_hidden() -> None:
    class Denied(GatewayError):
        code, status = "denied", 403

    async with opened(Cache, {"ttl": {"403": "1m"}}) as live:
        for _ in range(2):
            answer = await live(request("GET", "/a"), answering(error=Denied("no")))
            assert (answer.status, answer.error.code) == (403, "denied")
