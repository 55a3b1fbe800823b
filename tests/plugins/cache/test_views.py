"""cache's admin API: figures, purges, warming."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import ConnectFailed
from gateway.http import Response
from gateway.testing import answering, opened, ports, request
from plugins.cache import Cache


def view(live: Any, name: str) -> Any:
    return next(each.answer for each in live.plugin.admin() if each.name == name)


@pytest.mark.parametrize(
    ("query", "gone"),
    [
        pytest.param({"urls": "http://gateway.test/a"}, {"/a"}, id="a URL"),
        pytest.param({"urls": "https://GATEWAY.test:443/a"}, {"/a"}, id="a URL, however it is written"),
        pytest.param({"urls": "http://other.test/a"}, set(), id="another host's"),
        pytest.param({"urls": "/a"}, {"/a", "/a?x=1"}, id="a path, with any query"),
        pytest.param({"urls": "/a?x=1"}, {"/a?x=1"}, id="a path with a query"),
        pytest.param({"urls": "/a*"}, {"/a", "/a?x=1", "/a/b"}, id="a prefix"),
        pytest.param({"urls": "http://gateway.test/a/*"}, {"/a/b"}, id="a prefix with a host"),
        pytest.param({"urls": "/a/b /c"}, {"/a/b", "/c"}, id="two"),
        pytest.param({"groups": "g"}, {"/a", "/c"}, id="a group"),
        pytest.param({"groups": "g", "host": "other.test"}, set(), id="another host's group"),
        pytest.param({"groups": "x\nh"}, {"/c"}, id="two groups"),
        pytest.param({"urls": "*"}, {"/a", "/a?x=1", "/a/b", "/c"}, id="everything"),
    ],
)
async def test_purging(query: dict[str, str], gone: set[str]) -> None:
    groups = {"/a": '"g"', "/c": '"g", "h"'}
    async with opened(Cache, None) as live:
        for path in ("/a", "/a?x=1", "/a/b", "/c"):
            more = {"Cache-Groups": groups[path]} if path in groups else {}
            await live(request("GET", path), answering(200, {"Cache-Control": "max-age=60", **more}, path))
        found = await view(live, "purge")(query)
        assert found == {"purged": len(gone), "replicas_told": True}
        for path in ("/a", "/a?x=1", "/a/b", "/c"):
            target = answering(200, {"Cache-Control": "max-age=60"}, "new")
            await live(request("GET", path), target)
            assert target.calls == (1 if path in gone else 0), path


async def test_a_soft_purge_makes_stale() -> None:
    async with opened(Cache, {"stale_while_revalidate": "1m"}) as live:
        await live(request("GET", "/a"), answering(200, {"Cache-Control": "max-age=60"}, "old"))
        await view(live, "purge")({"urls": "/a", "soft": "true"})
        target = answering(200, {"Cache-Control": "max-age=60"}, "new")
        assert (await live(request("GET", "/a"), target)).body.whole == b"old"
        await live.ports.settled()
        assert target.calls == 1, "fetched anew, behind the client's back"
        assert (await live(request("GET", "/a"), target)).body.whole == b"new"


@pytest.mark.parametrize(
    "query",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"urls": "a"}, id="no URL and no path"),
        pytest.param({"urls": "/a*b"}, id="a star in the middle"),
        pytest.param({"urls": "ftp://a/b"}, id="another scheme"),
        pytest.param({"urls": "http://user@a/b"}, id="a user"),
        pytest.param({"urls": " ".join(["/a"] * 501)}, id="too many"),
    ],
)
async def test_what_cannot_be_purged(query: dict[str, str]) -> None:
    async with opened(Cache, None) as live:
        with pytest.raises(ValueError, match=r"expected|name one"):
            await view(live, "purge")(query)


async def test_warming_asks_through_the_routes() -> None:
    given = ports()
    async with opened(Cache, None, ports=given) as live:
        target = answering(200, {"Cache-Control": "max-age=60"}, "x")

        async def routes(asked: Any) -> Response:
            if asked.path == "/gone":
                raise ConnectFailed
            return await live.head(asked, target)

        given.routes = routes
        found = await view(live, "warm")(
            {"urls": "http://gateway.test/a?b=1 http://gateway.test/gone\nhttp://gateway.test"}
        )
        assert found == {"asked": 3, "answered": 2, "failed": 1, "late": 0}
        assert [(each.host, each.path, each.query) for each in target.requests] == [
            ("gateway.test", "/a", "b=1"),
            ("gateway.test", "/", ""),
        ]
        await live(request("GET", "/a?b=1"), target)
        assert target.calls == 2, "it was there"
        with pytest.raises(ValueError, match="expected a URL"):
            await view(live, "warm")({"urls": "/a"})
        with pytest.raises(ValueError, match="one to 500"):
            await view(live, "warm")({})


async def test_figures() -> None:
    async with opened(Cache, None) as live:
        target = answering(200, {"Cache-Control": "max-age=60"}, "x" * 1000)
        for _ in range(4):
            await live(request("GET", "/a"), target)
        await live(request("GET", "/b"), answering(200, {"Cache-Control": "no-store"}))
        found = await view(live, "stats")({})
        value = live.ports.value
        assert (found["entries"], found["hit_ratio"], found["requests"]["hit"]) == (1, 0.6, 3)
        assert 1000 < found["bytes"] < 3000
        assert value("cache_requests_total", "test", "cache", "hit") == 3
        assert value("cache_requests_total", "test", "cache", "miss") == 1
        assert value("cache_requests_total", "test", "cache", "pass") == 1
        assert value("cache_bytes_total", "test", "cache") == 3000
        assert value("cache_age_seconds", "test", "cache") == 3
        assert value("cache_unstored_total", "test", "cache", "no-store") == 1
        assert value("cache_memory_bytes", "test", "cache") == found["bytes"]
        assert value("cache_entries", "test", "cache") == 1
