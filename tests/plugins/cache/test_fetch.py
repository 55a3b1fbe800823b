"""What becomes of a fetch's answer where it is not the plain one."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from gateway.errors import ConnectFailed, FirstByteTimeout
from gateway.http import Body, Request, Response
from gateway.testing import Chunks, answering, opened, request
from plugins.cache import Cache
from plugins.cache.purge import Kind, Purge

SHORT = {"Cache-Control": "max-age=2", "ETag": '"a"'}


async def test_a_304_about_an_answer_that_we_have_not_is_followed_by_asking_for_the_whole() -> None:
    async with opened(Cache, None) as live:
        await live(request(), answering(200, SHORT, "old"))
        live.ports.clock.advance(5)
        asked = []

        async def confused(each: Request) -> Response:
            asked.append(each.headers.get("If-None-Match"))
            if asked[-1]:
                return Response(304, headers={"ETag": '"other"'})
            return Response(200, headers={**SHORT, "ETag": '"other"'}, body=b"new")

        assert (await live(request(), confused)).body.whole == b"new"
        assert asked == ['"a"', None]


async def test_a_304_that_names_no_validator_is_about_what_was_asked() -> None:
    async with opened(Cache, None) as live:
        await live(request(), answering(200, SHORT, "old"))
        live.ports.clock.advance(5)
        answer = await live(request(), answering(304, {"Cache-Control": "max-age=60"}))
        assert (answer.status, answer.body.whole) == (200, b"old")


async def test_a_304_that_forbids_storing_ends_it() -> None:
    async with opened(Cache, None) as live:
        await live(request(), answering(200, SHORT, "old"))
        live.ports.clock.advance(5)
        answer = await live(request(), answering(304, {"Cache-Control": "no-store", "ETag": '"a"'}))
        assert (answer.status, answer.body.whole, len(live.plugin.shelf.memory)) == (200, b"old", 0)


async def test_what_may_not_be_kept_any_more_takes_the_stored_one_with_it() -> None:
    async with opened(Cache, None) as live:
        await live(request(), answering(200, SHORT, "old"))
        live.ports.clock.advance(5)
        await live(request(), answering(200, {"Cache-Control": "private"}, "mine"))
        assert len(live.plugin.shelf.memory) == 0


async def test_a_target_that_never_answers_is_given_up() -> None:
    async def silent(_asked: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with opened(Cache, {"fetch_timeout": "20ms"}) as live:
        assert (await live(request(), silent)).error.code == "deadline_exceeded"
        assert live.plugin.flights == {}


async def test_a_body_that_breaks_off_is_not_kept_even_if_its_length_was_unknown() -> None:
    from gateway.errors import TruncatedAnswer

    async with opened(Cache, None) as live:
        target = answering(200, {"Cache-Control": "max-age=60"}, chunks=[b"a", b"b"], error=TruncatedAnswer())
        for _ in range(2):
            with contextlib.suppress(TruncatedAnswer):
                await live(request(), target)
        assert (target.calls, len(live.plugin.shelf.memory)) == (2, 0)


async def test_a_stream_is_kept_when_it_has_ended() -> None:
    async with opened(Cache, None) as live:
        target = answering(200, {"Cache-Control": "max-age=60"}, chunks=[b"a", b"b"], trailers={"T": "1"})
        first = await live(request(), target)
        await live.ports.settled()
        second = await live(request(), target)
        assert (first.body.whole, second.body.whole, target.calls) == (b"ab", b"ab", 1)


async def test_conditions_are_looked_at_while_a_body_streams() -> None:
    async with opened(Cache, None) as live:
        source = Chunks([b"x"] * 3)
        asked = request(headers={"If-None-Match": '"a"'})

        async def target(_asked: Request) -> Response:
            return Response(200, headers={"Cache-Control": "max-age=60", "ETag": '"a"'}, body=Body(None, source))

        answer = await live(asked, target)
        assert (answer.status, answer.body.whole) == (304, b"")
        await live.ports.settled()
        assert (await live(request(), answering(500))).body.whole == b"xxx"


async def test_what_was_stripped_of_its_conditions_and_cannot_be_kept_is_still_a_304() -> None:
    async with opened(Cache, None) as live:
        target = answering(200, {"Cache-Control": "private", "ETag": '"a"', "Content-Type": "a/b"}, chunks=[b"x"])
        answer = await live(request(headers={"If-None-Match": '"a"'}), target)
        assert (answer.status, answer.body.whole) == (304, b"")
        assert "Content-Type" not in answer.headers
        assert target.sources[0].closed
        again = await live(request(headers={"If-None-Match": '"a"'}), target)
        assert (again.status, target.request.headers["If-None-Match"]) == (200, '"a"'), "from now on it is passed on"


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        pytest.param({}, ConnectFailed(), id="no target"),
        pytest.param({"stale_if_error": "1m"}, FirstByteTimeout(), id="no answer"),
    ],
)
async def test_what_was_purged_while_a_fetch_failed_does_not_come_back(settings, error) -> None:
    async with opened(Cache, settings) as live:
        await live(request(), answering(200, SHORT, "old"))
        live.ports.clock.advance(5)

        async def failing(_asked: Request) -> Response:
            await live.plugin.purge([Purge(Kind.ALL, "")])
            raise error

        assert (await live(request(), failing)).error.code == error.code
