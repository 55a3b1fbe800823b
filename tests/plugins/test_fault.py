"""fault: who is meant, what happens to them, and when it stops."""

import asyncio

import pytest
from pydantic import ValidationError

from gateway.testing import answering, exchange, opened, request, settings_of
from plugins.fault import Fault

EXAMPLE = {"abort": {"share": "0%"}}
ALL = {"abort": {"status": 502}}


def counted(live):
    (family,) = [each for each in live.ports.metrics.snapshot() if each["name"].endswith("faults_total")]
    return {labels[-1]: count for labels, count in family["samples"]}


@pytest.mark.parametrize(
    ("settings", "mode", "status", "counts"),
    [
        pytest.param(ALL, "enforce", 502, {"abort": 1, "delay": 0}, id="all fail"),
        pytest.param(ALL, "shadow", 200, {"abort": 0, "delay": 0}, id="in shadow nothing happens"),
        pytest.param({"abort": {"share": "0%"}}, "enforce", 200, {"abort": 0, "delay": 0}, id="nobody is meant"),
        pytest.param({"delay": {"duration": "1ms"}}, "enforce", 200, {"abort": 0, "delay": 1}, id="all wait"),
        pytest.param(
            {"delay": {"duration": "1ms", "jitter": "1ms"}, **ALL},
            "enforce",
            502,
            {"abort": 1, "delay": 1},
            id="wait, then fail",
        ),
        pytest.param({**ALL, "until": "2027-01-15"}, "enforce", 200, {"abort": 0, "delay": 0}, id="the day is over"),
        pytest.param({**ALL, "until": "2027-01-16"}, "enforce", 502, {"abort": 1, "delay": 0}, id="the day is not"),
    ],
)
async def test_what_happens(settings, mode, status, counts):
    target = answering(200)
    async with opened(Fault, settings, mode=mode) as live:
        response = await live(request(), target)
        assert (response.status, target.calls) == (status, 1 if status == 200 else 0)
        assert counted(live) == counts


async def test_a_share_is_that_share():
    async with opened(Fault, {"abort": {"share": "20%"}}) as live:
        live.plugin._random.seed(7)
        failed = sum([(await live()).status == 503 for _ in range(1000)])
        assert 160 <= failed <= 240


async def test_shadow_says_what_it_would_do():
    async with opened(Fault, ALL, mode="shadow") as live:
        await live()
        assert live.ports.would_refuse == ["fault_injected"]


async def test_it_stops_by_itself():
    async with opened(Fault, {**ALL, "until": "2027-01-15T08:01:00Z"}) as live:
        assert (await live()).status == 502
        live.ports.clock.advance(60)
        assert (await live()).status == 200


async def test_who_waits_may_leave():
    target = answering(200)
    async with opened(Fault, {"delay": {"duration": "5m"}}) as live:
        waiting = asyncio.create_task(live(request(), target))
        while not counted(live)["delay"]:
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert target.calls == 0


async def test_a_fault_looks_like_what_it_is():
    response = await exchange(Fault, ALL)
    assert response.error.code == "fault_injected"


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="nothing to do"),
        pytest.param({"delay": {"duration": "6m"}}, id="longer than anybody waits"),
        pytest.param({"delay": {"duration": 0}}, id="no delay at all"),
        pytest.param({"abort": {"status": 200}}, id="an abort that succeeds"),
        pytest.param({"abort": {"share": 20}}, id="a share without its unit"),
    ],
)
def test_settings_that_are_refused(settings):
    with pytest.raises(ValidationError):
        settings_of(Fault, settings)
