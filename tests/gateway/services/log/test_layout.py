"""What a line looks like."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from gateway.services.log.layout import LAYOUTS, console, ecs, level_of, otel, seconds_of

ACCESS: dict[str, Any] = {
    "ts": "2026-11-21T12:00:00.123Z",
    "request_id": "r1",
    "client": "192.0.2.1",
    "method": "GET",
    "host": "shop.example",
    "path": "/a",
    "status": 200,
    "duration_ms": 12.5,
    "bytes_in": 3,
    "bytes_out": 7,
    "route": "orders",
    "target": "http://127.0.0.1:9000",
    "attempts": 1,
    "principal": "ada",
    "tenant": "acme",
    "agent": "curl/8",
    "trace": "0af7651916cd43dd8448eb211c80319c",
    "span": "b7ad6b7169203331",
}
OWN: dict[str, Any] = {
    "ts": "2026-11-21T12:00:00.123Z",
    "level": "error",
    "logger": "gateway.reload",
    "msg": "failed",
    "route": "orders",
    "exception": "Traceback\n  ValueError",
}


def test_ecs_of_an_exchange() -> None:
    assert json.loads(ecs(ACCESS)) == {
        "@timestamp": "2026-11-21T12:00:00.123Z",
        "log.level": "info",
        "message": "GET /a 200",
        "ecs.version": "8.17.0",
        "service.name": "sidegate",
        "event.dataset": "sidegate.access",
        "event.duration": 12_500_000,
        "event.outcome": "success",
        "http.request.id": "r1",
        "client.address": "192.0.2.1",
        "client.ip": "192.0.2.1",
        "http.request.method": "GET",
        "url.domain": "shop.example",
        "url.path": "/a",
        "http.response.status_code": 200,
        "http.request.body.bytes": 3,
        "http.response.body.bytes": 7,
        "sidegate.route": "orders",
        "sidegate.target": "http://127.0.0.1:9000",
        "sidegate.attempts": 1,
        "user.id": "ada",
        "organization.id": "acme",
        "user_agent.original": "curl/8",
        "trace.id": "0af7651916cd43dd8448eb211c80319c",
        "span.id": "b7ad6b7169203331",
    }


@pytest.mark.parametrize(
    ("client", "is_ip"),
    [
        ("192.0.2.1", True),
        ("2001:db8::1", True),
        ("192.0.2.0/24", False),
        ("2001:db8::/48", False),
        ("[ip]", False),
        ("", False),
        ("shop.example", False),
    ],
)
def test_a_masked_address_is_none_to_ecs(client: str, is_ip: bool) -> None:
    line = json.loads(ecs({**ACCESS, "client": client}))
    assert line["client.address"] == client
    assert ("client.ip" in line) is is_ip


def test_ecs_of_the_gateways_own() -> None:
    assert json.loads(ecs(OWN)) == {
        "@timestamp": "2026-11-21T12:00:00.123Z",
        "log.level": "error",
        "log.logger": "gateway.reload",
        "message": "failed",
        "ecs.version": "8.17.0",
        "service.name": "sidegate",
        "event.dataset": "sidegate.gateway",
        "sidegate.route": "orders",
        "error.stack_trace": "Traceback\n  ValueError",
    }


def test_otel_of_an_exchange() -> None:
    line = json.loads(otel(ACCESS))
    attributes = line.pop("Attributes")
    assert line == {
        "Timestamp": "2026-11-21T12:00:00.123Z",
        "SeverityText": "INFO",
        "SeverityNumber": 9,
        "Body": "GET /a 200",
        "TraceId": "0af7651916cd43dd8448eb211c80319c",
        "SpanId": "b7ad6b7169203331",
        "Resource": {"service.name": "sidegate"},
        "InstrumentationScope": {"Name": "gateway.access"},
    }
    assert attributes["http.response.status_code"] == 200
    assert attributes["url.path"] == "/a"
    assert attributes["sidegate.route"] == "orders"
    assert not {"trace", "span", "ts"} & {key.rpartition(".")[2] for key in attributes}


def test_otel_of_the_gateways_own() -> None:
    line = json.loads(otel(OWN))
    assert (line["SeverityText"], line["SeverityNumber"], line["Body"]) == ("ERROR", 17, "failed")
    assert line["InstrumentationScope"] == {"Name": "gateway.reload"}
    assert line["Attributes"] == {"sidegate.route": "orders", "exception.stacktrace": "Traceback\n  ValueError"}


def test_an_exchange_for_people() -> None:
    text = console({**ACCESS, "path": "/a\x1b[31m"}).decode()
    assert text.split(" ", 1)[1].startswith(r"200     12.5ms GET /a\x1b[31m (orders)  request_id=r1 client=192.0.2.1")
    assert text.endswith("\n") and text.count("\n") == 1


@pytest.mark.parametrize(
    ("record", "level"),
    [
        ({"status": 200}, "info"),
        ({"status": 499}, "info"),
        ({"status": 500}, "error"),
        ({"status": "masked"}, "info"),
        ({"msg": "x", "status": 500}, "info"),
        ({"level": "warning", "msg": "x"}, "warning"),
    ],
)
def test_levels(record: dict[str, Any], level: str) -> None:
    assert level_of(record) == level


def test_times() -> None:
    assert seconds_of({"ts": "2026-11-21T12:00:00.123Z"}) == pytest.approx(1795262400.123, abs=1e-6)
    assert seconds_of({"ts": "2026-11-21T12:00:00Z"}) == 1795262400
    for odd in ({"ts": "noon"}, {}, {"ts": None}, {"ts": "2026-11-21T12:00:00.xZ"}):
        assert abs(seconds_of(odd) - time.time()) < 600


@pytest.mark.parametrize("name", [name for name, layout in LAYOUTS.items() if layout is not None])
@pytest.mark.parametrize("record", [{}, {"msg": None}, {"status": None}, {"msg": "\ud800"}, {"ts": 5, "msg": "x"}])
def test_odd_lines_are_laid_out_or_refused_and_never_two(name: str, record: dict[str, Any]) -> None:
    layout = LAYOUTS[name]
    assert layout is not None
    try:
        made = layout(record)
    except UnicodeEncodeError:
        return
    assert made.endswith(b"\n") and made.count(b"\n") == 1


def test_nobody_turns_a_line_round_for_people() -> None:
    line = console({"ts": "2026-11-21T12:00:00.000Z", "method": "GET", "path": "/a\u202e\u2028b", "status": 200})
    assert b"/a\\u202e\\u2028b" in line
