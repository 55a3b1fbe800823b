"""Where a gateway sends what it tells of itself: a collector of traces (OTLP) and a tracker of errors (Sentry)."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

WITHIN = 60.0


@dataclass
class Told:
    """A span, in words a test can read."""

    name: str
    kind: int
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    error: bool
    flags: int
    state: str
    nanoseconds: int
    links: list[tuple[str, str]] = field(default_factory=list)
    resource: dict[str, Any] = field(default_factory=dict)


class Collector:
    """A collector of traces, and what it got. The fixture `span_collector` makes one."""

    def __init__(self) -> None:
        self.url = ""
        self.spans: list[Told] = []
        self.batches: list[tuple[Mapping[str, str], int]] = []
        """Header fields and number of spans of each."""
        self.status = 200
        self.stuck = asyncio.Event()
        """Cleared: it takes connections and does not answer."""
        self.stuck.set()

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        await self.stuck.wait()
        if self.status == 200:
            found = list(_spans(ExportTraceServiceRequest.FromString(body)))
            self.spans += found
            self.batches.append((request.headers, len(found)))
        return web.Response(status=self.status, content_type="application/x-protobuf")

    async def until(self, count: int) -> list[Told]:
        """The spans, once there are so many."""
        end = time.monotonic() + WITHIN
        while len(self.spans) < count:
            assert time.monotonic() < end, f"only {[span.name for span in self.spans]}"
            await asyncio.sleep(0.02)
        return self.spans


def _spans(told: Any) -> Any:
    for group in told.resource_spans:
        resource = {each.key: _value(each.value) for each in group.resource.attributes}
        for scope in group.scope_spans:
            for span in scope.spans:
                yield Told(
                    span.name,
                    span.kind,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    {each.key: _value(each.value) for each in span.attributes},
                    span.status.code == 2,
                    span.flags,
                    span.trace_state,
                    span.end_time_unix_nano - span.start_time_unix_nano,
                    [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                    resource,
                )


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind)


@pytest.fixture
async def span_collector() -> AsyncIterator[Collector]:
    """A real one, on a free port."""
    made = Collector()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/traces", made.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address: Any = runner.addresses[0]
        made.url = f"http://{address[0]}:{address[1]}"
        yield made
    finally:
        made.stuck.set()
        await runner.cleanup()


class Tracker:
    """A tracker, and what it got. The fixture `error_tracker` makes one."""

    def __init__(self) -> None:
        self.dsn = ""
        self.events: list[dict[str, Any]] = []
        self.raw = b""
        """All that came, unpacked."""
        self.auth: list[str] = []
        self.paths: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        self.raw += body
        self.auth.append(request.headers.get("X-Sentry-Auth", ""))
        self.paths.append(request.path)
        _, _, rest = body.partition(b"\n")
        while rest.strip():
            head, _, rest = rest.partition(b"\n")
            item = json.loads(head)
            length = item.get("length", len(rest))
            payload, rest = rest[:length], rest[length:].lstrip(b"\n")
            if item["type"] == "event":
                self.events.append(json.loads(payload))
        return web.json_response({})

    async def until(self, count: int) -> list[dict[str, Any]]:
        """The events, once there are so many."""
        end = time.monotonic() + WITHIN
        while len(self.events) < count:
            assert time.monotonic() < end, f"only {len(self.events)} events"
            await asyncio.sleep(0.02)
        return self.events


@pytest.fixture
async def error_tracker() -> AsyncIterator[Tracker]:
    """A real one, on a free port."""
    made = Tracker()
    app = web.Application()
    app.router.add_post("/api/7/envelope/", made.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address: Any = runner.addresses[0]
        made.dsn = f"http://publickey@{address[0]}:{address[1]}/7"
        yield made
    finally:
        await runner.cleanup()
