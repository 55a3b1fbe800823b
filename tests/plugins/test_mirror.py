"""mirror: who is copied, that nobody waits for it, and what is found when answers are compared."""

import asyncio

import pytest
from pydantic import ValidationError

from gateway.errors import ClientClosed, ConnectFailed, Forbidden
from gateway.testing import Chunks, answering, opened, ports, read, request, settings_of
from plugins.mirror import Mirror

EXAMPLE = {"upstream": "shadow"}
JSON = {"Content-Type": "application/json"}


class Target:
    """The other upstream: holds every copy until it is told to go on."""

    def __init__(self):
        self.arrived = asyncio.Event()
        self.proceed = asyncio.Event()
        self.calls = 0

    async def __call__(self, _asked):
        self.calls += 1
        self.arrived.set()
        await self.proceed.wait()
        return await answering(200)(_asked)


def given(shadow):
    made = ports()
    made.upstreams["shadow"] = shadow
    return made


def count(it, outcome, name="mirror_requests_total"):
    return it.ports.value(name, "test", "mirror", outcome)


@pytest.mark.parametrize(
    ("settings", "asked", "copied"),
    [
        pytest.param({}, {}, True, id="GET"),
        pytest.param({}, {"method": "HEAD"}, True, id="HEAD"),
        pytest.param({}, {"method": "POST", "body": "x"}, False, id="POST does its work twice"),
        pytest.param({"methods": ["POST"]}, {"method": "POST", "body": "x"}, True, id="POST, if it is asked for"),
        pytest.param({"methods": ["POST"]}, {}, False, id="only what is named"),
        pytest.param({}, {"method": "GET", "chunks": [b"a", b"b"]}, True, id="a body that streams"),
    ],
)
async def test_who_is_copied(settings, asked, copied):
    shadow, target = answering(500, body="nobody sees this"), answering(200, body="hi")
    async with opened(Mirror, {**EXAMPLE, **settings}, ports=given(shadow)) as it:
        response = await it(request(path="/a?b=c", **asked), target)
        await it.ports.settled()
        assert (response.status, response.body.whole, target.calls) == (200, b"hi", 1)
        assert shadow.calls == copied
        if copied:
            assert (shadow.request.path, shadow.request.query) == ("/a", "b=c")
            assert shadow.request.headers["X-Mirrored"] == "test"
            assert shadow.body == target.body
            assert "X-Mirrored" not in target.request.headers
            assert count(it, "5xx") == 1
            assert it.ports.value("mirror_duration_seconds", "test", "mirror") == 1


async def test_a_share_is_copied():
    shadow = answering(200)
    async with opened(Mirror, {**EXAMPLE, "percent": "25%"}, ports=given(shadow)) as it:
        drawn = iter([0.1, 0.25, 0.24, 0.9])
        it.plugin._draw = lambda: next(drawn)
        for _ in range(4):
            await it()
        await it.ports.settled()
    assert shadow.calls == 2


async def test_an_upgrade_is_not_copied():
    asked, shadow = request(), answering(200)
    asked.upgrade = "websocket"
    async with opened(Mirror, EXAMPLE, ports=given(shadow)) as it:
        await it(asked)
        await it.ports.settled()
    assert shadow.calls == 0


async def test_secrets_may_be_left_out():
    shadow, target = answering(200), answering(200)
    settings = {**EXAMPLE, "remove": ["Authorization", "Cookie"], "header": "X-Copy"}
    async with opened(Mirror, settings, ports=given(shadow)) as it:
        await it(request(headers={"Authorization": "secret", "cookie": "c", "X-Copy": "forged"}), target)
        await it.ports.settled()
    assert {"Authorization", "Cookie"}.isdisjoint(shadow.request.headers)
    assert shadow.request.headers["X-Copy"] == "test"
    assert target.request.headers["Authorization"] == "secret"
    assert "X-Copy" not in target.request.headers, "a client's request must not pass for a copy"


async def test_what_plugins_further_in_change_is_not_in_the_copy():
    shadow = answering(200)

    async def inner(asked):
        asked.edit_headers()["X-Inner"] = "1"
        asked.path = "/changed"
        return await answering(200)(asked)

    async with opened(Mirror, EXAMPLE, ports=given(shadow)) as it:
        await it(request(path="/a"), inner)
        await it.ports.settled()
    assert (shadow.request.path, "X-Inner" in shadow.request.headers) == ("/a", False)


async def test_the_client_does_not_wait_and_room_is_bounded():
    shadow = Target()
    async with opened(Mirror, {**EXAMPLE, "max_in_flight": 2}, ports=given(shadow)) as it:
        for _ in range(5):
            assert (await it()).status == 200
        await shadow.arrived.wait()
        assert (shadow.calls, count(it, "full")) == (2, 3)
        shadow.proceed.set()
        await it.ports.settled()
        assert it.plugin._in_flight == 0
        await it()
        await it.ports.settled()
    assert shadow.calls == 3


@pytest.mark.parametrize(
    ("asked", "outcome"),
    [
        pytest.param({"body": "x" * 11}, "too_large", id="whole and too large"),
        pytest.param({"chunks": [b"x" * 6, b"y" * 6]}, "too_large", id="streamed and too large"),
        pytest.param({"chunks": Chunks([b"x"], error=ClientClosed())}, "cut", id="a client that leaves half-way"),
    ],
)
async def test_bodies_that_are_not_copied(asked, outcome):
    shadow = answering(200)
    async with opened(Mirror, {**EXAMPLE, "methods": ["POST"], "max_body": "10B"}, ports=given(shadow)) as it:
        await it(request("POST", **asked))
        await it.ports.settled()
        assert (shadow.calls, count(it, outcome), it.plugin._in_flight) == (0, 1, 0)


async def test_a_body_that_nobody_reads_is_not_copied():
    async def refuses(_asked):
        raise Forbidden

    shadow, asked = answering(200), request("POST", chunks=[b"x"])
    async with opened(Mirror, {**EXAMPLE, "methods": ["POST"]}, ports=given(shadow)) as it:
        await it(asked, refuses)
        assert (shadow.calls, count(it, "cut"), it.plugin._in_flight) == (0, 1, 0)


@pytest.mark.parametrize(
    ("shadow", "outcome"),
    [
        pytest.param(answering(error=ConnectFailed()), "failed", id="nobody there"),
        pytest.param(None, "failed", id="no such upstream any more"),
        pytest.param(Target(), "timeout", id="no answer"),
    ],
)
async def test_a_copy_that_fails_is_counted_and_nothing_else(shadow, outcome):
    made = given(shadow) if shadow is not None else ports()
    async with opened(Mirror, {**EXAMPLE, "deadline": "10ms", "compare": {}}, ports=made) as it:
        assert (await it()).status == 200
        await it.ports.settled()
        assert (count(it, outcome), it.plugin._in_flight) == (1, 0)
        assert count(it, "skipped", "mirror_compared_total") == 1


async def test_an_answer_is_read_up_to_a_limit_and_closed():
    shadow = answering(200, chunks=[b"x" * 600_000] * 5)
    async with opened(Mirror, EXAMPLE, ports=given(shadow)) as it:
        await it()
        await it.ports.settled()
    assert shadow.sources[0].closed
    assert shadow.sources[0].given <= 1_800_000


@pytest.mark.parametrize(
    ("first", "second", "settings", "result"),
    [
        pytest.param(answering(200, JSON, "{}"), answering(200, JSON, " {}"), {}, "same", id="the same"),
        pytest.param(answering(200, JSON, "{}"), answering(500, JSON, "{}"), {}, "status", id="status"),
        pytest.param(answering(200, JSON, "{}"), answering(200, JSON, "[]"), {}, "body", id="body"),
        pytest.param(answering(200, {"X": "1"}), answering(200, {"X": "2"}), {"headers": True}, "headers", id="fields"),
        pytest.param(answering(200, chunks=[b"a", b"b"]), answering(200, chunks=[b"ab"]), {}, "same", id="streams"),
        pytest.param(answering(200, chunks=[b"a", b"b"]), answering(200, body="ac"), {}, "body", id="other streams"),
        pytest.param(
            answering(200, body="x" * 20), answering(200, body="y" * 20), {"max_body": "10B"}, "skipped", id="too large"
        ),
        pytest.param(
            answering(200, body="x" * 20),
            answering(404, body="y"),
            {"max_body": "10B"},
            "status",
            id="still the status",
        ),
        pytest.param(answering(error=Forbidden()), answering(200), {}, "skipped", id="refused further in"),
    ],
)
async def test_answers_are_compared(first, second, settings, result):
    async with opened(Mirror, {**EXAMPLE, "compare": settings}, ports=given(second)) as it:
        response = await it(request(), first)
        await it.ports.settled()
        counts = {
            name: count(it, name, "mirror_compared_total") for name in ("same", "status", "headers", "body", "skipped")
        }
        assert {name for name, value in counts.items() if value} == {result}
        assert counts[result] == 1
        assert any("differ" in line for line in it.ports.lines) == (result in ("status", "headers", "body"))
    assert response.status in (200, 403)


async def test_a_client_that_leaves_half_way_is_not_compared():
    async with opened(Mirror, {**EXAMPLE, "compare": {}}, ports=given(answering(200))) as it:
        asked = request()
        response = await it.head(asked, answering(200, chunks=[b"a", b"b"]))
        await response.body.pull()
        it.leave(asked, response)
        await it.ports.settled()
        assert count(it, "skipped", "mirror_compared_total") == 1


async def test_differences_are_logged_once_a_window_and_hold_no_values():
    first, second = answering(200, JSON, '{"card":"4242"}'), answering(200, JSON, '{"card":"1111"}')
    async with opened(Mirror, {**EXAMPLE, "compare": {"log_every": "1m"}}, ports=given(second)) as it:
        for advance in (0, 1, 1, 60):
            it.ports.clock.advance(advance)
            await it(request(path="/orders/7?token=t"), first)
            await it.ports.settled()
        lines = [line for line in it.ports.lines if "differ" in line]
    begin = "warning gateway.plugins.mirror: mirror on test: "
    assert lines == [
        begin + "1 answers of shadow differ since the last such line; the last in body: /card",
        begin + "3 answers of shadow differ since the last such line; the last in body: /card",
    ]


async def test_a_large_answer_still_streams_to_the_client():
    source = answering(200, chunks=[b"x" * 60_000] * 4)
    async with opened(Mirror, {**EXAMPLE, "compare": {}}, ports=given(answering(200))) as it:
        response = await it.head(request(), source)
        assert response.body.whole is None
        assert len(await read(response)) == 240_000
        await it.ports.settled()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param({}, "required", id="no upstream"),
        pytest.param({**EXAMPLE, "percent": "0%"}, "greater than 0", id="nothing"),
        pytest.param({**EXAMPLE, "methods": ["get"]}, "methods", id="methods are written large"),
        pytest.param({**EXAMPLE, "compare": {"ignore_paths": ["a"]}}, "JSON Pointer", id="no pointer"),
    ],
)
def test_mistakes(settings, said):
    with pytest.raises(ValidationError, match=said):
        settings_of(Mirror, settings)


def test_unsafe_methods_are_doubtful():
    assert "second time" in Mirror.check(settings_of(Mirror, {**EXAMPLE, "methods": ["GET", "POST"]}))[0]
    assert not Mirror.check(settings_of(Mirror, EXAMPLE))
