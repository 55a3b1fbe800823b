"""circuit_breaker: what counts, who is refused, what people see of it."""

import asyncio
import contextlib

import pytest
from pydantic import ValidationError

from gateway.errors import (
    BadRequest,
    ConnectFailed,
    ConnectionReused,
    ConnectTimeout,
    FirstByteTimeout,
    MalformedAnswer,
    PoolExhausted,
    TotalTimeout,
    TruncatedAnswer,
    UpstreamReset,
)
from gateway.http import Attempt
from gateway.plugin import Context
from gateway.testing import answering, opened, ports, request, settings_of
from plugins.circuit_breaker import CircuitBreaker

ONE = {"failures": 1, "open": {"jitter": "0%"}}
URL = "http://10.0.0.1:80"


def asked(target=URL, deadline=1e12):
    made = request()
    made.attempt = Attempt("orders", target, 1, deadline)
    return made


def breaking(settings=ONE, mode="enforce", given=None):
    return opened(CircuitBreaker, settings, mode=mode, ports=given, route="upstream:orders")


def states(live):
    return {each["target"]: each["state"] for each in live.plugin.snapshot()}


async def test_five_failures_within_a_minute_open_it_by_default():
    target = answering(503)
    async with breaking({"failures": 5, "window": "60s", "open": {"base": "1s", "max": "32s"}}) as live:
        for _ in range(5):
            assert (await live(asked(), target)).error is None, "the target's own answer"
        response = await live(asked(), target)
        assert (response.status, response.error.code, response.headers["Retry-After"]) == (503, "circuit_open", "1")
        assert target.calls == 5
        assert live.ports.refused == ["circuit_open"]
        live.ports.clock.advance(1)
        assert (await live(asked(), answering(200))).status == 200
        assert (await live(asked(), answering(200))).status == 200
        assert states(live) == {URL: "closed"}


@pytest.mark.parametrize(
    ("target", "settings", "counts"),
    [
        pytest.param(answering(200), {}, False, id="200"),
        pytest.param(answering(404), {}, False, id="404"),
        pytest.param(answering(429), {}, False, id="429"),
        pytest.param(answering(500), {}, True, id="500"),
        pytest.param(answering(501), {}, False, id="501 is about a method"),
        pytest.param(answering(502), {}, True, id="502"),
        pytest.param(answering(503), {}, True, id="503"),
        pytest.param(answering(504), {}, True, id="504"),
        pytest.param(answering(500), {"statuses": [503]}, False, id="500 if only 503 counts"),
        pytest.param(answering(429), {"statuses": [429]}, True, id="429 if it is asked for"),
        pytest.param(answering(error=ConnectFailed()), {}, True, id="no connection"),
        pytest.param(answering(error=ConnectTimeout()), {}, True, id="no connection in time"),
        pytest.param(answering(error=FirstByteTimeout()), {}, True, id="no answer in time"),
        pytest.param(answering(error=TotalTimeout()), {}, True, id="no answer in the whole time"),
        pytest.param(answering(error=UpstreamReset()), {}, True, id="reset"),
        pytest.param(answering(error=MalformedAnswer()), {}, True, id="not HTTP"),
        pytest.param(
            answering(error=ConnectFailed()), {"errors": ["timeout"]}, False, id="no connection, not asked for"
        ),
        pytest.param(answering(error=FirstByteTimeout()), {"errors": ["timeout"]}, True, id="a timeout, asked for"),
        pytest.param(answering(error=ConnectionReused()), {}, False, id="a connection that had idled too long"),
        pytest.param(answering(error=PoolExhausted()), {}, False, id="our own limit"),
        pytest.param(answering(error=BadRequest()), {}, False, id="the client's fault"),
        pytest.param(answering(chunks=[b"x"], error=TruncatedAnswer()), {}, True, id="cut off"),
        pytest.param(answering(chunks=[b"x"], error=TruncatedAnswer()), {"errors": []}, False, id="cut off, no matter"),
    ],
)
async def test_what_counts(target, settings, counts):
    async with breaking({**ONE, **settings}) as live:
        with contextlib.suppress(TruncatedAnswer):
            await live(asked(), target)
        assert states(live) == {URL: "open" if counts else "closed"}
        kinds = [v for f in live.ports.metrics.snapshot() if "breaker_failures" in f["name"] for v in f["samples"]]
        assert len(kinds) == counts


async def hanging(_request):
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize(
    ("left", "state"),
    [
        pytest.param(100.0, "closed", id="the client left"),
        pytest.param(0.0, "open", id="the time over all attempts is up"),
    ],
)
async def test_a_cancelled_attempt(left, state):
    async with breaking() as live:
        one = asked(deadline=live.ports.clock.now() + left)
        task = asyncio.ensure_future(live(one, hanging))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert states(live) == {URL: state}


async def test_a_probe_whose_client_leaves_makes_room():
    async with breaking() as live:
        await live(asked(), answering(500))
        live.ports.clock.advance(1)
        task = asyncio.ensure_future(live(asked(), hanging))
        await asyncio.sleep(0)
        assert (await live(asked(), answering())).error.code == "circuit_open", "one probe at a time"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await live(asked(), answering())).status == 200
        assert states(live) == {URL: "closed"}


async def test_a_bug_inside_makes_room_too():
    async def broken(_request):
        raise RuntimeError

    async with breaking() as live:
        await live(asked(), answering(500))
        live.ports.clock.advance(1)
        assert (await live(asked(), broken)).status == 500
        assert (await live(asked(), answering())).status == 200


async def test_slow_answers_open_it():
    async def slow(one):
        live.ports.clock.advance(3)
        return await answering()(one)

    async with breaking({"slow": {"over": "2s", "rate": "50%"}, "min_requests": 2}) as live:
        await live(asked(), answering())
        assert states(live) == {URL: "closed"}
        await live(asked(), slow)
        assert states(live) == {URL: "open"}


@pytest.mark.parametrize(("per", "second"), [("target", 200), ("upstream", 503)])
async def test_each_target_has_its_own_or_all_have_one(per, second):
    async with breaking({**ONE, "per": per}) as live:
        await live(asked("http://a"), answering(500))
        assert (await live(asked("http://b"), answering())).status == second
        assert (await live(asked("http://a"), answering())).status == 503


async def test_gates_are_what_the_balancer_reads():
    async with breaking() as live:
        first, second = live.plugin.gate("http://a"), live.plugin.gate("http://b")
        await live(asked("http://a"), answering(500))
        assert (first.admits(), second.admits()) == (False, True)
        live.ports.clock.advance(1)
        assert first.admits()


async def test_a_target_that_is_gone_leaves_nothing_behind():
    async with breaking() as live:
        gate = live.plugin.gate("http://a")
        again = live.plugin.gate("http://a")
        assert gate is again, "a changed upstream gets the breaker that there is"
        await live(asked("http://a"), answering(500))
        assert states(live) == {"http://a": "open"}
        del gate, again
        assert states(live) == {}


async def test_shadow_counts_and_refuses_nothing():
    target = answering(500)
    async with breaking(mode="shadow") as live:
        gate = live.plugin.gate(URL)
        for _ in range(4):
            assert (await live(asked(), target)).error is None
        assert (target.calls, live.ports.would_refuse, live.ports.refused) == (4, ["circuit_open"] * 3, [])
        assert states(live) == {URL: "open"}
        assert gate.admits()
        live.ports.clock.advance(1)
        assert (await live(asked(), answering())).status == 200
        assert states(live) == {URL: "closed"}


@pytest.mark.parametrize(
    ("wait", "said"),
    [pytest.param(0, "32", id="whole"), pytest.param(30.5, "2", id="rounded up"), pytest.param(31.999, "1", id="one")],
)
async def test_it_says_when_to_come_back(wait, said):
    async with breaking({"failures": 1, "open": {"base": "32s", "jitter": "0%"}}) as live:
        await live(asked(), answering(500))
        live.ports.clock.advance(wait)
        assert (await live(asked())).headers["Retry-After"] == said


async def test_metrics_log_report_and_admin():
    async with breaking() as live:
        gate, given = live.plugin.gate(URL), live.ports
        labels = ("orders", "circuit_breaker", URL)
        assert given.value("circuit_breaker_state", *labels) == 0
        await live(asked(), answering(500))
        assert given.value("circuit_breaker_state", *labels) == 2
        assert given.value("circuit_breaker_transitions_total", *labels, "open") == 1
        assert given.value("circuit_breaker_failures_total", *labels, "status") == 1
        assert any("opens for 1.0s: 1 failures within 60s" in line for line in given.lines)
        shown = given.reports["circuit_breaker"]()["breakers"]
        assert shown == [{"target": URL, "state": "open", "seconds": 0.0, "retry_in": 1.0, "opens": 1, "probing": 0}]
        views = {view.name: view for view in live.plugin.admin()}
        assert await views["breakers"].answer({}) == shown
        assert (await views["reset"].answer({"target": "http://other"}))[0]["state"] == "open"
        assert (await views["reset"].answer({"target": URL}))[0]["state"] == "closed"
        assert (await live(asked(), answering())).status == 200
        assert given.value("circuit_breaker_state", *labels) == 0
        assert gate.admits()


async def test_what_is_closed_is_not_counted_any_more_but_its_successor_is():
    given = ports()
    labels = ("orders", "circuit_breaker", URL)
    async with breaking(given=given) as old:
        first = old.plugin.gate(URL)
        await old(asked(), answering(500))
        context = Context(given, route="upstream:orders", plugin="circuit_breaker", id="circuit_breaker")
        new = CircuitBreaker(settings_of(CircuitBreaker, {**ONE, "window": "30s"}), context)
        await new.open()
        second = new.gate(URL)
        assert given.value("circuit_breaker_state", *labels) == 0, "the newer one is shown"
        await old.plugin.close()
        assert given.value("circuit_breaker_transitions_total", *labels, "open") == 1
        await new.close()
        assert given.value("circuit_breaker_transitions_total", *labels, "open") == 0
        assert first is not second


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"failures": 0}, id="none at all"),
        pytest.param({"open": {"base": "60s"}}, id="a base over the maximum"),
        pytest.param({"probes": 0}, id="no probe ever"),
        pytest.param({"error_rate": "0%"}, id="a share that is always met"),
        pytest.param({"statuses": [200]}, id="a success that is a failure"),
        pytest.param({"errors": ["client"]}, id="an unknown kind"),
        pytest.param({"window": "0s"}, id="no window"),
        pytest.param({"slow": {"rate": "50%"}}, id="slow without a time"),
    ],
)
def test_settings_that_cannot_be_meant(settings):
    with pytest.raises(ValidationError):
        settings_of(CircuitBreaker, settings)
