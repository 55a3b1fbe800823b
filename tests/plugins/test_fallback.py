"""fallback: when it answers, with what, and what it must not repeat."""

import pytest
from pydantic import ValidationError

from gateway.chain import disorders
from gateway.errors import (
    BadRequest,
    CircuitOpen,
    ConnectFailed,
    ConnectTimeout,
    FirstByteTimeout,
    GatewayError,
    MalformedAnswer,
    NoTarget,
    PoolExhausted,
    TooManyRequests,
    TotalTimeout,
    TruncatedAnswer,
    UpstreamReset,
)
from gateway.http import Response
from gateway.testing import answering, opened, ports, request, settings_of
from plugins.cache import Cache
from plugins.concurrency_limit import ConcurrencyLimit
from plugins.fallback import Fallback

EXAMPLE = {"answer": {"status": 503}}
SORRY = {"answer": {"status": 200, "json": {"items": []}}}
OTHER = {"upstream": "other"}
ALL = ("circuit_open", "no_target", "connect", "deadline", "budget", "overloaded", "broken")


class Busy(PoolExhausted):
    """As a plugin's own."""

    code = "busy_of_a_plugin"


def other(status=200, **given):
    made = ports()
    made.upstreams["other"] = answering(status, body="from the other", **given)
    return made


def spent(status=None):
    """A target that fails, and nothing is left of the retry budget."""

    async def fails(asked):
        asked.gave_up = "budget"
        if status is None:
            raise UpstreamReset
        return Response(status)

    return fails


@pytest.mark.parametrize(
    ("error", "on", "falls"),
    [
        pytest.param(CircuitOpen(), None, "circuit_open", id="the breaker is open"),
        pytest.param(NoTarget(), None, "no_target", id="no target"),
        pytest.param(ConnectFailed(), None, "connect", id="no connection"),
        pytest.param(ConnectTimeout(), None, "connect", id="no connection in time"),
        pytest.param(FirstByteTimeout(), None, "deadline", id="no first byte in time"),
        pytest.param(TotalTimeout(), None, "deadline", id="no answer in the total time"),
        pytest.param(UpstreamReset(), None, "", id="a reset, unless asked for"),
        pytest.param(UpstreamReset(), ALL, "broken", id="a reset, asked for"),
        pytest.param(MalformedAnswer(), ALL, "broken", id="nonsense, asked for"),
        pytest.param(PoolExhausted(), None, "", id="no room, unless asked for"),
        pytest.param(PoolExhausted(), ALL, "overloaded", id="no room, asked for"),
        pytest.param(Busy(), ALL, "overloaded", id="what is a kind of it"),
        pytest.param(BadRequest(), ALL, "", id="the client's own fault, never"),
        pytest.param(TooManyRequests(), ALL, "", id="a refusal, never"),
        pytest.param(FirstByteTimeout(), ("connect",), "", id="a deadline, where only connections are meant"),
    ],
)
async def test_which_errors_are_answered_for(error, on, falls):
    settings = SORRY if on is None else {**SORRY, "on": on}
    async with opened(Fallback, settings) as live:
        response = await live(request(), answering(error=error))
        assert response.status == (200 if falls else error.status)
        assert live.ports.value("fallbacks_total", "test", "fallback", falls, "answer") == (1 if falls else 0)
        assert ("X-Fallback" in response.headers) is bool(falls)


@pytest.mark.parametrize(
    ("settings", "target", "status"),
    [
        pytest.param(SORRY, spent(), 200, id="the budget is spent, after an error"),
        pytest.param(SORRY, spent(503), 200, id="the budget is spent, after a status"),
        pytest.param({**SORRY, "on": ["connect"]}, spent(), 502, id="but it is not asked for"),
        pytest.param({**SORRY, "on": ["connect"]}, spent(503), 503, id="nor for a status"),
        pytest.param(SORRY, answering(503), 503, id="a status that nobody named"),
        pytest.param({**SORRY, "statuses": [503]}, answering(503), 200, id="a status that is named"),
        pytest.param({**SORRY, "statuses": [503]}, answering(502), 502, id="another status"),
        pytest.param({**SORRY, "codes": ["rate_limited"]}, answering(error=TooManyRequests()), 200, id="a code"),
        pytest.param({**SORRY, "methods": ["POST"]}, answering(error=CircuitOpen()), 503, id="not this method"),
        pytest.param(SORRY, answering(200), 200, id="nothing is wrong"),
    ],
)
async def test_what_else_is_answered_for(settings, target, status):
    async with opened(Fallback, settings) as live:
        response = await live(request(), target)
        assert response.status == status


async def test_a_fixed_answer_is_what_was_asked_for_and_marked():
    answer = {"status": 503, "body": "soon", "content_type": "text/x", "headers": {"X-A": "b"}}
    error = CircuitOpen(reason="open", headers=(("Retry-After", "7"),))
    async with opened(Fallback, {"answer": answer}) as live:
        response = await live(request(), answering(error=error))
        assert (response.status, response.body.whole) == (503, b"soon")
        assert dict(response.headers) == {
            "X-A": "b",
            "Content-Type": "text/x",
            "Cache-Control": "no-store",
            "Retry-After": "7",
            "X-Fallback": "answer",
        }
        assert live.exchanges[0].request.error is error, "for the access log"
        (line,) = live.ports.lines
        assert "falls back to a fixed answer: circuit_open (open)" in line


async def test_two_answers_do_not_share_their_header_fields():
    async with opened(Fallback, SORRY) as live:
        first = await live.head(request(), answering(error=CircuitOpen()))
        first.edit_headers()["X-Mine"] = "1"
        assert "X-Mine" not in (await live(request(), answering(error=CircuitOpen()))).headers


async def test_the_mark_may_be_left_off():
    async with opened(Fallback, {**SORRY, "mark": None}) as live:
        assert "X-Fallback" not in (await live(request(), answering(error=CircuitOpen()))).headers


async def test_the_log_has_one_line_a_minute():
    async with opened(Fallback, SORRY) as live:
        for _ in range(5):
            await live(request(), answering(error=CircuitOpen()))
        live.ports.clock.advance(60)
        await live(request(), answering(error=CircuitOpen()))
        assert [line.rpartition("; ")[2] for line in live.ports.lines] == [
            "1 since the last such line",
            "5 since the last such line",
        ]


@pytest.mark.parametrize(
    ("method", "error", "given", "asked"),
    [
        pytest.param("GET", TotalTimeout(), {}, True, id="what may be repeated"),
        pytest.param("DELETE", TotalTimeout(), {}, True, id="whatever is idempotent"),
        pytest.param("POST", TotalTimeout(), {"body": b"x"}, False, id="not what a target may have carried out"),
        pytest.param("POST", FirstByteTimeout(), {"body": b"x"}, False, id="nor what is under way somewhere"),
        pytest.param("POST", CircuitOpen(), {"body": b"x"}, True, id="what was not sent"),
        pytest.param("POST", ConnectFailed(), {"chunks": [b"x"]}, True, id="a stream that nobody has begun"),
        pytest.param("PUT", TotalTimeout(), {"chunks": [b"x", b"y"]}, False, id="a stream that is gone"),
    ],
)
async def test_what_another_upstream_is_asked_with(method, error, given, asked):
    made = other()
    sent = request(method, "/", **given)

    async def fails(passed):
        if isinstance(error, TotalTimeout) and passed.body.whole is None:
            await passed.body.pull()
        raise error

    async with opened(Fallback, OTHER, ports=made) as live:
        response = await live(sent, fails)
        assert made.upstreams["other"].calls == int(asked)
        if asked:
            assert (response.body.whole, response.headers["X-Fallback"]) == (b"from the other", "upstream")
            assert made.upstreams["other"].body == (b"x" if given else b"")
        else:
            assert response.error is error


async def test_who_knows_that_it_may_be_repeated_says_so():
    made = other()
    sent = request("POST", "/", body=b"x")
    sent.repeatable = True
    async with opened(Fallback, OTHER, ports=made) as live:
        assert (await live(sent, answering(error=TotalTimeout()))).status == 200


@pytest.mark.parametrize(
    ("settings", "status", "by"),
    [
        pytest.param({**OTHER, "answer": {"status": 204}}, 204, "answer", id="then the fixed answer"),
        pytest.param(OTHER, 503, "none", id="or the first error"),
    ],
)
async def test_when_the_other_upstream_fails_too(settings, status, by):
    made = other(error=ConnectFailed())
    async with opened(Fallback, settings, ports=made) as live:
        response = await live(request(), answering(error=CircuitOpen()))
        assert response.status == status
        assert live.ports.value("fallbacks_total", "test", "fallback", "circuit_open", by) == 1
        assert "other failed, too: connect_failed" in live.ports.lines[0]


async def test_the_other_upstream_s_bad_status_is_its_answer_unless_there_is_a_fixed_one():
    settings = {**OTHER, "statuses": [503]}
    for more, status in (({}, 503), ({"answer": {"status": 200}}, 200)):
        async with opened(Fallback, {**settings, **more}, ports=other(503)) as live:
            assert (await live(request(), answering(error=CircuitOpen()))).status == status


@pytest.mark.parametrize(
    ("method", "settings", "status"),
    [
        pytest.param("HEAD", SORRY, 200, id="HEAD is safe"),
        pytest.param("POST", SORRY, 504, id="nobody is told that something was done which was not"),
        pytest.param("POST", {**SORRY, "methods": ["POST"]}, 200, id="unless the operator says so"),
        pytest.param("POST", {"answer": {"status": 503}}, 503, id="but that it was not"),
    ],
)
async def test_methods_and_fixed_answers(method, settings, status):
    async with opened(Fallback, settings) as live:
        assert (await live(request(method), answering(error=TotalTimeout()))).status == status


async def test_after_the_head_nothing_is_answered_for():
    async with opened(Fallback, {**SORRY, "on": ALL, "codes": ["truncated_answer"]}) as live:
        with pytest.raises(TruncatedAnswer):
            await live(request(), answering(chunks=[b"x"], error=TruncatedAnswer()))


async def test_a_tunnel_is_not_touched():
    async def switching(_request):
        response = Response(101)
        response.tunnel = object()
        return response

    async with opened(Fallback, {**SORRY, "statuses": [400]}) as live:
        response = await live.head(request(), switching)
        assert response.status == 101


async def test_the_target_s_stream_is_closed_when_something_else_is_answered():
    target = answering(503, chunks=[b"x"])
    async with opened(Fallback, {**SORRY, "statuses": [503]}) as live:
        response = await live(request(), target)
        assert response.body.whole == b'{"items":[]}'
        assert target.sources[0].closed


async def test_the_target_s_answer_stays_where_nothing_else_can_be_given():
    target = answering(503, body="mine")
    async with opened(Fallback, {**OTHER, "statuses": [503]}, ports=other()) as live:
        response = await live(request("POST"), target)
        assert (response.status, response.body.whole, "X-Fallback" in response.headers) == (503, b"mine", False)


async def test_an_error_of_the_gateway_s_own_passes():
    class Odd(GatewayError):
        code = "odd"

    async with opened(Fallback, {**SORRY, "on": ALL}) as live:
        assert (await live(request(), answering(error=Odd()))).status == 500


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({}, "`upstream`, `answer` or both", id="nothing to answer with"),
        pytest.param({**SORRY, "on": []}, "it would never answer", id="no occasion"),
        pytest.param({"answer": {"body": "a", "json": 1}}, "not both", id="two bodies"),
        pytest.param({"answer": {"status": 204, "body": "a"}}, "has no body", id="a body where none may be"),
        pytest.param({"answer": {"headers": {"Content-Length": "1"}}}, "framing", id="the framing is the gateway's"),
        pytest.param({**SORRY, "on": ["rain"]}, "circuit_open", id="an occasion that does not exist"),
        pytest.param({**SORRY, "statuses": [200]}, "greater than or equal to 400", id="success is no failure"),
    ],
)
def test_what_is_refused(given, words):
    with pytest.raises(ValidationError, match=words):
        settings_of(Fallback, given)


def test_what_can_seldom_help_is_a_warning():
    assert Fallback.check(settings_of(Fallback, {**OTHER, "methods": ["POST"]}))
    assert not Fallback.check(settings_of(Fallback, {**OTHER, **SORRY, "methods": ["POST"]}))
    assert not Fallback.check(settings_of(Fallback, {**OTHER, "methods": ["GET"]}))


def test_outside_a_cache_is_where_it_may_stand():
    assert disorders([("fallback", Fallback), ("limit", ConcurrencyLimit), ("cache", Cache)]) == []
    assert disorders([("cache", Cache), ("fallback", Fallback)]) == []
