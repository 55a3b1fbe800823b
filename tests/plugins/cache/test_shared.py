"""cache: the shared tier and the purges that replicas tell each other, with a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from gateway.http import Body, Request, Response
from gateway.services.store import open_store
from gateway.testing import answering, opened, ports, request
from plugins.cache import Cache

BOTH = {"tiers": ["memory", "shared"]}
FRESH = {"Cache-Control": "max-age=60"}
KEY = "0123456789abcdef0123456789abcdef"


@asynccontextmanager
async def replicas(url: str, count: int = 2, settings: Any = None, *, timeout: float = 5.0) -> AsyncIterator[list[Any]]:
    """Gateways of their own that share a Redis."""
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(count):
            store = await open_store(url, timeout=timeout)
            stack.push_async_callback(store.close)
            found.append(await stack.enter_async_context(opened(Cache, settings or BOTH, ports=ports(store=store))))
        for each in found:
            await until(lambda each=each: each.plugin.shelf._ledger.caught_up)
        yield found


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def written(live: Any) -> None:
    """Wait until nothing is on its way to the store."""
    await live.ports.settled()
    await until(lambda: not live.plugin.shelf._writes and not live.plugin.shelf._drops)


async def ask(live: Any, target: Any, path: str = "/a", **given: Any) -> bytes:
    answer = await live(request(given.pop("method", "GET"), path, **given), target)
    await written(live)
    return answer.body.whole


@pytest.mark.parametrize("settings", [pytest.param({}, id="plain"), pytest.param({"seal": [KEY]}, id="sealed")])
@pytest.mark.parametrize("size", [0, 10, 65536, 65537, 300_000])
async def test_what_one_has_fetched_the_other_has(redis_server: Any, settings: dict[str, Any], size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    target = answering(200, {**FRESH, "ETag": '"a"', "X": "ü"}, "")
    target._make = lambda: Response(200, headers={**FRESH, "ETag": '"a"', "X": "ü"}, body=Body(body[:size]))
    async with replicas(redis_server.url, 2, {**BOTH, **settings}) as (one, other):
        await ask(one, target)
        other.ports.clock.advance(7)
        answer = await other(request("GET", "/a"), target)
        assert (answer.body.whole, answer.headers["ETag"], answer.headers["X"]) == (body[:size], '"a"', "ü")
        assert answer.headers["Age"] == "7"
        assert target.calls == 1
        again = await other(request("GET", "/a", headers={"If-None-Match": '"a"'}), target)
        assert (again.status, target.calls) == (304, 1)


async def test_variants_and_callers_stay_apart(redis_server: Any) -> None:
    target = answering(200, {**FRESH, "Vary": "Foo"})
    target._make = lambda: Response(
        200, headers={**FRESH, "Vary": "Foo"},
        body=Body(f"{target.request.headers.get('Foo')} {getattr(target.request.principal, 'id', None)}".encode()),
    )  # fmt: skip
    async with replicas(redis_server.url) as (one, other):
        for live in (one, other):
            for foo in ("1", "2"):
                for caller in (None, "ann", "bob"):
                    got = await ask(live, target, headers={"Foo": foo}, principal=caller)
                    assert got.startswith(foo.encode())
                    assert (caller is None) == (b"None" in got)
                    assert caller is None or caller.encode() in got
        assert target.calls == 6


async def test_at_rest_nothing_can_be_read_and_nothing_changed_is_used(redis_server: Any) -> None:
    target = answering(200, {**FRESH, "X-Secret": "sesame-field"}, "sesame-body " * 10_000)
    async with replicas(redis_server.url, 2, {**BOTH, "seal": [KEY]}) as (one, other):
        await ask(one, target, "/sesame-path?who=sesame")
        import redis

        raw = redis.Redis.from_url(redis_server.url)
        names = [name for name in raw.scan_iter("*") if b"purges" not in name]
        values = [raw.hgetall(name) if raw.type(name) == b"hash" else raw.get(name) for name in names]
        assert len(names) >= 3
        assert b"sesame" not in b"".join(names) + repr(values).encode()
        for name in names:
            if raw.type(name) == b"hash":
                for field, value in raw.hgetall(name).items():
                    raw.hset(name, field, value[:-1] + bytes([value[-1] ^ 1]))
        await ask(other, target, "/sesame-path?who=sesame")
        assert (target.calls, other.plugin.shelf.shared.broken) == (2, 1)


async def test_a_new_key_opens_what_the_old_one_sealed(redis_server: Any) -> None:
    target, other_key = answering(200, FRESH, "x"), "f" * 32
    async with replicas(redis_server.url, 1, {**BOTH, "seal": [KEY]}) as (one,):
        await ask(one, target)
    async with replicas(redis_server.url, 1, {**BOTH, "seal": [other_key, KEY]}) as (one,):
        await ask(one, target)
        assert target.calls == 1
    async with replicas(redis_server.url, 1, {**BOTH, "seal": [other_key]}) as (one,):
        await ask(one, target)
        assert target.calls == 2


async def test_a_piece_that_is_gone_is_a_miss(redis_server: Any) -> None:
    target = answering(200, FRESH, "x" * 200_000)
    async with replicas(redis_server.url) as (one, other):
        await ask(one, target)
        import redis

        raw = redis.Redis.from_url(redis_server.url)
        raw.delete(next(iter(raw.scan_iter("*.2"))))
        await ask(other, target)
        assert target.calls == 2


async def test_what_is_stored_ends_by_itself(redis_server: Any) -> None:
    async with replicas(redis_server.url, 1) as (one,):
        await ask(one, answering(200, FRESH, "x" * 100_000))
        import redis

        raw = redis.Redis.from_url(redis_server.url)
        assert all(0 < raw.ttl(name) <= 60 + 60 + 60 for name in raw.scan_iter("*cache/*"))


async def test_the_shared_tier_alone(redis_server: Any) -> None:
    target = answering(200, FRESH, "x")
    async with replicas(redis_server.url, 1, {"tiers": ["shared"]}) as (one,):
        for _ in range(3):
            assert await ask(one, target) == b"x"
        assert (target.calls, len(one.plugin.shelf.memory)) == (1, 0)


async def test_many_who_look_for_one_thing_are_one_look(redis_server: Any) -> None:
    target = answering(200, FRESH, "x")
    async with replicas(redis_server.url) as (one, other):
        await ask(one, target)
        before = other.ports.store().counters.calls
        await asyncio.gather(*[other(request("GET", "/a"), target) for _ in range(50)])
        assert other.ports.store().counters.calls - before <= 2
        assert target.calls == 1


async def test_of_all_replicas_one_fetches_and_the_others_wait_for_it(redis_server: Any) -> None:
    asked, go = 0, asyncio.Event()

    async def slow(_asked: Request) -> Response:
        nonlocal asked
        asked += 1
        await go.wait()
        return Response(200, headers=FRESH, body=b"once")

    async with replicas(redis_server.url, 3) as gateways:
        clients = [asyncio.ensure_future(each(request("GET", "/a"), slow)) for each in gateways for _ in range(20)]
        await until(lambda: asked == 1)
        await asyncio.sleep(0.1)  # time enough for a second one to begin, were it to
        go.set()
        answers = await asyncio.gather(*clients)
        assert {answer.body.whole for answer in answers} == {b"once"}
        assert asked == 1
        assert sum("fetched-elsewhere" in answer.headers["Cache-Status"] for answer in answers) == 40


async def test_what_another_has_validated_by_now_is_not_validated_again(redis_server: Any) -> None:
    """Both have it in memory, and both find it stale."""
    target = answering(200, {"Cache-Control": "max-age=5", "ETag": '"a"'}, "x")
    async with replicas(redis_server.url) as (one, other):
        await ask(one, target)
        await ask(other, target)
        assert target.calls == 1
        for each in (one, other):
            each.ports.clock.advance(6)
        await ask(one, target)
        answer = await other(request("GET", "/a"), target)
        assert target.calls == 2
        assert "fetched-elsewhere" in answer.headers["Cache-Status"]


async def test_nobody_waits_for_the_answer_of_another_that_cannot_be_kept(redis_server: Any) -> None:
    asked = 0

    async def private(_asked: Request) -> Response:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.05)
        return Response(200, headers={"Cache-Control": "private"}, body=str(asked).encode())

    async with replicas(redis_server.url, 3) as gateways:
        answers = await asyncio.gather(*[each(request("GET", "/a"), private) for each in gateways])
        assert asked == 3
        assert len({answer.body.whole for answer in answers}) >= 1
        for each in gateways:
            await written(each)
            assert each.plugin.passing("http://gateway.test/a") is not None


async def test_a_replica_that_holds_the_turn_and_dies_holds_nobody_up_for_long(redis_server: Any) -> None:
    async with replicas(redis_server.url, 1, {**BOTH, "wait_elsewhere": "100ms"}) as (one,):
        turn = one.plugin.shelf.shared.turn("http://gateway.test/a", "gateway.test/a", 60.0)
        assert await turn.acquire()
        target = answering(200, FRESH, "x")
        assert await ask(one, target) == b"x"
        assert target.calls == 1


# -- purges ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        pytest.param("POST", "/a", {}, id="§4.4 an unsafe request"),
        pytest.param("POST", "/z", {"Location": "/a"}, id="§4.4 Location"),
        pytest.param("POST", "/z", {"Cache-Group-Invalidation": '"g"'}, id="RFC 9875 a group"),
        pytest.param("DELETE", "/declared", {}, id="declared by the operator"),
    ],
)
async def test_an_invalidation_reaches_other_replicas(
    redis_server: Any, method: str, path: str, headers: dict[str, str]
) -> None:
    settings = {**BOTH, "invalidate": [{"on": "DELETE /declared", "purge": ["/a*"]}]}
    old, new = answering(200, {**FRESH, "Cache-Groups": '"g"'}, "old"), answering(200, FRESH, "new")
    async with replicas(redis_server.url, 3, settings) as (one, other, third):
        for live in (one, other, third):
            assert await ask(live, old) == b"old"
        assert old.calls == 1
        await ask(one, answering(200, headers), path, method=method)
        for live in (other, third):
            await until(lambda live=live: live.plugin.shelf.purges.seq > 0)
        assert await ask(other, new) == b"new"
        assert await ask(one, old) == b"new", "from the shared store"
        assert await ask(third, old) == b"new"
        assert (old.calls, new.calls) == (1, 1)


async def test_a_purge_holds_for_a_replica_that_starts_later(redis_server: Any) -> None:
    old = answering(200, FRESH, "old")
    async with replicas(redis_server.url, 1) as (one,):
        await ask(one, old)
        await next(each.answer for each in one.plugin.admin() if each.name == "purge")({"urls": "/a*"})
    async with replicas(redis_server.url, 1) as (one,):
        assert await ask(one, answering(200, FRESH, "new")) == b"new"


async def test_what_was_fetched_before_a_purge_and_written_after_it_is_not_used(redis_server: Any) -> None:
    async with replicas(redis_server.url) as (one, other):
        go = asyncio.Event()

        async def slow(_asked: Request) -> Response:
            await go.wait()
            return Response(200, headers=FRESH, body=b"old")

        client = asyncio.ensure_future(other(request("GET", "/a"), slow))
        await asyncio.sleep(0)
        await ask(one, answering(200), method="POST")
        await until(lambda: other.plugin.shelf.purges.seq > 0)
        go.set()
        assert (await client).body.whole == b"old", "it had been asked for before"
        await written(other)
        assert await ask(one, answering(200, FRESH, "new")) == b"new"


async def test_messages_that_were_missed_are_read_in_the_log(redis_server: Any) -> None:
    async with replicas(redis_server.url) as (one, other):
        target = answering(200, FRESH, "old")
        for path in ("/a", "/b"):
            await ask(other, target, path)
        ledger = other.plugin.shelf._ledger
        taken = ledger._published
        ledger._hearing.deliver = lambda _message: None  # deaf for a while
        await ask(one, answering(200), "/a", method="POST")
        await asyncio.sleep(0.05)
        assert other.plugin.shelf.purges.seq == 0
        ledger._hearing.deliver = taken
        await ask(one, answering(200), "/zzz", method="POST")
        await until(lambda: ledger.log.seq == 2)
        assert await ask(other, answering(200, FRESH, "new"), "/a") == b"new"
        assert await ask(other, target, "/b") == b"old", "nothing else was forgotten"


async def test_a_store_that_was_emptied_makes_the_cache_begin_anew(redis_server: Any) -> None:
    async with replicas(redis_server.url) as (one, other):
        await ask(one, answering(200), "/x", method="POST")
        await ask(one, answering(200), "/y", method="POST")
        await until(lambda: other.plugin.shelf.purges.seq == 2)
        await ask(other, answering(200, FRESH, "old"))
        before = other.plugin.shelf.purges.fleet
        redis_server.command("FLUSHALL")
        await ask(one, answering(200), "/zzz", method="POST")
        await until(lambda: other.plugin.shelf.purges.fleet > before)
        await until(lambda: other.plugin.shelf._ledger.lost == 1)
        assert await ask(other, answering(200, FRESH, "new")) == b"new"


# -- a store in trouble ------------------------------------------------------------------------------------------------


async def test_a_store_that_is_killed_costs_nothing_but_the_sharing(start_redis: Any) -> None:
    server = start_redis()
    async with replicas(server.url, 1, timeout=0.2) as (one,):
        target = answering(200, FRESH, "x")
        await ask(one, target, "/a")
        server.kill()
        assert await ask(one, target, "/a") == b"x"
        assert await ask(one, target, "/b") == b"x"
        assert await ask(one, target, "/b") == b"x"
        assert target.calls == 2
        assert one.plugin.shelf.shared.failures > 0
        await ask(one, answering(200), "/a", method="POST")
        assert await ask(one, answering(200, FRESH, "new"), "/a") == b"new", "a purge holds here meanwhile"


async def test_a_store_that_stands_still_costs_one_deadline_and_not_one_for_each_request(start_redis: Any) -> None:
    server = start_redis()
    async with replicas(server.url, 1, timeout=0.2) as (one,):
        target = answering(200, FRESH, "x")
        await ask(one, target, "/a")
        server.pause()
        for number in range(10):
            assert await ask(one, target, f"/{number}") == b"x"
            assert await ask(one, target, f"/{number}") == b"x"
        counters = one.ports.store().counters
        assert (counters.timeouts, target.calls) == (1, 11), "known to be away, it is not asked"
        server.resume()
        await until(lambda: one.ports.store().state == "up")
        before = one.plugin.shelf.shared.written
        await ask(one, target, "/later")
        assert one.plugin.shelf.shared.written == before + 1


async def test_a_purge_made_while_the_store_is_away_reaches_the_others_when_it_is_back(start_redis: Any) -> None:
    server = start_redis()
    async with replicas(server.url, 2, timeout=0.2) as (one, other):
        await ask(other, answering(200, FRESH, "old"), "/a")
        server.pause()
        await ask(one, answering(200), "/a", method="POST")
        assert one.plugin.shelf._ledger._pending
        server.resume()
        await until(lambda: other.plugin.shelf.purges.seq > 0)
        await until(lambda: other.plugin.shelf.purges.fleet == one.plugin.shelf.purges.fleet > 0)
        assert await ask(other, answering(200, FRESH, "new"), "/a") == b"new"


async def test_a_store_that_is_full_is_a_miss(start_redis: Any) -> None:
    server = start_redis("--maxmemory", "1500kb", "--maxmemory-policy", "noeviction")
    async with replicas(server.url, 1, timeout=1.0) as (one,):
        for number in range(12):
            assert len(await ask(one, answering(200, FRESH, "x" * 300_000), f"/{number}")) == 300_000
        assert one.plugin.shelf.shared.failures > 0


async def test_an_erasure_leaves_nothing_in_the_store(redis_server: Any) -> None:
    target = answering(200, FRESH, "x" * 200_000)
    async with replicas(redis_server.url, 2) as (one, other):
        await ask(one, target, principal="alice")
        assert await one.plugin.erase("alice") >= 2
        assert await one.plugin.erase("alice") == 0
        await ask(other, target, principal="alice")
        assert target.calls == 2
