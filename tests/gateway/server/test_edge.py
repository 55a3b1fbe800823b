"""What a worker's connections share."""

from __future__ import annotations

import asyncio

import pytest

from gateway.config.listener import Limits
from gateway.errors import BadRequest, ClientClosed, InternalError
from gateway.http import Exchange, Request, Response
from gateway.server.edge import SURPLUS, Edge, EdgeLimits
from gateway.services.clock import Wheel


@pytest.fixture
async def edge(stub_runtime):
    async def never(request: Request) -> Response:
        raise AssertionError(request)

    wheel = Wheel()
    yield Edge(stub_runtime(never), EdgeLimits(connections=2), wheel)
    wheel.close()


def test_limits_are_those_of_the_configuration():
    limits = Limits(url=1000, headers=2000, header_count=3, head=4.0, body_idle=5.0, send_idle=6.0, keepalive_idle=7.0)
    made = EdgeLimits.of(limits)
    assert (made.url, made.header, made.headers, made.head) == (1000, 2000, 3, 3000)
    assert (made.head_time, made.body_idle, made.send_idle, made.keep_alive) == (4.0, 5.0, 6.0, 7.0)
    assert made.connections == limits.connections


async def test_a_date_is_made_once_a_second(edge, monkeypatch):
    now = 1000.0
    monkeypatch.setattr("email.utils.formatdate", lambda usegmt: f"at {now}")
    monkeypatch.setattr("gateway.server.edge.monotonic", lambda: now, raising=False)
    edge.loop = type("Loop", (), {"time": staticmethod(lambda: now)})()
    first = edge.date()
    now = 1000.9
    assert edge.date() is first
    now = 1001.1
    assert edge.date() == b"Date: at 1001.1"


@pytest.mark.parametrize(
    ("error", "response", "status", "expected"),
    [
        pytest.param(None, Response(201), 201, None, id="an answer"),
        pytest.param(None, None, 499, ClientClosed, id="the client left before it"),
        pytest.param(InternalError(), Response(200), 200, InternalError, id="the body broke off"),
    ],
)
async def test_finish(edge, error, response, status, expected):
    seen: list[Exchange] = []
    request = Request("GET", "/")
    request.error = error
    request.when_done(seen.append)
    edge.finish(request, response, 5, 7, error is not None)
    (exchange,) = edge.runtime.exchanges
    assert seen == [exchange]
    assert (exchange.status, exchange.sent_bytes, exchange.received_bytes) == (status, 5, 7)
    assert exchange.error is None if expected is None else isinstance(exchange.error, expected)


async def test_a_refusal_s_error_is_the_exchange_s(edge):
    response = Response(400)
    response.error = BadRequest()
    edge.finish(Request("GET", "/"), response, 0, 0, False)
    assert edge.runtime.exchanges[0].error is response.error


async def test_at_the_limit_accepting_pauses_and_goes_on(edge):
    calls: list[str] = []
    edge.when_full, edge.when_room = lambda: calls.append("full"), lambda: calls.append("room")
    some = [object() for _ in range(3)]
    for each in some:
        assert not edge.crowded()
        edge.connections.add(each)
    assert calls == ["full"]
    edge.left(some[0])
    assert calls == ["full"]  # there are still as many as may be
    edge.left(some[1])
    assert calls == ["full", "room"]


async def test_a_bound_holds_even_if_accepting_cannot_pause(edge):
    edge.connections.update(object() for _ in range(2))
    assert edge.crowded()
    edge.when_full = lambda: None
    assert not edge.crowded()
    edge.connections.update(object() for _ in range(SURPLUS))
    assert edge.crowded()


async def test_limits_can_be_taken_up_anew(edge):
    wheel = Wheel(asyncio.get_running_loop())
    edge.configure(EdgeLimits(head_time=3.0, connections=9), wheel, ())
    assert edge.head_deadline is wheel.of(3.0)
    assert edge.limits.connections == 9
