"""Where answers are kept, and what becomes of them when the cache is loaded anew."""

from __future__ import annotations

from gateway.testing import answering, opened, ports, request, settings_of
from plugins.cache import Cache


async def test_what_is_stored_survives_a_reload_that_changes_no_key() -> None:
    given, target = ports(), answering(200, {"Cache-Control": "max-age=60"}, "x")
    async with opened(Cache, None, ports=given) as before:
        await before(request("GET", "/a"), target)
        context = before.plugin.context
        after = Cache(settings_of(Cache, {"stale_if_error": "1m", "memory": "5MB"}), context)
        other = Cache(settings_of(Cache, {"key": {"scheme": False}}), context)
        await after.open()
        await other.open()
        await before.plugin.close()
        try:
            assert (len(after.shelf.memory), after.shelf.memory.limit) == (1, 5_000_000)
            assert len(other.shelf.memory) == 0, "its keys mean something else"
        finally:
            await after.close()
            await other.close()
            assert len(given.shared) == 0


async def test_what_is_purged_is_found_no_more_by_any_cache_of_the_gateway() -> None:
    given, target = ports(), answering(200, {"Cache-Control": "max-age=60"}, "x")
    async with opened(Cache, None, ports=given, id="one") as one:
        other = Cache(settings_of(Cache, {}), one.plugin.context)
        await other.open()
        try:
            await one(request("GET", "/a"), target)
            await one(request("POST", "/b"), answering(200))
            entry = one.plugin.shelf.memory.find("http://gateway.test/a", {})
            assert entry is not None and not one.plugin.shelf.purged(entry)
            await one(request("POST", "/a"), answering(200))
            assert other.shelf.purges is one.plugin.shelf.purges
            assert one.plugin.shelf.purged(entry)
        finally:
            await other.close()


async def test_purges_that_are_forgotten_are_carried_out_before() -> None:
    async with opened(Cache, None) as live:
        for path in ("/a", "/b"):
            await live(request("GET", path), answering(200, {"Cache-Control": "max-age=60"}, "old"))
        for number in range(5000):
            await live(request("POST", "/a" if number == 0 else f"/x/{number}"), answering(200))
        log = live.plugin.shelf.purges
        assert "gateway.test/a" not in log.urls, "forgotten"
        for path, called in (("/a", 1), ("/b", 0)):
            target = answering(200, {"Cache-Control": "max-age=60"}, "new")
            await live(request("GET", path), target)
            assert target.calls == called, path


async def test_the_other_workers_of_a_gateway_are_told() -> None:
    one, other = ports(workers=2), ports(workers=2)

    async def send(topic: str, message: str) -> None:
        other.relay.deliver(topic, message)

    one.relay.send = send
    async with opened(Cache, None, ports=one) as first, opened(Cache, None, ports=other) as second:
        target = answering(200, {"Cache-Control": "max-age=60", "Cache-Groups": '"g"'}, "old")
        await second(request("GET", "/a"), target)
        await second(request("GET", "/b"), target)
        await first(request("POST", "/a"), answering(200))
        await second(request("GET", "/a"), target)
        assert target.calls == 3
        await first(request("POST", "/z"), answering(200, {"Cache-Group-Invalidation": '"g"'}))
        await second(request("GET", "/b"), target)
        assert target.calls == 4


async def test_what_is_kept_for_a_principal_is_erased() -> None:
    target = answering(200, {"Cache-Control": "private, max-age=60"}, "hers")
    async with opened(Cache, None) as live:
        for caller in ("alice", "bob", None):
            await live(request("GET", "/me", principal=caller), answering(200, {"Cache-Control": "max-age=60"}, "old"))
        before = len(live.plugin.shelf.memory)
        assert await live.plugin.erase("alice") == 1
        assert len(live.plugin.shelf.memory) == before - 1
        for caller, calls in (("bob", 0), (None, 0), ("alice", 1)):
            await live(request("GET", "/me", principal=caller), target)
            assert target.calls == calls
