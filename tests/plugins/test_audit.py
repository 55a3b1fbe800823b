"""audit: what is recorded of an exchange, what is not, and what holds while nothing can be."""

import pytest

from gateway.errors import FirstByteTimeout, Forbidden, TooManyRequests
from gateway.http import Principal, Response
from gateway.services.audit import Kind, Result
from gateway.testing import answering, exchange, opened, ports, request
from plugins.audit import Audit

ALICE = Principal(
    "alice", tenant="acme", claims={"sub": "alice", "realm": {"roles": ["a", "b"]}, "email": "a@b.example"}
)


async def recorded(settings=None, given=None, target=None, **more):
    made = ports()
    response = await exchange(Audit, settings, given, target, ports=made, **more)
    return response, made.audit.events


def asked(**more):
    made = request(**more)
    made.principal = ALICE
    return made


async def test_who_did_what_to_which_resource_with_which_result():
    given = asked(method="DELETE", path="/orders/17?token=s3cret", headers={"User-Agent": "curl"})
    given.trace = b"00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
    given.target = "http://target.test"
    _, (event,) = await recorded(None, given, answering(204))
    assert (event.actor, event.action, event.resource, event.result) == (
        "alice",
        "DELETE",
        "/orders/17",
        Result.SUCCESS,
    )
    assert (event.kind, event.route) == (Kind.REQUEST, "test")
    facts = dict(event.facts)
    assert facts.pop("duration_ms") >= 0
    assert facts == {
        "status": 204,
        "request_id": given.id,
        "method": "DELETE",
        "target": "http://target.test",
        "trace": "0123456789abcdef0123456789abcdef",
        "bytes_in": 0,
        "bytes_out": 0,
    }
    assert event.details == {"client": given.client_ip, "tenant": "acme"}


async def test_templates_claims_and_fields():
    settings = {
        "action": "orders.{header.X-Verb}",
        "resource": "order/{path.id}",
        "claims": ["sub", "realm.roles", "nothing"],
        "headers": ["x-reason", "X-Nothing"],
    }
    given = asked(headers={"X-Verb": "cancel", "X-Reason": "r" * 300})
    given.path_params = {"id": "17"}
    _, (event,) = await recorded(settings, given)
    assert (event.action, event.resource) == ("orders.cancel", "order/17")
    assert event.details["claims"] == {"sub": "alice", "realm.roles": ["a", "b"]}
    assert event.details["headers"] == {"x-reason": "r" * 256}


@pytest.mark.parametrize(
    ("target", "result", "code"),
    [
        pytest.param(answering(200), "success", None, id="an answer"),
        pytest.param(answering(304), "success", None, id="not modified is one"),
        pytest.param(answering(error=Forbidden()), "refused", "forbidden", id="a policy refuses"),
        pytest.param(answering(error=TooManyRequests()), "refused", "rate_limited", id="a limit refuses"),
        pytest.param(answering(401), "refused", None, id="the target refuses"),
        pytest.param(answering(404), "failed", None, id="there is no such thing"),
        pytest.param(answering(500), "failed", None, id="the target fails"),
        pytest.param(answering(error=FirstByteTimeout()), "failed", "upstream_timeout", id="the target is late"),
    ],
)
@pytest.mark.parametrize("wait", [pytest.param(False, id="after"), pytest.param(True, id="before the answer")])
async def test_the_result(target, result, code, wait):
    _, (event,) = await recorded({"wait": wait}, None, target)
    assert (event.result, event.facts.get("error")) == (result, code)


@pytest.mark.parametrize(
    ("settings", "method", "status", "count"),
    [
        pytest.param({"methods": ["POST"]}, "POST", 200, 1, id="a method that is recorded"),
        pytest.param({"methods": ["POST"]}, "GET", 200, 0, id="a method that is not"),
        pytest.param({"statuses": ["2xx"]}, "GET", 204, 1, id="a class of statuses"),
        pytest.param({"statuses": ["2xx", "403"]}, "GET", 403, 1, id="and a single one"),
        pytest.param({"statuses": [403]}, "GET", 404, 0, id="another status"),
        pytest.param({"results": ["refused"]}, "GET", 403, 1, id="a result"),
        pytest.param({"results": ["refused"]}, "GET", 200, 0, id="another result"),
        pytest.param({"statuses": ["4xx"], "results": ["refused"]}, "GET", 404, 0, id="both have to fit"),
    ],
)
@pytest.mark.parametrize("wait", [False, True])
async def test_which_exchanges_are_recorded(settings, method, status, count, wait):
    _, events = await recorded({**settings, "wait": wait}, request(method=method), answering(status))
    assert len(events) == count


@pytest.mark.parametrize("wait", [pytest.param(False, id="after"), pytest.param(True, id="before the answer")])
async def test_an_answer_that_is_cut_short_is_told(wait):
    made = ports()
    async with opened(Audit, {"wait": wait}, ports=made) as live:
        given = request()
        response = await live.head(given, answering(chunks=[b"a", b"b"]))
        live.leave(given, response)
    results = [event.result for event in made.audit.events]
    assert results == (["success", "aborted"] if wait else ["aborted"])


async def test_shadow_records_as_well():
    _, events = await recorded(None, None, answering(200), mode="shadow")
    assert len(events) == 1


@pytest.mark.parametrize(
    ("mode", "method", "status"),
    [
        pytest.param("enforce", "POST", 503, id="nothing is begun that has to be recorded"),
        pytest.param("enforce", "GET", 200, id="what is not recorded goes on"),
        pytest.param("shadow", "POST", 200, id="shadow says so only"),
    ],
)
async def test_while_nothing_can_be_recorded(mode, method, status):
    made = ports()
    made.audit.broken = "No space left on device"
    target = answering(200)
    response = await exchange(Audit, {"methods": ["POST"]}, request(method=method), target, ports=made, mode=mode)
    assert (response.status, target.calls) == (status, 1 if status == 200 else 0)
    assert made.refused == (["audit_unavailable"] if status == 503 else [])
    assert made.would_refuse == (["audit_unavailable"] if mode == "shadow" else [])
    if status == 503:
        assert response.headers["Retry-After"] == "5"


async def test_an_answer_without_its_record_is_kept_back():
    made = ports()

    async def target(given):
        made.audit.broken = "Input/output error"
        return await answering(chunks=[b"x"])(given)

    response = await exchange(Audit, {"wait": True}, request(), target, ports=made)
    assert (response.status, response.error.code) == (503, "audit_unavailable")


async def test_in_shadow_it_is_given_all_the_same():
    made = ports()

    async def target(given):
        made.audit.broken = "Input/output error"
        return await answering(chunks=[b"x"])(given)

    response = await exchange(Audit, {"wait": True}, request(), target, ports=made, mode="shadow")
    assert (response.status, response.body.whole) == (200, b"x")
    assert made.would_refuse == ["audit_unavailable"]


class Tunnel:
    """A connection that has switched protocols."""

    closed = False

    def close(self):
        self.closed = True


@pytest.mark.parametrize("wait", [False, True])
async def test_a_connection_that_stays_is_recorded_when_it_begins_and_when_it_ends(wait):
    made = ports()

    async def target(_given):
        response = Response(101)
        response.tunnel = Tunnel()
        return response

    await exchange(Audit, {"wait": wait}, request(), target, ports=made)
    assert [event.facts["tunnel"] for event in made.audit.events] == ["opened", "closed"]


async def test_a_connection_without_its_record_is_closed():
    made, tunnel = ports(), Tunnel()

    async def target(_given):
        made.audit.broken = "Input/output error"
        response = Response(101)
        response.tunnel = tunnel
        return response

    response = await exchange(Audit, {"wait": True}, request(), target, ports=made)
    assert (response.status, tunnel.closed) == (503, True)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"methods": ["post"]}, id="a method in small letters"),
        pytest.param({"statuses": ["2x"]}, id="half a class"),
        pytest.param({"statuses": [True]}, id="no status at all"),
        pytest.param({"resource": "{path"}, id="half a placeholder"),
        pytest.param({"action": "{nobody}"}, id="a placeholder that is not known"),
        pytest.param({"headers": ["Authorization"]}, id="credentials"),
        pytest.param({"headers": ["cookie"]}, id="cookies"),
        pytest.param({"results": ["bad"]}, id="a result that there is not"),
    ],
)
async def test_settings_that_cannot_be(settings):
    with pytest.raises(ValueError, match="validation error"):
        await exchange(Audit, settings)
