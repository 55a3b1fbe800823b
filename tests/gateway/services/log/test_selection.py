"""Which exchanges get a line; slow ones, and where their time went."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from multidict import CIMultiDict

from gateway.errors import ClientClosed, ConnectFailed, Forbidden, GatewayError, InternalError
from gateway.http import Exchange, Request, Route
from gateway.http.spent import Spent
from gateway.services.log import AccessLog, Sampling, Slow
from gateway.services.log import selection as module
from gateway.services.log.selection import told, where
from gateway.services.log.sink import Sink


class Kept(Sink):
    def __init__(self) -> None:
        super().__init__()
        self.data = b""

    def _put(self, data: bytes) -> None:
        self.data += data

    def lines(self) -> list[dict[str, Any]]:
        self.close()
        return [json.loads(line) for line in self.data.splitlines()]


def exchange(
    status: int = 200,
    route: str = "orders",
    duration: float = 0.01,
    *,
    error: GatewayError | None = None,
    aborted: bool = False,
) -> Exchange:
    request = Request("GET", "/a", view=CIMultiDict(), host="h", client_ip="::1", id="r1", received=100.0)
    request.route = Route(route)
    return Exchange(request, None, status=status, duration=duration, error=error, aborted=aborted)


SAMPLING = Sampling(0.5, {2: 0.1, 3: 1.0}, {"health": 0.0, "orders": 0.4})
STRICT = Sampling(0.0, {1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0}, {"orders": 0.0})


@pytest.mark.parametrize(
    ("sampling", "made", "share"),
    [
        pytest.param(SAMPLING, exchange(200), 0.1, id="the smaller of route and class"),
        pytest.param(SAMPLING, exchange(302), 0.4, id="the route's, where its class is whole"),
        pytest.param(SAMPLING, exchange(200, "health"), 0.0, id="a route that is left out"),
        pytest.param(SAMPLING, exchange(302, "other"), 0.5, id="of no route that is named"),
        pytest.param(SAMPLING, exchange(404), 1.0, id="a client's error, of which nothing is said"),
        pytest.param(STRICT, exchange(404), 0.0, id="a client's error, of which something is said"),
        pytest.param(STRICT, exchange(403, error=Forbidden()), 0.0, id="a refusal, of which something is said"),
        pytest.param(Sampling(0.0), exchange(401), 1.0, id="rates of routes do not touch clients' errors"),
        pytest.param(STRICT, exchange(500), 1.0, id="a target's error"),
        pytest.param(STRICT, exchange(599), 1.0, id="any target's error"),
        pytest.param(STRICT, exchange(502, error=ConnectFailed()), 1.0, id="an upstream's failure"),
        pytest.param(STRICT, exchange(200, error=ConnectFailed()), 1.0, id="a failure that something recovered from"),
        pytest.param(STRICT, exchange(200, error=InternalError()), 1.0, id="a bug that something recovered from"),
        pytest.param(STRICT, exchange(200, aborted=True), 1.0, id="what was cut short"),
        pytest.param(STRICT, exchange(499, error=ClientClosed(), aborted=True), 0.0, id="a client that left"),
        pytest.param(STRICT, exchange(101), 0.0, id="a switch of protocols"),
    ],
)
def test_shares(sampling: Sampling, made: Exchange, share: float) -> None:
    assert sampling.share(made) == share


@pytest.mark.parametrize(("drawn", "written"), [(0.0, 0.1), (0.0999, 0.1), (0.1, 0.0), (0.99, 0.0)])
def test_draws(drawn: float, written: float) -> None:
    assert Sampling(1.0, {2: 0.1}, draw=lambda: drawn)(exchange()) == written


def test_a_line_says_what_share_it_stands_for() -> None:
    sink = Kept()
    draws = iter([0.05, 0.5, 0.05])
    log = AccessLog(sink, sampling=Sampling(1.0, {2: 0.1}, draw=lambda: next(draws)))
    for made in (exchange(), exchange(), exchange(503), exchange()):
        log(made)
    assert [(line["status"], line.get("sampled")) for line in sink.lines()] == [(200, 0.1), (503, None), (200, 0.1)]


def test_what_is_sampled_is_masked_all_the_same() -> None:
    sink = Kept()
    masks = {"orders": [lambda line: {**line, "path": "*"}], "secret": [lambda _line: None]}
    log = AccessLog(sink, (), masks, sampling=Sampling(1.0, {2: 0.5}, draw=lambda: 0.0))
    log(exchange())
    log(exchange(route="secret"))
    assert [line["path"] for line in sink.lines()] == ["*"]


# -- slow --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slow", "made", "is_slow"),
    [
        pytest.param(Slow(1.0), exchange(duration=1.0), True, id="at the threshold"),
        pytest.param(Slow(1.0), exchange(duration=0.999), False, id="below it"),
        pytest.param(Slow(1.0, {"orders": 5.0}), exchange(duration=2.0), False, id="below the route's own"),
        pytest.param(Slow(None, {"orders": 5.0}), exchange(duration=6.0), True, id="only a route has one"),
        pytest.param(Slow(None, {"other": 5.0}), exchange(duration=60.0), False, id="another route has one"),
        pytest.param(Slow(1.0, {"orders": None}), exchange(duration=60.0), False, id="a route that is never slow"),
        pytest.param(Slow(1.0), exchange(101, duration=3600.0), False, id="what was upgraded"),
        pytest.param(Slow(1.0), exchange(499, duration=3.0, aborted=True), True, id="a client that had enough"),
    ],
)
def test_what_is_slow(slow: Slow, made: Exchange, is_slow: bool, caplog: pytest.LogCaptureFixture) -> None:
    assert slow(made) is is_slow
    assert [(each.name, each.levelname) for each in caplog.records] == [("gateway.slow", "WARNING")] * is_slow


def test_a_slow_requests_line_is_written_whatever_the_sample() -> None:
    sink = Kept()
    log = AccessLog(sink, sampling=Sampling(0.0), slow=Slow(1.0))
    log(exchange(duration=2.0))
    log(exchange(duration=0.5))
    assert [line["duration_ms"] for line in sink.lines()] == [2000]


def test_without_an_access_log_slow_requests_are_told_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    log = AccessLog(None, slow=Slow(1.0))
    log(exchange(duration=2.0))
    log(exchange(duration=0.2))
    assert [each.getMessage() for each in caplog.records] == ["slow request"]


def test_where_only_errors_are_logged_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("ERROR", "gateway.slow"):
        assert Slow(0.5)(exchange(duration=2.0))
    assert not caplog.records


def test_their_number_is_bounded_and_what_is_left_out_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_SLOW", 3)
    now = [10.0]
    slow = Slow(1.0, clock=lambda: now[0])
    assert all(slow(exchange(duration=2.0)) for _ in range(10))
    assert len(caplog.records) == 3
    now[0] = 11.0
    slow(exchange(duration=2.0))
    slow(exchange(duration=2.0))
    assert [vars(each).get("untold") for each in caplog.records] == [None, None, None, 7, None]


def test_where_the_time_went() -> None:
    made = exchange(duration=10.0)
    spent = made.request.spent = Spent()
    spent.queue, spent.connect, spent.upload, spent.first_byte = 0.5, 1.0, 0.25, 4.0
    spent.answered = 107.0
    assert where(made) == {
        "gateway_ms": 1250.0,
        "queue_ms": 500.0,
        "connect_ms": 1000.0,
        "upload_ms": 250.0,
        "first_byte_ms": 4000.0,
        "body_ms": 3000.0,
    }


def test_where_the_time_of_the_short_way_went() -> None:
    made = exchange(duration=10.0)
    made.request.first_byte, made.request.answered = 6.0, 108.0
    assert where(made) == {
        "gateway_ms": 2000.0,
        "queue_ms": 0.0,
        "connect_ms": 0.0,
        "upload_ms": 0.0,
        "first_byte_ms": 6000.0,
        "body_ms": 2000.0,
    }


def test_where_nothing_was_forwarded_all_of_it_is_the_gateways() -> None:
    assert where(exchange(duration=3.0))["gateway_ms"] == 3000.0
    assert sum(where(exchange(duration=3.0)).values()) == 3000.0


def test_the_line() -> None:
    made = exchange(504, duration=15.0, aborted=True)
    made.request.trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    made.request.spent = Spent()
    made.request.spent.plugins = {"jwt": 0.001, "odd": -1e-9}
    fields = told(made, 1.0)
    assert {key: fields[key] for key in ("request_id", "route", "status", "duration_ms", "limit_ms", "aborted")} == {
        "request_id": "r1",
        "route": "orders",
        "status": 504,
        "duration_ms": 15000.0,
        "limit_ms": 1000.0,
        "aborted": True,
    }
    assert fields["plugins_ms"] == {"jwt": 1.0, "odd": 0.0}
    assert fields["trace"] == "0af7651916cd43dd8448eb211c80319c"
    assert not set(fields) & set(vars(logging.makeLogRecord({})))  # logging refuses such names


def test_plugin_times_stand_in_the_line_where_asked() -> None:
    sinks = Kept(), Kept()
    made = exchange()
    made.request.spent = Spent()
    made.request.spent.plugins = {"jwt": 0.0015}
    AccessLog(sinks[0], plugins=True)(made)
    AccessLog(sinks[0], plugins=True)(exchange())
    AccessLog(sinks[1])(made)
    assert [line.get("plugins_ms") for line in sinks[0].lines()] == [{"jwt": 1.5}, None]
    assert [line.get("plugins_ms") for line in sinks[1].lines()] == [None]
