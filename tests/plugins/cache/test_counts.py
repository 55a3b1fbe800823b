"""What a cache counts, over several of them and over a reload."""

from gateway.testing import answering, opened, ports, request
from plugins.cache import Cache


async def test_gauges_tell_of_those_that_are_open():
    given = ports()
    async with opened(Cache, None, ports=given, id="one") as one, opened(Cache, None, ports=given, id="two"):
        await one(request(), answering(200, {"Cache-Control": "max-age=9"}, "x"))
        assert given.value("cache_entries", "test", "one") == 1
        assert given.value("cache_entries", "test", "two") == 0
        family = next(each for each in given.metrics.snapshot() if each["name"] == "cache_entries")
        assert len(family["samples"]) == 2


async def test_evictions():
    async with opened(Cache, {"memory": "1MB", "max_object": "100KB"}) as live:
        for number in range(60):
            await live(request("GET", f"/{number}"), answering(200, {"Cache-Control": "max-age=9"}, "x" * 50_000))
        assert live.ports.value("cache_evictions_total", "test", "cache") > 30
        assert live.ports.value("cache_memory_bytes", "test", "cache") <= 1_000_000


async def test_the_hit_ratio_is_of_the_last_minutes():
    given, target = ports(), answering(200, {"Cache-Control": "max-age=9000"}, "x")

    def told() -> list[float]:
        family = next(each for each in given.metrics.snapshot() if each["name"] == "cache_hit_ratio")
        return family["samples"][0][1]

    async with opened(Cache, None, ports=given) as live:
        assert told() == [0, 0]
        for _ in range(4):
            await live(request(), target)
        assert told() == [3, 4]
        given.clock.advance(200)
        assert told() == [3, 4]
        given.clock.advance(301)
        await live(request("POST"), target)
        assert told() == [0, 1], "the first four are longer ago than five minutes"
