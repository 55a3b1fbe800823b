"""A plugin under test lives as it does in the gateway."""

import asyncio

import pytest
from pydantic import ValidationError

from gateway.errors import Forbidden, TruncatedAnswer
from gateway.http import Attempt
from gateway.plugin import Duration, Plugin, Settings, Size
from gateway.testing import answering, exchange, opened, ports, request, settings_of


class LifeSettings(Settings):
    size: Size = 1
    wait: Duration = 1.0


class Life(Plugin[LifeSettings]):
    notes: list = []  # noqa: RUF012

    async def open(self):
        self.notes.append("open")
        if self.settings.size == 13:
            raise OSError("unlucky")

    async def close(self):
        self.notes.append("close")

    async def __call__(self, request, proceed):
        self.notes.append("call")
        return await proceed(request)

    def done(self, exchange):
        self.notes.append(f"done {exchange.status}{' aborted' if exchange.aborted else ''}")


@pytest.fixture(autouse=True)
def notes():
    Life.notes.clear()
    return Life.notes


async def test_a_whole_life(notes):
    response = await exchange(Life, None, request(), answering(chunks=[b"a", b"b"]))
    assert response.body.whole == b"ab"
    assert notes == ["open", "call", "done 200", "close"]


async def test_close_follows_an_open_that_failed(notes):
    with pytest.raises(OSError, match="unlucky"):
        await exchange(Life, {"size": "13B"})
    assert notes == ["open", "close"]


async def test_an_error_before_the_head_is_an_answer(notes):
    assert (await exchange(Life, None, request(), answering(error=Forbidden()))).status == 403
    assert notes[-2:] == ["done 403", "close"]


async def test_an_error_after_the_head_is_raised(notes):
    async with opened(Life) as live:
        with pytest.raises(TruncatedAnswer):
            await live(request(), answering(chunks=[b"a"], error=TruncatedAnswer()))
    assert notes == ["open", "call", "done 200 aborted", "close"]
    assert live.exchanges[0].error.code == "truncated_answer"


async def test_a_client_that_leaves(notes):
    target = answering(chunks=[b"a", b"b"])
    async with opened(Life) as live:
        asked = request()
        response = await live.head(asked, target)
        assert await response.body.pull() == b"a"
        live.leave(asked, response)
    assert target.sources[0].closed
    assert notes[2] == "done 200 aborted"
    assert live.exchanges[0].error.code == "client_closed_request"


async def test_a_client_that_leaves_before_the_head(notes):
    async def never(asked):
        await asyncio.Event().wait()

    async with opened(Life) as live:
        client = asyncio.ensure_future(live(request(), never))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        client.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client
    assert notes[2] == "done 499 aborted"


@pytest.mark.parametrize(
    ("given", "size", "wait"),
    [
        pytest.param(None, 1, 1.0, id="defaults"),
        pytest.param({"size": "2KB", "wait": "5m"}, 2000, 300.0, id="as in YAML"),
        pytest.param(LifeSettings(size=3), 3, 1.0, id="made already"),
    ],
)
async def test_settings(given, size, wait):
    async with opened(Life, given) as live:
        assert (live.plugin.settings.size, live.plugin.settings.wait) == (size, wait)


@pytest.mark.parametrize("given", [{"size": 5}, {"wait": "5"}, {"unknown": 1}])
def test_settings_that_yaml_would_not_take(given):
    with pytest.raises(ValidationError):
        settings_of(Life, given)


async def test_shadow_for_what_never_refuses_is_a_mistake():
    with pytest.raises(ValueError, match="never refuses"):
        await exchange(Life, mode="shadow")


async def test_time_stands_still_unless_it_is_turned():
    async with opened(Life) as live:

        async def slow(asked):
            live.ports.clock.advance(2.5)
            return await answering()(asked)

        await live(request("POST", body="abc"), slow)
    (ended,) = live.exchanges
    assert (ended.duration, ended.received_bytes, ended.sent_bytes) == (2.5, 3, 0)


async def test_when_is_kept():
    async with opened(Life, when=lambda asked: asked.method == "POST") as live:
        await live(request())
        await live(request("POST"))
    assert Life.notes.count("call") == 1


async def test_the_same_ports_for_several_instances():
    given = ports()
    async with opened(Life, ports=given, id="one") as one, opened(Life, ports=given, id="two") as two:
        assert one.ports is two.ports is given
        assert (one.plugin.context.id, two.plugin.context.id, one.plugin.context.plugin) == ("one", "two", "life")


async def test_a_plugin_of_the_attempt_chain_is_in_an_attempt():
    class Tries(Life):
        on_attempt = True

    target = answering()
    async with opened(Tries) as live:
        await live(request(), target)
        attempt = target.request.attempt
        assert (attempt.upstream, attempt.target, attempt.number) == ("test", "http://target.test", 1)
        assert attempt.deadline == live.ports.clock.now() + 60
        given = request()
        given.attempt = Attempt("orders", "http://other.test", 3, 7.0)
        await live(given, target)
        assert target.request.attempt.target == "http://other.test"
    await exchange(Life, None, request(), target)
    assert target.request.attempt is None
