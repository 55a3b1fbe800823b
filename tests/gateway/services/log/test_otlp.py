"""Lines at an OpenTelemetry collector: a real HTTP server that reads the protobuf."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

from gateway.services.log import otlp
from gateway.services.log import sink as sinks
from gateway.services.log.otlp import OtlpSink

ACCESS = {
    "ts": "2026-11-21T12:00:00.123Z",
    "request_id": "r1",
    "client": "192.0.2.1",
    "method": "GET",
    "host": "shop.example",
    "path": "/a",
    "status": 502,
    "duration_ms": 12.5,
    "bytes_in": 3,
    "bytes_out": 7,
    "route": "orders",
    "target": "http://127.0.0.1:9000",
    "attempts": 2,
    "error": "connect_failed",
    "agent": "curl/8",
    "trace": "0af7651916cd43dd8448eb211c80319c",
    "span": "b7ad6b7169203331",
    "plugins_ms": {"jwt": 0.5},
    "aborted": True,
}
OWN = {"ts": "2026-11-21T12:00:00.123Z", "level": "warning", "logger": "gateway.x", "msg": "hello", "list": [1, None]}


class Collector:
    """Keeps what it is sent; answers what it is told to."""

    def __init__(self) -> None:
        self.records: list[tuple[str, Any]] = []
        self.resources: list[dict[str, str]] = []
        self.headers: list[Any] = []
        self.answers: list[web.Response] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        content = await request.read()
        assert request.content_type == "application/x-protobuf"
        self.headers.append(request.headers)
        if self.answers:
            answer = self.answers.pop(0)
            if answer.status != 200:
                return answer
        else:
            answer = web.Response(body=ExportLogsServiceResponse().SerializeToString())
        # aiohttp has undone the compression already, if there was any.
        message = ExportLogsServiceRequest.FromString(
            gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        )
        for resource in message.resource_logs:
            self.resources.append({each.key: each.value.string_value for each in resource.resource.attributes})
            for scope in resource.scope_logs:
                self.records += [(scope.scope.name, record) for record in scope.log_records]
        return answer


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    monkeypatch.setattr(sinks, "SHORTEST_PAUSE", 0.01)
    monkeypatch.setattr(sinks, "LONGEST_PAUSE", 0.05)
    made = Collector()
    application = web.Application()
    application.router.add_post("/v1/logs", made.take)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def closing() -> AsyncIterator[Any]:
    made: list[OtlpSink] = []
    yield made.append
    for sink in made:
        await asyncio.to_thread(sink.close)


def line(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode() + b"\n"


def values(record: Any) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        kind = value.WhichOneof("value")
        if kind == "kvlist_value":
            return {each.key: plain(each.value) for each in value.kvlist_value.values}
        if kind == "array_value":
            return [plain(each) for each in value.array_value.values]
        return getattr(value, kind) if kind else None

    return {each.key: plain(each.value) for each in record.attributes}


async def test_what_arrives(collector: Collector, closing: Any, until: Any) -> None:
    sink = OtlpSink(collector.url, headers={"X-Tenant": "me"})
    closing(sink)
    sink.write(line(ACCESS))
    sink.write(b"no json\n")
    sink.write(line(OWN))
    await until(lambda: len(collector.records) == 2)
    (access_scope, access), (own_scope, own) = collector.records
    assert (access_scope, own_scope) == ("gateway.access", "gateway.x")
    assert access.time_unix_nano == 1795262400_123_000_000
    assert access.observed_time_unix_nano > access.time_unix_nano - 10**18
    assert (access.severity_number, access.severity_text) == (17, "ERROR")
    assert (own.severity_number, own.severity_text) == (13, "WARNING")
    assert (access.body.string_value, own.body.string_value) == ("GET /a 502", "hello")
    assert access.trace_id.hex() == ACCESS["trace"]
    assert access.span_id.hex() == ACCESS["span"]
    assert values(access) == {
        "sidegate.request_id": "r1",
        "client.address": "192.0.2.1",
        "http.request.method": "GET",
        "server.address": "shop.example",
        "url.path": "/a",
        "http.response.status_code": 502,
        "sidegate.duration_ms": 12.5,
        "http.request.body.size": 3,
        "http.response.body.size": 7,
        "sidegate.route": "orders",
        "sidegate.target": "http://127.0.0.1:9000",
        "sidegate.attempts": 2,
        "error.type": "connect_failed",
        "user_agent.original": "curl/8",
        "sidegate.plugins_ms": {"jwt": 0.5},
        "sidegate.aborted": True,
    }
    assert values(own) == {"sidegate.list": [1, None]}
    assert collector.resources[0]["service.name"] == "sidegate"
    assert set(collector.resources[0]) == {"service.name", "service.version", "service.instance.id"}
    assert collector.headers[0]["X-Tenant"] == "me"
    assert sink.dropped == 1


async def test_batches_are_bounded_and_nothing_is_lost(
    collector: Collector, closing: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "BATCH", 100)
    sink = OtlpSink(collector.url)
    closing(sink)
    for number in range(1050):
        sink.write(line({**OWN, "number": number}))
    await until(lambda: len(collector.records) == 1050)
    assert [values(record)["sidegate.number"] for _, record in collector.records] == list(range(1050))
    assert len(collector.headers) >= 11


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_what_it_cannot_take_now_is_sent_again(
    collector: Collector, closing: Any, until: Any, status: int
) -> None:
    collector.answers = [web.Response(status=status) for _ in range(3)]
    sink = OtlpSink(collector.url)
    closing(sink)
    sink.write(line(OWN))
    await until(lambda: len(collector.records) == 1)
    assert (len(collector.headers), sink.dropped) == (4, 0)


async def test_not_sooner_than_it_asks(collector: Collector, closing: Any, until: Any) -> None:
    collector.answers = [web.Response(status=503, headers={"Retry-After": "1"})]
    sink = OtlpSink(collector.url)
    closing(sink)
    sink.write(line(OWN))
    await until(lambda: sink.failures == 1)
    # The pause that would be without it is a hundredth of a second.
    assert sink._again_at > sinks.time.monotonic() + 0.1
    await until(lambda: len(collector.records) == 1)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 500])
async def test_what_it_refuses_is_dropped_counted_and_told_once(
    collector: Collector, closing: Any, until: Any, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    collector.answers = [web.Response(status=status) for _ in range(2)]
    sink = OtlpSink(collector.url, name="otlp-under-test")
    closing(sink)
    for number in (1, 2):
        sink.write(line(OWN))
        await until(lambda number=number: sink.dropped == number)
    sink.write(line({**OWN, "number": 3}))
    await until(lambda: len(collector.records) == 1)
    said = [each.getMessage() for each in caplog.records if "otlp-under-test" in each.getMessage()]
    refusals = [each for each in said if "fails" in each]
    assert refusals == [
        f"log sink otlp-under-test fails: the collector refuses lines with status {status}; lines are dropped"
    ]


async def test_records_that_it_took_out_are_counted(collector: Collector, closing: Any, until: Any) -> None:
    told = ExportLogsServiceResponse(partial_success=ExportLogsPartialSuccess(rejected_log_records=2))
    collector.answers = [web.Response(body=told.SerializeToString()), web.Response(body=b"\xff no protobuf")]
    sink = OtlpSink(collector.url)
    closing(sink)
    sink.write(line(OWN))
    await until(lambda: sink.dropped == 2)
    sink.write(line(OWN))
    await until(lambda: len(collector.records) == 2)
    assert sink.dropped == 2


async def test_one_that_is_away_is_waited_for(closing: Any, until: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "SHORTEST_PAUSE", 0.01)
    sink = OtlpSink("http://127.0.0.1:9")  # discard: nobody listens
    closing(sink)
    sink.write(line(OWN))
    await until(lambda: sink.failures >= 2)
    assert (sink.dropped, len(sink._unwritten) <= 1) == (0, True)
