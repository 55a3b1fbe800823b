"""The admin API over a gateway of the test's own; the whole of it stands in ``tests/integration/test_admin.py``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from gateway.admin import AdminServer
from gateway.config import load_text
from gateway.config.listener import Admin
from gateway.services.masking import Masking
from gateway.services.metrics import Metrics
from gateway.testing.ports import HeldAudit

LOADED = load_text("routes: [{name: a, redirect: {to: /b}, match: {path: /a}}]", {})


class Gateway:
    """What the admin API asks; a broken part raises."""

    loaded = LOADED
    stopping = False
    checks: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - read only

    def __init__(self) -> None:
        self.audit = HeldAudit(Metrics(), Masking())
        self.broken: Exception | None = None
        self.takes_up = True
        self.asked: list[tuple[Any, ...]] = []

    async def snapshots(self) -> list[Any]:
        if self.broken is not None:
            raise self.broken
        return [Metrics().snapshot()]

    async def statuses(self) -> list[dict[str, Any]]:
        return [{"worker": 0, "upstreams": {}, "store": {"state": "up"}, "plugins": []}]

    async def errors(self) -> list[dict[str, Any]]:
        return [{"group": "abc", "count": 2}]

    def chains(self) -> list[dict[str, Any]]:
        return [{"name": "a"}]

    def reload_outcome(self) -> dict[str, Any]:
        return {"ok": self.takes_up, "problems": []}

    async def reload(self) -> bool:
        return self.takes_up

    async def plugin_view(self, route: str, id: str, name: str, method: str, query: dict[str, str]) -> list[Any]:  # noqa: A002
        if self.broken is not None:
            raise self.broken
        self.asked.append((route, id, name, method, query))
        return [{"told": True}]


Ask = Callable[..., Awaitable[tuple[int, Any]]]


@pytest.fixture
def asked() -> Gateway:
    return Gateway()


@pytest.fixture
async def ask(asked: Gateway) -> AsyncIterator[Ask]:
    server = AdminServer(asked)
    await server.start(Admin.model_validate({"bind": "127.0.0.1:0"}))
    async with aiohttp.ClientSession(f"http://{server.name}") as session:

        async def request(method: str, path: str) -> tuple[int, Any]:
            async with session.request(method, path) as answer:
                json = "json" in answer.content_type
                return answer.status, await (answer.json(content_type=None) if json else answer.text())

        yield request
    await server.close()
    await server.close()


async def test_a_plugins_view_gets_its_names_method_and_query(asked: Gateway, ask: Ask) -> None:
    assert await ask("DELETE", "/plugins/a/cache/entries?key=1&all=2") == (200, {"workers": [{"told": True}]})
    assert asked.asked == [("a", "cache", "entries", "DELETE", {"key": "1", "all": "2"})]


@pytest.mark.parametrize(
    ("broken", "status", "code", "says"),
    [
        pytest.param(LookupError("a/b/c"), 404, "not_found", "", id="nobody has it"),
        pytest.param(ValueError("`key` is missing"), 400, "bad_request", "`key` is missing", id="wrongly asked"),
        pytest.param(RuntimeError("inside"), 500, "internal_error", "", id="a bug tells nothing of itself"),
    ],
)
async def test_what_a_view_raises(
    asked: Gateway, ask: Ask, broken: Exception, status: int, code: str, says: str
) -> None:
    asked.broken = broken
    found, document = await ask("GET", "/plugins/a/b/c")
    assert (found, document["status"], document["code"]) == (status, status, code)
    assert says in document["detail"]
    assert "inside" not in str(document)


async def test_reload_says_how_it_went(asked: Gateway, ask: Ask) -> None:
    assert (await ask("POST", "/reload"))[0] == 200
    asked.takes_up = False
    assert (await ask("POST", "/reload"))[0] == 409


async def test_a_listener_on_a_unix_socket(asked: Gateway, tmp_path: Any) -> None:
    server = AdminServer(asked)
    await server.start(Admin.model_validate({"bind": f"unix:{tmp_path}/admin.sock"}))
    assert server.name == f"unix:{tmp_path}/admin.sock"
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(f"{tmp_path}/admin.sock")) as session,
        session.get("http://admin/healthz") as answer,
    ):
        assert answer.status == 200
    await server.close()
