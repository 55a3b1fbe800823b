"""dead_letter: which requests are kept, what the client is told, and how a replay delivers them."""

import pytest

from gateway.errors import (
    CircuitOpen,
    ConnectFailed,
    FirstByteTimeout,
    Forbidden,
    NoTarget,
    PayloadTooLarge,
    TooManyRequests,
    UpstreamReset,
)
from gateway.http import Principal, Response
from gateway.http.delivery import Delivery, note_delivery
from gateway.services.queue import Query, QueueFull, QueueUnavailable, State
from gateway.services.queue.message import unpack
from gateway.testing import answering, exchange, opened, ports, request
from plugins.dead_letter import DeadLetter


async def items(given):
    return [await given.work.get(item.id) for item in (await given.work.find(Query())).items]


async def kept(given):
    return [unpack(item.payload) for item in await items(given)]


def idle(**more):
    """Ports on which nothing is delivered."""
    return ports(owner=False, **more)


def write(**more):
    return request("POST", "/orders?a=b", **{"body": b'{"n": 1}', **more})


@pytest.mark.parametrize(
    ("error", "stored"),
    [
        pytest.param(NoTarget(), True, id="no target"),
        pytest.param(ConnectFailed(reason="refused"), True, id="no connection"),
        pytest.param(CircuitOpen(), True, id="an open circuit"),
        pytest.param(FirstByteTimeout(), True, id="no answer in time"),
        pytest.param(UpstreamReset(), True, id="a connection that broke"),
        pytest.param(Forbidden(), False, id="a policy that says no"),
        pytest.param(TooManyRequests(), False, id="a limit"),
        pytest.param(PayloadTooLarge(), False, id="the client's own fault"),
    ],
)
async def test_which_errors_are_a_reason(error, stored):
    given = idle()
    response = await exchange(DeadLetter, {}, write(), answering(error=error), ports=given)
    assert (response.status, response.error.code) == (error.status, error.code), "the client is told the truth"
    found = await items(given)
    assert [item.state for item in found] == ([State.DEAD] if stored else [])
    assert response.headers.get("Sidegate-Delivery-Id") == (found[0].id if stored else None)


@pytest.mark.parametrize(
    ("settings", "status", "stored"),
    [
        pytest.param({}, 502, True, id="502"),
        pytest.param({}, 503, True, id="503"),
        pytest.param({}, 504, True, id="504"),
        pytest.param({}, 500, False, id="500 was delivered"),
        pytest.param({}, 404, False, id="404 was delivered"),
        pytest.param({}, 201, False, id="success"),
        pytest.param({"statuses": [500]}, 500, True, id="a status that is named"),
        pytest.param({"statuses": [500]}, 503, False, id="one that is not named any more"),
    ],
)
async def test_which_answers_are_a_reason(settings, status, stored):
    given = idle()
    response = await exchange(DeadLetter, settings, write(), answering(status, body="said"), ports=given)
    assert (response.status, response.body.whole) == (status, b"said")
    assert len(await items(given)) == stored
    assert ("Sidegate-Delivery-Id" in response.headers) is stored


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_writes_are_kept(method):
    given = idle()
    await exchange(DeadLetter, {}, request(method, "/", body=b"x"), answering(503), ports=given)
    assert len(await items(given)) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_what_changes_nothing_is_not(method):
    given = idle()
    response = await exchange(DeadLetter, {}, request(method, "/"), answering(error=NoTarget()), ports=given)
    assert (response.status, await items(given)) == (503, [])


async def test_what_is_kept_is_what_came_and_not_what_was_made_of_it():
    given = idle()

    async def target(asked):
        asked.edit_headers()["X-Made"] = "below"
        raise NoTarget

    asked = write(
        headers=[("X-One", "1"), ("Authorization", "Bearer s"), ("Cookie", "c"), ("Sidegate-Attempt", "9")],
        principal="alice",
        id="req-1",
    )
    await exchange(DeadLetter, {}, asked, target, ports=given)
    (found,) = await kept(given)
    assert (found.method, found.path, found.query, found.body) == ("POST", "/orders", "a=b", b'{"n": 1}')
    names = {name.decode().lower() for name, _ in found.fields}
    assert "x-one" in names
    assert not names & {"x-made", "authorization", "cookie", "sidegate-attempt"}
    (item,) = await items(given)
    assert item.labels == {
        "route": "test",
        "method": "POST",
        "host": found.host,
        "path": "/orders",
        "request_id": "req-1",
    }


@pytest.mark.parametrize(
    ("error", "unsure"),
    [
        pytest.param(ConnectFailed(reason="refused"), False, id="it never got there"),
        pytest.param(FirstByteTimeout(reason="late"), True, id="it may have got there"),
    ],
)
async def test_people_are_told_whether_a_replay_may_do_it_twice(error, unsure):
    given = idle()
    await exchange(DeadLetter, {}, write(), answering(error=error), ports=given)
    (item,) = await items(given)
    assert (item.last.error, item.last.status) == (error.code, 0)
    assert ("may have acted" in item.last.detail) is unsure


async def test_a_clients_own_repetition_is_kept_once():
    given = idle()
    async with opened(DeadLetter, {}, ports=given) as letters:
        first = await letters(write(headers=[("Idempotency-Key", "k1")]), answering(503))
        again = await letters(write(headers=[("Idempotency-Key", "k1")]), answering(503))
        await letters(write(headers=[("Idempotency-Key", "k2")]), answering(503))
        await letters(write(headers=[("Idempotency-Key", "k1")], principal="bob"), answering(503))
        await letters(write(), answering(503))
        await letters(write(), answering(503))
    assert first.headers["Sidegate-Delivery-Id"] == again.headers["Sidegate-Delivery-Id"]
    assert len(await items(given)) == 5
    assert given.value("dead_letter_requests_total", "test", "dead_letter", "duplicate") == 1


async def test_a_body_that_is_too_large_streams_by_and_is_not_kept():
    given, target = idle(), answering(503)
    response = await exchange(
        DeadLetter, {"max_body": "10B"}, request("POST", "/", chunks=[b"x" * 8, b"y" * 8]), target, ports=given
    )
    assert (response.status, target.body, await items(given)) == (503, b"x" * 8 + b"y" * 8, [])
    assert "Sidegate-Delivery-Id" not in response.headers
    assert given.value("dead_letter_requests_total", "test", "dead_letter", "too_large") == 1


@pytest.mark.parametrize(
    "problem", [pytest.param(QueueUnavailable("disk"), id="it fails"), pytest.param(QueueFull("full"), id="it is full")]
)
async def test_while_the_queue_takes_nothing_the_client_is_told_the_same_without_an_id(problem):
    given = idle()

    async def put(_draft):
        raise problem

    given.work.put = put
    response = await exchange(DeadLetter, {}, write(), answering(error=NoTarget()), ports=given)
    assert (response.status, response.error.code) == (503, "no_target")
    assert "Sidegate-Delivery-Id" not in response.headers
    assert given.value("dead_letter_requests_total", "test", "dead_letter", "lost") == 1


async def test_an_error_that_others_have_too_is_not_changed():
    given, error = idle(), NoTarget(headers=(("Retry-After", "5"),))
    async with opened(DeadLetter, {}, ports=given) as letters:
        first = await letters(write(), answering(error=error))
        second = await letters(write(), answering(error=error))
    assert error.headers == (("Retry-After", "5"),)
    assert first.headers["Sidegate-Delivery-Id"] != second.headers["Sidegate-Delivery-Id"]
    assert first.headers["Retry-After"] == "5"


async def test_nothing_is_delivered_again_until_somebody_says_so_and_then_it_is():
    given = ports()
    target = answering(201)
    async with opened(DeadLetter, {"retry": {"base": "1s"}}, ports=given) as letters:
        given.rest = target
        response = await letters(write(headers=[("Idempotency-Key", "k1")]), answering(error=NoTarget()))
        await given.clock.elapse(3600)
        assert target.calls == 0
        assert await given.work.replay(Query(ids=[response.headers["Sidegate-Delivery-Id"]])) == 1
        await given.clock.elapse(60)
        assert (target.calls, target.body) == (1, b'{"n": 1}')
        assert target.request.headers["Sidegate-Event-Id"] == "k1"
        assert target.request.headers["Sidegate-Attempt"] == "2"
        assert await items(given) == []


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"methods": ["GET"]}, id="a method that changes nothing"),
        pytest.param({"methods": []}, id="no method"),
        pytest.param({"statuses": [200]}, id="a success"),
        pytest.param({"max_body": "0B"}, id="no body at all"),
    ],
)
async def test_what_cannot_be_meant_is_refused_at_load(settings):
    with pytest.raises(ValueError, match=r"."):
        await exchange(DeadLetter, settings, write(), answering(200), ports=idle())


def test_what_can_hardly_be_meant_is_told():
    assert DeadLetter.check(DeadLetter.settings_type.model_validate({"drop": ["Cookie"]})) == [
        "drop: Authorization is kept on disk"
    ]


async def test_what_another_plugin_delivers_it_keeps_itself():
    given, target = ports(owner=False), answering(503)
    asked = request("POST", "/", body="x", headers={"Sidegate-Attempt": "2"})
    note_delivery(asked, Delivery("other", 2))
    await exchange(DeadLetter, {}, asked, target, ports=given)
    assert (await given.work.find(Query())).items == []
    assert target.request.headers["Sidegate-Attempt"] == "2"


async def test_whose_it_is_counts_though_it_was_found_out_below():
    given = idle()

    def signed_in(name):
        async def target(asked):
            asked.principal = Principal(name)
            return Response(503)

        return target

    for name in ("alice", "bob", "bob"):
        await exchange(DeadLetter, {}, write(headers={"Idempotency-Key": "1"}), signed_in(name), ports=given)
    assert len(await items(given)) == 2, "another's key of the same name is another key"
    assert await given.work.erase("alice") == 1
