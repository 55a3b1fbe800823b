"""Who asked what of the admin API, as the audit trail tells it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.admin import AdminServer
from gateway.config import load_text
from gateway.config.listener import Admin
from gateway.services.masking import Masking
from gateway.services.metrics import Metrics
from gateway.testing.ports import HeldAudit

TOKEN = "t0k3n-for-operators"


class Gateway:
    """As much of a gateway as is asked here."""

    loaded = load_text("routes: [{name: a, redirect: {to: /b}, match: {path: /a}}]", {})
    stopping = False
    checks: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - read only

    def __init__(self) -> None:
        self.audit = HeldAudit(Metrics(), Masking())
        self.asked: list[str] = []

    async def queue(self) -> Any:
        raise RuntimeError

    async def snapshots(self) -> list[Any]:
        return []

    async def statuses(self) -> list[dict[str, Any]]:
        return []

    def chains(self) -> list[dict[str, Any]]:
        return []

    def reload_outcome(self) -> dict[str, Any]:
        return {"ok": True, "problems": []}

    async def reload(self) -> bool:
        self.asked.append("reload")
        return True

    async def plugin_view(self, route: str, id: str, name: str, method: str, query: dict[str, str]) -> list[Any]:  # noqa: A002
        self.asked.append(name)
        if name == "breaks":
            self.audit.broken = "Input/output error"
        if name == "bad":
            raise ValueError
        return []


@pytest.fixture
def asked() -> Gateway:
    return Gateway()


@pytest.fixture
async def address(asked: Gateway) -> AsyncIterator[str]:
    server = AdminServer(asked)
    await server.start(Admin.model_validate({"bind": "127.0.0.1:0", "token": TOKEN}))
    yield f"http://{server.name}"
    await server.close()


async def ask(address: str, method: str, path: str, token: str = TOKEN, **options: Any) -> int:
    headers = {"Authorization": f"Bearer {token}", "User-Agent": "ops"}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, address + path, headers=headers, **options) as got,
    ):
        return got.status


@pytest.mark.parametrize(
    ("method", "path", "action", "result", "status"),
    [
        pytest.param("POST", "/reload", "reload", "success", 200, id="a reload"),
        pytest.param("POST", "/plugins/r/cache/purge?urls=/a", "plugin.purge", "success", 200, id="a plugin's view"),
        pytest.param("DELETE", "/plugins/r/x/bad", "plugin.bad", "failed", 400, id="one that says no"),
        pytest.param("POST", "/nowhere", "POST", "failed", 404, id="what does not exist"),
    ],
)
async def test_what_changes_something_is_recorded(
    asked: Gateway, address: str, method: str, path: str, action: str, result: str, status: int
):
    assert await ask(address, method, path) == status
    (event,) = asked.audit.events
    assert (event.kind, event.action, event.result) == ("admin", action, result)
    assert (event.resource, event.actor) == (path.partition("?")[0], f"token loopback:uid={os.getuid()}")
    assert event.facts == {"method": method, "status": status}
    assert event.details["client"] == "127.0.0.1"
    assert event.details["agent"] == "ops"
    assert event.details.get("query") == ({"urls": "/a"} if "?" in path else None)


@pytest.mark.parametrize("path", ["/metrics", "/routes", "/plugins/r/x/show"])
async def test_what_only_looks_is_not(asked: Gateway, address: str, path: str):
    assert await ask(address, "GET", path) == 200
    assert asked.audit.events == []


@pytest.mark.parametrize(("method", "path"), [("GET", "/config"), ("POST", "/reload")])
async def test_who_is_turned_away_is(asked: Gateway, address: str, method: str, path: str):
    assert await ask(address, method, path, token="wrong") == 401
    (event,) = asked.audit.events
    assert (event.result, event.actor, event.resource) == ("refused", "", path)
    assert asked.asked == []


async def test_what_carries_data_out_is_recorded_or_not_done(asked: Gateway, address: str):
    assert await ask(address, "GET", "/queue/export?state=dead") == 404  # there is no queue here
    (event,) = asked.audit.events
    assert (event.action, event.details["query"]) == ("queue.export", {"state": "dead"})
    asked.audit.broken = "No space left on device"
    assert await ask(address, "GET", "/queue/export") == 503
    assert await ask(address, "GET", "/queue/items") == 404


async def test_nothing_is_changed_that_cannot_be_recorded(asked: Gateway, address: str):
    asked.audit.broken = "No space left on device"
    assert await ask(address, "POST", "/plugins/r/cache/purge") == 503
    assert asked.asked == []
    assert await ask(address, "GET", "/plugins/r/cache/stats") == 200
    assert await ask(address, "POST", "/reload") == 200  # how the trail gets another place
    assert asked.asked == ["stats", "reload"]
    assert await ask(address, "POST", "/plugins/r/cache/purge", token="wrong") == 401


async def test_what_was_done_without_a_record_is_no_success(asked: Gateway, address: str):
    assert await ask(address, "POST", "/plugins/r/x/breaks") == 503


async def test_a_unix_socket_tells_who_it_is(asked: Gateway, tmp_path: Path):
    server = AdminServer(asked)
    path = tmp_path / "admin.sock"
    await server.start(Admin.model_validate({"bind": f"unix:{path}"}))
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
        session.post("http://localhost/reload") as got,
    ):
        assert got.status == 200
    await server.close()
    (event,) = asked.audit.events
    assert event.actor == f"unix:uid={os.getuid()},pid={os.getpid()}"
