"""Delivering for a plugin: what an answer means, what a delivery carries, and through whose throttle it goes."""

import asyncio
import datetime as dt

import pytest
from pydantic import ValidationError

from gateway.errors import (
    CircuitOpen,
    ConnectFailed,
    FirstByteTimeout,
    Forbidden,
    NoTarget,
    PoolExhausted,
    TooManyRequests,
    TruncatedAnswer,
    UpstreamReset,
)
from gateway.http.delivery import delivery_of
from gateway.plugin import Context
from gateway.plugin.delivery import Deliverer, DeliverySettings
from gateway.services.queue import Draft, Item, State
from gateway.services.queue.delivery import Delivered, Failed, Hopeless, Untried
from gateway.services.queue.message import kept_of
from gateway.testing import TestDestination, answering, ports, request


def item(payload, **more):
    values = {
        "id": "item-1",
        "topic": "t",
        "labels": {},
        "state": State.LEASED,
        "accepted": 100.0,
        "due": 0.0,
        "attempts": 0,
        "round": 0,
        "replays": 0,
        "size": 0,
        "payload": payload,
    }
    return Item(**{**values, **more})


def kept(**more):
    asked = request("POST", "/x", body="data", headers={"Sidegate-Attempt": "99", "X-Mine": "1"})
    made = kept_of(asked, b"data", 0.25)
    made.event_id = more.pop("event_id", "")
    return made.pack()


def deliverer(given, route="r", **settings):
    return Deliverer(Context(given, route=route, plugin="inbox", id="inbox"), DeliverySettings(**settings))


async def outcome_of(target, settings=None, **more):
    given = ports()
    given.rest = target
    return await deliverer(given, **(settings or {})).deliver(item(kept(), **more))


@pytest.mark.parametrize(
    ("target", "outcome"),
    [
        pytest.param(answering(204), Delivered(204), id="a success"),
        pytest.param(answering(500, body="why"), Failed(500, detail="why"), id="a failure with what it says"),
        pytest.param(answering(302), Failed(302), id="a redirect"),
        pytest.param(answering(503), Failed(503, ill=True), id="503 speaks of the service"),
        pytest.param(answering(429, {"Retry-After": "7"}), Failed(429, after=7.0, ill=True), id="429 asks for time"),
        pytest.param(answering(503, {"Retry-After": "soon"}), Failed(503, ill=True), id="nonsense asks for nothing"),
        pytest.param(answering(410), Hopeless(410), id="a permanent answer"),
        pytest.param(answering(error=NoTarget()), Untried("no_target"), id="no target may be tried"),
        pytest.param(
            answering(error=CircuitOpen(headers=(("Retry-After", "9"),))),
            Untried("circuit_open", 9.0),
            id="an open circuit",
        ),
        pytest.param(answering(error=PoolExhausted()), Untried("pool_exhausted"), id="no connection is free"),
        pytest.param(
            answering(error=ConnectFailed(reason="refused")),
            Failed(0, "connect_failed", "refused", ill=True),
            id="nobody listens",
        ),
        pytest.param(
            answering(error=FirstByteTimeout(reason="silent")),
            Failed(0, "upstream_timeout", "silent", ill=True),
            id="silence",
        ),
        pytest.param(
            answering(error=UpstreamReset(reason="reset")), Failed(0, "upstream_reset", "reset"), id="a reset"
        ),
        pytest.param(
            answering(200, chunks=[b"half"], error=TruncatedAnswer(reason="cut")),
            Failed(0, "truncated_answer", "cut"),
            id="an answer that breaks off",
        ),
        pytest.param(
            answering(error=Forbidden(reason="no")), Failed(403, "forbidden", "no"), id="a plugin behind says no"
        ),
        pytest.param(
            answering(error=TooManyRequests(reason="slow", headers=(("Retry-After", "3"),))),
            Failed(429, "rate_limited", "slow", after=3.0),
            id="a limit behind says later",
        ),
    ],
)
async def test_what_an_answer_means(target, outcome):
    assert await outcome_of(target) == outcome


async def test_a_permanent_refusal_of_a_plugin_behind():
    assert await outcome_of(answering(error=Forbidden(reason="no")), {"dead_on": (403,)}) == Hopeless(
        403, "forbidden", "no"
    )


async def test_retry_after_may_be_a_date():
    given = ports()
    moment = dt.datetime.fromtimestamp(given.clock.time() + 90, dt.UTC)
    given.rest = answering(503, {"Retry-After": moment.strftime("%a, %d %b %Y %H:%M:%S GMT")})
    assert (await deliverer(given).deliver(item(kept()))).after == pytest.approx(90, abs=1)


async def test_secrets_in_an_answer_are_masked_before_they_are_kept():
    outcome = await outcome_of(
        answering(500, {"Content-Type": "application/json"}, body='{"password": "hunter2", "why": "full"}')
    )
    assert "hunter2" not in outcome.detail
    assert "full" in outcome.detail


async def test_of_a_long_answer_the_beginning_is_looked_at_and_the_rest_given_up():
    target = answering(500, chunks=[b"x" * 60_000] * 50)
    outcome = await outcome_of(target)
    assert outcome.status == 500
    assert target.sources[0].closed
    assert target.sources[0].given < 200_000


async def test_a_target_that_takes_too_long():
    async def slow(_asked):
        await asyncio.Event().wait()

    outcome = await outcome_of(slow, {"deadline": 0.1})
    assert (outcome.error, outcome.ill) == ("delivery_timeout", True)


async def test_a_route_that_is_gone():
    assert await outcome_of(None) == Untried("not_in_force")


@pytest.mark.parametrize("payload", [pytest.param(None, id="nothing"), pytest.param(b"junk", id="what it is not")])
async def test_what_cannot_be_read_is_dead(payload):
    outcome = await deliverer(ports()).deliver(item(payload))
    assert (type(outcome), outcome.error) == (Hopeless, "unreadable")


@pytest.mark.parametrize(
    ("event_id", "said"), [pytest.param("evt_1", "evt_1", id="the sender's"), pytest.param("", "item-1", id="its own")]
)
async def test_what_a_delivery_carries(event_id, said):
    given = ports()
    target = given.rest = answering(200)
    await deliverer(given).deliver(item(kept(event_id=event_id), attempts=4))
    got = target.request.headers
    assert got["Sidegate-Event-Id"] == said
    assert got.getall("Sidegate-Attempt") == ["5"]
    assert got["Sidegate-Delivery-Id"] == "item-1"
    assert got["Sidegate-Received-At"] == "1970-01-01T00:00:00.250Z"
    assert got["X-Mine"] == "1"
    delivery = delivery_of(target.request)
    assert (delivery.item, delivery.number, delivery.topic) == ("item-1", 5, "t")


async def test_routes_to_one_upstream_share_its_throttle():
    given = ports()
    one, two = deliverer(given, "a", concurrency=5), deliverer(given, "b", concurrency=3, rate=7.0)
    try:
        assert one._throttle() is two._throttle()
        assert (one._throttle().concurrency, one._throttle().rate) == (3, 7.0)
        first = one._throttle()
        given.leads_to = TestDestination("elsewhere")
        assert one._throttle() is not first
        await given.settled()
        assert first.concurrency == 3, "the other one is still there"
    finally:
        for each in (one, two):
            await each.close()
            await each.close()
    assert len(given.shared) == 0


async def test_only_the_owner_delivers():
    given = ports(owner=False)
    target = given.rest = answering(200)
    made = deliverer(given)
    made.open(await given.queue())
    await given.work.put(Draft("inbox/r/inbox", kept()))
    await given.clock.elapse(10)
    assert (target.calls, made.snapshot()) == (0, {"delivers": False})
    await made.close()


async def test_how_it_goes_can_be_seen():
    given = ports()
    given.leads_to.why = "no_target"
    made = deliverer(given)
    made.open(await given.queue())
    await given.clock.elapse(1)
    told = made.snapshot()
    assert (told["delivers"], told["paused"], told["in_flight"]) == (True, "no_target", 0)
    given.leads_to.why = ""
    await given.clock.elapse(1)
    assert made.snapshot()["upstream"] == "test"
    assert made.snapshot()["throttle"]["allowed"] == 10
    await made.close()


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"concurrency": 0}, id="no concurrency"),
        pytest.param({"rate": 0}, id="no rate"),
        pytest.param({"success": []}, id="no success"),
        pytest.param({"success": ["6xx"]}, id="a class that is none"),
        pytest.param({"success": [200], "dead_on": ["2xx"]}, id="both at once"),
        pytest.param({"retry": {"base": 10.0, "max": 1.0}}, id="a base above max"),
    ],
)
def test_mistakes(settings):
    with pytest.raises(ValidationError):
        DeliverySettings.model_validate(settings)


async def test_one_that_is_no_longer_in_force_has_no_say_in_what_an_upstream_takes():
    given = ports()
    old, new = deliverer(given, "a", concurrency=2), deliverer(given, "b", concurrency=9)
    throttle = old._throttle()
    assert new._throttle() is throttle
    assert throttle.concurrency == 2
    leads_to, given.leads_to = given.leads_to, None
    assert old._hindrance() == "not_in_force"
    assert throttle.concurrency == 9
    given.leads_to = leads_to
    assert old._hindrance() == ""
    assert (old._throttle(), throttle.concurrency) == (throttle, 2)
    for each in (old, new):
        await each.close()


async def test_each_try_is_a_step_of_its_own_in_the_trace():
    given = ports()
    target = given.rest = answering(500)
    asked = request("POST", "/x")
    asked.trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    payload = kept_of(asked, b"", 0.0).pack()
    for attempts in range(2):
        await deliverer(given).deliver(item(payload, attempts=attempts))
    first, second = [each.trace for each in target.requests]
    assert first[3:35] == second[3:35] == asked.trace[3:35]
    assert len({first, second, asked.trace}) == 3


@pytest.mark.parametrize(
    ("retry", "longest"),
    [
        pytest.param({"base": 0.1, "max": 0.5}, 0.5, id="the longest wait of a doubling one"),
        pytest.param({"schedule": [1.0, 7.0, 3.0]}, 7.0, id="the longest step"),
    ],
)
async def test_a_pause_of_the_upstream_takes_no_longer_than_retry_allows(retry, longest):
    given = ports()
    given.upstream = "orders"
    made = deliverer(given, retry=retry)
    assert made._throttle().longest == longest
    await made.close()
