"""A collector of traces as there are many: takes OTLP over HTTP, and tells what it got."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

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
    """Made by `collector`."""

    def __init__(self) -> None:
        self.url = ""
        self.spans: list[Told] = []
        self.batches: list[tuple[dict[str, str], int]] = []
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
            self.batches.append((dict(request.headers), len(found)))
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


@contextlib.asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
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
