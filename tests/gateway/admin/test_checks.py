"""Named checks: what each kind calls well, what a failure says, and what survives a reload."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.admin import Checks
from gateway.config.operation import Check


@pytest.fixture
async def checks() -> AsyncIterator[Checks]:
    made = Checks()
    yield made
    await made.close()


def check(**given: Any) -> Check:
    return Check.model_validate({"interval": 0.1, "timeout": 0.3, **given})


async def made(checks: Checks, until: Any, name: str = "it") -> dict[str, Any]:
    await until(lambda: checks.results[name]["ok"] is not None)
    return checks.results[name]


@pytest.mark.parametrize("status", [200, 204, 301, 399])
async def test_http_is_well_with_2xx_and_3xx(checks: Checks, service: Any, until: Any, status: int) -> None:
    target = await service(lambda seen: seen.answer(b"", status))
    checks.start({"it": check(http=f"{target.url}/up")})
    assert (await made(checks, until))["ok"] is True
    assert target.requests[0].line == "GET /up HTTP/1.1"


@pytest.mark.parametrize("status", [400, 404, 500, 503])
async def test_any_other_status_is_told(checks: Checks, service: Any, until: Any, status: int) -> None:
    target = await service(lambda seen: seen.answer(b"", status))
    checks.start({"it": check(http=target.url)})
    result = await made(checks, until)
    assert (result["ok"], str(status) in result["error"]) == (False, True)


async def test_nobody_listens(checks: Checks, refused_url: str, until: Any) -> None:
    address = refused_url.removeprefix("http://")
    password = "planted-0123456789"
    checks.start(
        {
            "http": check(http=refused_url),
            "tcp": check(tcp=address),
            "redis": check(redis=f"redis://:{password}@{address}/0", critical=True),
        }
    )
    for name in ("http", "tcp", "redis"):
        result = await made(checks, until, name)
        assert (result["ok"], result["kind"], result["critical"]) == (False, name, name == "redis")
        assert result["error"]
        assert password not in str(result)


async def test_silence_is_a_failure_in_time(checks: Checks, service: Any, until: Any) -> None:
    silent = await service(lambda _seen: asyncio.sleep(60))
    checks.start({"it": check(http=silent.url), "redis": check(redis=silent.url.replace("http", "redis"))})
    for name in ("it", "redis"):
        result = await made(checks, until, name)
        assert result["ok"] is False
        assert result["seconds"] >= 0.25


async def test_a_reload_keeps_what_is_the_same_and_forgets_what_is_gone(
    checks: Checks, service: Any, until: Any
) -> None:
    target = await service()
    same, going = check(tcp=target.url.removeprefix("http://")), check(http=f"{target.url}/going")
    checks.start({"same": same, "going": going})
    await made(checks, until, "same")
    await made(checks, until, "going")
    known = checks.results["same"]
    checks.start({"same": same, "new": check(http=f"{target.url}/new")})
    assert checks.results["same"] is known
    assert checks.results["new"]["ok"] is None
    assert set(checks.results) == {"same", "new"}
    assert (await made(checks, until, "new"))["ok"] is True
    asked = sum(seen.line.startswith("GET /going") for seen in target.requests)
    checked_at = known["checked_at"]
    await until(lambda: known["checked_at"] > checked_at)  # it goes on
    assert sum(seen.line.startswith("GET /going") for seen in target.requests) == asked


async def test_closing_ends_every_check(service: Any, until: Any) -> None:
    target = await service()
    checks = Checks()
    checks.start({"it": check(http=target.url)})
    await made(checks, until)
    await checks.close()
    assert not [task for task in asyncio.all_tasks() if "Checks._run" in repr(task)]
