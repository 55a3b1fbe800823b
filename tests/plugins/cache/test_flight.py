"""cache: many who ask for one thing at once, and what becomes of them when the fetch goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.errors import ConnectFailed, GatewayError, TruncatedAnswer
from gateway.http import Body, Request, Response
from gateway.testing import opened, ports, request
from plugins.cache import Cache
from plugins.cache.purge import Kind, Purge

FRESH = {"Cache-Control": "max-age=60"}


class Feed:
    """A body's source that a test fills by hand."""

    trailers = None

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | GatewayError] = asyncio.Queue()
        self.closed = False
        self.given = 0
        self.over = False

    async def read(self) -> bytes:
        if self.over:
            return b""
        got = await self.queue.get()
        if isinstance(got, GatewayError):
            raise got
        self.given += len(got)
        self.over = not got
        return got

    def close(self) -> None:
        self.closed = not self.over


class Target:
    """Answers when it is told to, with a body that streams if there is a feed."""

    def __init__(
        self, headers: dict[str, str], *, status: int = 200, body: bytes = b"", feed: Feed | None = None
    ) -> None:
        self.headers, self.status, self.body, self.feed = headers, status, body, feed
        self.asked: list[Request] = []
        self.go = asyncio.Event()
        self.answer: Callable[[Request], Response] | None = None

    async def __call__(self, asked: Request) -> Response:
        self.asked.append(asked)
        await self.go.wait()
        if self.answer is not None:
            return self.answer(asked)
        body = Body(None, self.feed) if self.feed is not None else Body(self.body)
        return Response(self.status, headers=self.headers, body=body)

    @property
    def calls(self) -> int:
        return len(self.asked)


async def drain(answer: Response) -> bytes:
    """What is left of a body."""
    got = b""
    while chunk := await answer.body.pull():
        got += chunk
    return got


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@asynccontextmanager
async def crowd(
    target: Target, count: int, settings: Any = None, **ask: Any
) -> AsyncIterator[tuple[Any, list[asyncio.Task[Response]]]]:
    """So many clients, all waiting for the same head."""
    async with opened(Cache, settings, ports=ports()) as live:
        clients = [asyncio.ensure_future(live.head(request("GET", "/a", **ask), target)) for _ in range(count)]
        await turns()
        try:
            yield live, clients
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)


async def test_a_thousand_for_one_thing_are_one_request():
    target = Target(FRESH, body=b"once")
    async with crowd(target, 1000) as (live, clients):
        assert target.calls == 1
        target.go.set()
        answers = await asyncio.gather(*clients)
        assert {answer.body.whole for answer in answers} == {b"once"}
        assert target.calls == 1
        assert live.ports.value("cache_requests_total", "test", "cache", "collapsed") == 999


async def test_a_thousand_for_one_thing_that_has_gone_stale_are_one_validation():
    target = Target({"Cache-Control": "max-age=2", "ETag": '"a"'}, body=b"once")
    target.go.set()
    async with opened(Cache, None, ports=ports()) as live:
        await live(request("GET", "/a"), target)
        live.ports.clock.advance(5)
        target.go.clear()
        target.answer = lambda _asked: Response(304, headers=FRESH)
        clients = [asyncio.ensure_future(live(request("GET", "/a"), target)) for _ in range(1000)]
        await turns()
        target.go.set()
        answers = await asyncio.gather(*clients)
    assert {(answer.status, answer.body.whole) for answer in answers} == {(200, b"once")}
    assert target.calls == 2
    assert target.asked[1].headers["If-None-Match"] == '"a"'


async def test_followers_read_along_while_the_body_arrives():
    feed = Feed()
    target = Target(FRESH, feed=feed)
    target.go.set()
    async with crowd(target, 3) as (live, clients):
        answers = await asyncio.gather(*clients)
        feed.queue.put_nowait(b"one ")
        assert [await answer.body.pull() for answer in answers] == [b"one "] * 3
        late = await live.head(request("GET", "/a"), target)
        assert await late.body.pull() == b"one ", "who comes later begins at the beginning"
        feed.queue.put_nowait(b"two")
        feed.queue.put_nowait(b"")
        assert [await drain(answer) for answer in answers] == [b"two"] * 3
        assert await late.body.pull() == b"two"
        assert await late.body.pull() == b""
        assert (await live(request("GET", "/a"), target)).body.whole == b"one two"
        assert target.calls == 1


async def test_a_target_that_dies_in_mid_body_takes_all_followers_with_it_and_nothing_is_kept():
    feed = Feed()
    target = Target(FRESH, feed=feed)
    target.go.set()
    async with crowd(target, 100) as (live, clients):
        answers = await asyncio.gather(*clients)
        feed.queue.put_nowait(b"half")
        assert {await answer.body.pull() for answer in answers} == {b"half"}
        feed.queue.put_nowait(TruncatedAnswer(reason="the target died"))
        errors = await asyncio.gather(*[answer.body.pull() for answer in answers], return_exceptions=True)
        assert {type(error) for error in errors} == {TruncatedAnswer}
        assert len({id(error) for error in errors}) == 100, "each has an error of its own"
        await live.ports.settled()
        assert len(live.plugin.shelf.memory) == 0
        target.feed = Feed()
        target.feed.queue.put_nowait(b"")
        await live(request("GET", "/a"), target)
        assert target.calls == 2, "nothing was kept"


async def test_a_fetch_goes_on_when_the_first_client_leaves():
    feed = Feed()
    target = Target(FRESH, feed=feed)
    target.go.set()
    async with crowd(target, 2) as (live, clients):
        first, second = await asyncio.gather(*clients)
        feed.queue.put_nowait(b"a")
        await first.body.pull()
        first.body.close()
        feed.queue.put_nowait(b"b")
        feed.queue.put_nowait(b"")
        assert await drain(second) == b"ab"
        assert (await live(request("GET", "/a"), target)).body.whole == b"ab"
        assert not feed.closed


async def test_a_fetch_goes_on_when_every_client_leaves_before_the_head():
    target = Target(FRESH, body=b"kept")
    async with crowd(target, 3) as (live, clients):
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        target.go.set()
        await live.ports.settled()
        assert (await live(request("GET", "/a"), target)).body.whole == b"kept"
        assert target.calls == 1


async def test_what_cannot_be_kept_goes_to_the_first_and_the_others_ask_for_themselves():
    target = Target({"Cache-Control": "private"}, body=b"mine")
    async with crowd(target, 10) as (live, clients):
        assert target.calls == 1
        target.go.set()
        await asyncio.gather(*clients)
        assert target.calls == 10
        again = [asyncio.ensure_future(live(request("GET", "/a"), target)) for _ in range(10)]
        target.go.clear()
        await turns()
        assert target.calls == 20, "nobody waits for anybody: it is remembered that there is nothing to wait for"
        target.go.set()
        await asyncio.gather(*again)
        live.ports.clock.advance(11)
        target.go.clear()
        later = [asyncio.ensure_future(live(request("GET", "/a"), target)) for _ in range(3)]
        await turns()
        assert target.calls == 21, "but not for ever"
        target.go.set()
        await asyncio.gather(*later)


async def test_an_answer_for_the_first_alone_is_closed_if_the_first_has_left():
    feed = Feed()
    target = Target({"Cache-Control": "no-store"}, feed=feed)
    async with crowd(target, 1) as (live, clients):
        clients[0].cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        target.go.set()
        await live.ports.settled()
        assert feed.closed


async def test_an_answer_for_the_first_alone_is_closed_if_the_first_leaves_in_the_same_moment():
    feed = Feed()
    target = Target({"Cache-Control": "no-store"}, feed=feed)
    async with crowd(target, 1) as (live, clients):
        target.go.set()
        (flight,) = live.plugin.flights.values()
        flight.landed.add_done_callback(lambda _landed: clients[0].cancel())
        await asyncio.gather(*clients, return_exceptions=True)
        await live.ports.settled()
        assert clients[0].cancelled()
        assert feed.closed


async def test_what_must_be_validated_is_handed_to_nobody_else():
    target = Target({"Cache-Control": "no-cache", "ETag": '"a"'}, body=b"x")
    async with crowd(target, 5) as (_, clients):
        target.go.set()
        await asyncio.gather(*clients)
        assert target.calls == 5


async def test_a_failure_is_everybodys_and_is_not_remembered():
    target = Target(FRESH)

    def fail(_asked: Request) -> Response:
        raise ConnectFailed(reason="nobody there")

    target.answer = fail
    async with crowd(target, 5) as (live, clients):
        target.go.set()
        answers = await asyncio.gather(*clients)
        assert [answer.status for answer in answers] == [502] * 5
        assert target.calls == 1
        target.answer = None
        assert (await live(request("GET", "/a"), target)).status == 200


async def test_a_bug_inside_reaches_those_who_wait():
    target = Target(FRESH)

    def fail(_asked: Request) -> Response:
        raise ZeroDivisionError

    target.answer = fail
    async with crowd(target, 3) as (_, clients):
        target.go.set()
        assert [answer.status for answer in await asyncio.gather(*clients)] == [500] * 3


async def test_followers_of_another_variant_do_not_get_this_one():
    target = Target({})
    target.answer = lambda asked: Response(200, headers={**FRESH, "Vary": "Foo"}, body=asked.headers["Foo"].encode())
    async with opened(Cache, None, ports=ports()) as live:
        clients = [
            asyncio.ensure_future(live(request("GET", "/a", headers={"Foo": str(n % 3)}), target)) for n in range(30)
        ]
        await turns()
        assert target.calls == 1, "nobody knows yet that it varies"
        target.go.set()
        answers = await asyncio.gather(*clients)
        assert [answer.body.whole for answer in answers] == [str(n % 3).encode() for n in range(30)]
        assert target.calls == 3, "one for each variant"


async def test_a_body_that_turns_out_too_large_streams_on_at_its_readers_pace():
    feed = Feed()
    target = Target(FRESH, feed=feed)
    target.go.set()
    settings = {"memory": "4MB", "max_object": "100KB"}
    async with crowd(target, 2, settings) as (live, clients):
        fast, slow = await asyncio.gather(*clients)
        piece = b"x" * 65536
        for _ in range(40):
            feed.queue.put_nowait(piece)
        feed.queue.put_nowait(b"")
        assert await fast.body.pull() == piece
        for _ in range(4):
            await fast.body.pull()
        await turns(50)
        assert feed.given < 20 * 65536, "the target is not read on while the slower one has not caught up"
        whole = await asyncio.gather(drain(fast), drain(slow))
        assert (len(whole[0]), len(whole[1])) == (35 * 65536, 40 * 65536)
        assert len(live.plugin.shelf.memory) == 0


async def test_a_body_too_large_whose_readers_have_left_is_given_up():
    feed = Feed()
    target = Target(FRESH, feed=feed)
    target.go.set()
    async with crowd(target, 1, {"memory": "4MB", "max_object": "100KB"}) as (live, clients):
        (answer,) = await asyncio.gather(*clients)
        for _ in range(4):
            feed.queue.put_nowait(b"x" * 65536)
        await answer.body.pull()
        answer.body.close()
        await live.ports.settled()
        assert feed.closed


async def test_a_body_known_to_be_too_large_is_not_collected():
    target = Target({**FRESH}, body=b"x" * 200_000)
    target.go.set()
    async with opened(Cache, {"memory": "4MB", "max_object": "100KB"}, ports=ports()) as live:
        answer = await live(request("GET", "/a"), target)
        assert "too-large" in answer.headers["Cache-Status"]
        assert len(live.plugin.shelf.memory) == 0


async def test_interim_answers_reach_those_who_wait_and_nobody_afterwards():
    informed: list[int] = []
    target = Target(FRESH)

    def answer(asked: Request) -> Response:
        assert asked.inform is not None
        asked.inform(103, ((b"Link", b"</s.css>"),))
        return Response(200, headers=FRESH)

    target.answer = answer
    async with opened(Cache, None, ports=ports()) as live:
        clients = []
        for _ in range(2):
            asked = request("GET", "/a")
            asked.inform = lambda status, _fields: informed.append(status)
            clients.append(asyncio.ensure_future(live(asked, target)))
        await turns()
        target.go.set()
        await asyncio.gather(*clients)
        assert informed == [103, 103]
        target.asked[0].inform(103, ())
        assert informed == [103, 103]


async def test_a_purge_while_a_fetch_is_under_way_keeps_its_answer_out():
    target = Target(FRESH, body=b"old")
    async with crowd(target, 1) as (live, clients):
        await live(request("POST", "/a", body="x"), answering_at_once())
        target.go.set()
        await asyncio.gather(*clients)
        target.body = b"new"
        assert (await live(request("GET", "/a"), target)).body.whole == b"new"


def answering_at_once() -> Target:
    target = Target({})
    target.go.set()
    return target


async def test_who_asks_after_a_purge_does_not_join_a_fetch_from_before_it():
    target = Target(FRESH, body=b"old")
    async with crowd(target, 2) as (live, clients):
        await live(request("POST", "/a", body="x"), answering_at_once())
        late = asyncio.ensure_future(live(request("GET", "/a"), target))
        await turns()
        assert target.calls == 2
        target.go.set()
        assert {answer.body.whole for answer in await asyncio.gather(*clients, late)} == {b"old"}
        assert target.calls == 2


async def test_a_client_that_leaves_an_unsafe_request_leaves_nothing_out_of_date_behind():
    target, slow = Target(FRESH, body=b"old"), Target({})
    target.go.set()
    async with opened(Cache, None, ports=ports()) as live:
        await live(request("GET", "/a"), target)
        client = asyncio.ensure_future(live(request("POST", "/a", body="x"), slow))
        await turns()
        client.cancel()
        await asyncio.gather(client, return_exceptions=True)
        await live.ports.settled()
        await live(request("GET", "/a"), target)
        assert target.calls == 2


async def test_bodies_under_way_are_bounded_all_together():
    async with opened(Cache, {"memory": "1MB", "max_object": "200KB"}, ports=ports()) as live:
        feeds, answers = [Feed() for _ in range(12)], []
        for number, feed in enumerate(feeds):
            target = Target(FRESH, feed=feed)
            target.go.set()
            answers.append(await live.head(request("GET", f"/{number}"), target))
            for _ in range(3):
                feed.queue.put_nowait(b"x" * 60_000)
        await turns(30)
        for feed in feeds:
            feed.queue.put_nowait(b"")
        assert [len(await drain(answer)) for answer in answers] == [180_000] * 12
        await live.ports.settled()
        assert live.ports.value("cache_unstored_total", "test", "cache", "busy") >= 1
        assert live.plugin.counts.buffered == 0


async def test_the_first_clients_log_knows_the_target():
    async def target(asked: Request) -> Response:
        asked.target, asked.attempts = "http://a:1", 2
        return Response(200, headers=FRESH)

    async with opened(Cache, None, ports=ports()) as live:
        asked = request("GET", "/a")
        await live(asked, target)
        assert (asked.target, asked.attempts) == ("http://a:1", 2)


async def test_early_refresh_is_one_fetch_in_the_background(monkeypatch: pytest.MonkeyPatch):
    target = Target({"Cache-Control": "max-age=100"}, body=b"x")
    async with crowd(target, 1) as (live, clients):
        live.ports.clock.advance(2)  # what the target takes
        target.go.set()
        await asyncio.gather(*clients)
        assert target.calls == 1
        monkeypatch.setattr("random.random", lambda: 0.999999)  # the most eager of draws
        live.ports.clock.advance(60)
        await live(request("GET", "/a"), target)
        assert target.calls == 1, "far from its end nobody draws"
        live.ports.clock.advance(30)
        answers = [await live(request("GET", "/a"), target) for _ in range(3)]
        await live.ports.settled()
        assert target.calls == 2
        assert {answer.headers["Cache-Status"].split(";")[1] for answer in answers} == {" hit"}


async def test_the_gateway_closes_while_a_fetch_is_under_way():
    target = Target(FRESH)
    async with opened(Cache, None, ports=ports()) as live:
        client = asyncio.ensure_future(live(request("GET", "/a"), target))
        await turns()
        await live.plugin.close()
        assert (await client).status >= 500


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def test_who_reads_nothing_holds_up_nobody_who_does(monkeypatch: pytest.MonkeyPatch):
    """Of a body too large to be kept: the others wait a while, and then without the one that does not move."""
    monkeypatch.setattr("plugins.cache.flight.PATIENCE", 0.05)
    feed = Feed()
    target = Target(FRESH, feed=feed)
    target.go.set()
    async with crowd(target, 3, {"memory": "4MB", "max_object": "100KB"}) as (_live, clients):
        fast, other, stalled = await asyncio.gather(*clients)
        for _ in range(40):
            feed.queue.put_nowait(b"x" * 65536)
        feed.queue.put_nowait(b"")
        async with asyncio.timeout(60):
            whole = await asyncio.gather(drain(fast), drain(other))
        assert [len(each) for each in whole] == [40 * 65536] * 2
        with pytest.raises(TruncatedAnswer):
            await drain(stalled)


async def test_one_who_reads_alone_may_take_all_the_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("plugins.cache.flight.PATIENCE", 0.01)
    feed = Feed()
    target = Target(FRESH, feed=feed)
    target.go.set()
    async with crowd(target, 1, {"memory": "4MB", "max_object": "100KB"}) as (_live, clients):
        (answer,) = await asyncio.gather(*clients)
        for _ in range(40):
            feed.queue.put_nowait(b"x" * 65536)
        feed.queue.put_nowait(b"")
        await asyncio.sleep(0.05)  # five times as long as others would be waited for
        assert len(await drain(answer)) == 40 * 65536


async def test_what_waits_for_its_readers_is_bounded_all_together():
    async with opened(Cache, {"memory": "1MB", "max_object": "200KB"}, ports=ports()) as live:
        feeds, answers = [Feed() for _ in range(12)], []
        for number, feed in enumerate(feeds):
            target = Target(FRESH, feed=feed)
            target.go.set()
            answers.append(await live.head(request("GET", f"/{number}"), target))
            for _ in range(20):
                feed.queue.put_nowait(b"x" * 60_000)
            feed.queue.put_nowait(b"")
        await turns(200)
        assert sum(feed.given for feed in feeds) < 2_500_000, "nobody reads, so no more is taken"
        assert live.plugin.counts.buffered >= 1_000_000, "and what was taken is accounted for"
        assert await asyncio.gather(*map(drain, answers)) == [b"x" * 1_200_000] * 12
        await live.ports.settled()
        assert live.plugin.counts.buffered == 0


async def test_a_body_that_nobody_waits_for_and_that_does_not_end_is_given_up():
    feed = Feed()
    target = Target(FRESH, feed=feed)
    target.go.set()
    async with crowd(target, 1, {"fetch_timeout": "50ms"}) as (live, clients):
        (answer,) = await asyncio.gather(*clients)
        feed.queue.put_nowait(b"drip")
        assert await answer.body.pull() == b"drip"
        answer.body.close()
        await until(lambda: feed.closed)
        await live.ports.settled()
        assert live.plugin.counts.in_flight == 0
        again = asyncio.ensure_future(live.head(request("GET", "/a"), target))
        await turns()
        assert target.calls == 2, "whoever comes then does not join it"
        again.cancel()


async def test_a_body_that_somebody_waits_for_is_not():
    feed = Feed()
    target = Target(FRESH, feed=feed)
    target.go.set()
    async with crowd(target, 1, {"fetch_timeout": "30ms"}) as (live, clients):
        (answer,) = await asyncio.gather(*clients)
        answer.body.close()
        joined = await live.head(request("GET", "/a"), target)
        await asyncio.sleep(0.1)  # more than thrice what it would be given
        feed.queue.put_nowait(b"late")
        feed.queue.put_nowait(b"")
        assert await drain(joined) == b"late"


async def test_a_validation_that_was_overtaken_does_not_bring_the_old_answer_back():
    """Two validate; the second is told of a new answer before the first is told that the old one still held."""
    gates = [asyncio.Event(), asyncio.Event()]
    asked: list[Request] = []

    async def target(request_: Request) -> Response:
        number = len(asked)
        asked.append(request_)
        headers = {"Cache-Control": "no-cache", "ETag": '"old"'}
        if number == 0:
            return Response(200, headers=headers, body=Body(b"old"))
        if number > 2:
            return Response(304, headers={**headers, "ETag": request_.headers["If-None-Match"]})
        await gates[number - 1].wait()
        if number == 1:
            return Response(304, headers=headers)
        return Response(200, headers={**headers, "ETag": '"new"'}, body=Body(b"new"))

    async with opened(Cache, None, ports=ports()) as live:
        await live(request("GET", "/a"), target)
        live.ports.clock.advance(1)
        clients = [asyncio.ensure_future(live(request("GET", "/a"), target)) for _ in range(2)]
        await turns()
        gates[1].set()
        assert (await clients[1]).body.whole == b"new"
        gates[0].set()
        assert (await clients[0]).body.whole == b"old", "it was asked for before"
        assert (await live(request("GET", "/a"), target)).body.whole == b"new"
        assert asked[-1].headers["If-None-Match"] == '"new"'


@pytest.mark.parametrize(
    ("what", "calls"),
    [
        pytest.param(None, 1, id="nothing is purged"),
        pytest.param(Purge(Kind.PATTERN, "/a*"), 2, id="it is, by a pattern"),
        pytest.param(Purge(Kind.URL, "gateway.test/a"), 2, id="it is, by its URL"),
        pytest.param(Purge(Kind.GROUP, "\ng"), 2, id="it is, by a group"),
        pytest.param(Purge(Kind.ALL, ""), 2, id="everything is"),
        pytest.param(Purge(Kind.URL, "gateway.test/b"), 1, id="another is"),
    ],
)
async def test_an_answer_to_a_post_from_before_a_purge_is_not_kept(what: Purge | None, calls: int):
    target = Target({**FRESH, "Content-Location": "/a", "Cache-Groups": '"g"'}, body=b"posted")
    async with opened(Cache, None, ports=ports()) as live:
        client = asyncio.ensure_future(live(request("POST", "/a", body="x"), target))
        await turns()
        if what is not None:
            await live.plugin.purge([what])
        target.go.set()
        await client
        await live(request("GET", "/a"), target)
        assert target.calls == calls
        assert live.plugin.counts.buffered == 0


@pytest.mark.parametrize("path", ["/a", "/b"])
async def test_of_posts_at_the_same_time_none_is_kept_that_another_has_outdated(
    monkeypatch: pytest.MonkeyPatch, path: str
):
    """The other's invalidation comes while ours is being told to the other workers."""
    target = Target({**FRESH, "Content-Location": "/a"}, body=b"posted")
    target.go.set()
    async with opened(Cache, None, ports=ports()) as live:
        told = live.plugin.shelf.purge

        async def telling(purges: Any, **given: Any) -> bool:
            done: bool = await told(purges, **given)
            await told([Purge(Kind.URL, f"gateway.test{path}")])
            return done

        monkeypatch.setattr(live.plugin.shelf, "purge", telling)
        await live(request("POST", "/a", body="x"), target)
        await live(request("GET", "/a"), target)
        assert target.calls == (2 if path == "/a" else 1)
