"""Traces through a whole gateway: which spans an exchange has, how they stand in each other, what targets are told."""

import asyncio

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from gateway.runtime.live import TracedRuntime
from gateway.services.tracing import current
from gateway.testing import origin, running

TRACE, PARENT = "ab" * 16, "cd" * 8
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


def config(tracing="", plugins="", route="", upstream="", more=""):
    return f"""
admin: off
tracing: {{endpoint: "${{COLLECTOR}}", batch: {{interval: 50ms}}, {tracing}}}
upstreams: {{o: {{targets: ["${{TARGET}}"], {upstream}}}}}
routes:
  - {{name: all, match: {{path: /orders/}}, upstream: o, plugins: [{plugins}], {route}}}
{more}
"""


async def told(gateway, collector, **request):
    """The spans of one exchange by name, all of them sent."""
    given = {"headers": SAMPLED, "method": "GET", "path": "/orders/5", **request}
    answer = await gateway.fetch(given["method"], given["path"], headers=given["headers"])
    await gateway.ended(len(gateway.exchanges) or 1)
    await gateway.services.close()
    return answer, {span.name: span for span in collector.spans}


async def test_off_the_runtime_is_the_plain_one_and_the_trace_goes_on_all_the_same():
    text = config().replace('tracing: {endpoint: "${COLLECTOR}", batch: {interval: 50ms}, }', "tracing: off")
    async with origin() as target, running(text, TARGET=target.url) as gateway:
        assert not isinstance(gateway.runtime, TracedRuntime)
        await gateway.fetch("GET", "/orders/5", headers=SAMPLED)
        assert target.requests[0].headers["traceparent"][3:35] == TRACE
        assert target.requests[0].headers["traceparent"][36:52] != PARENT


async def test_plugins_stand_in_each_other_and_the_attempt_in_the_innermost(span_collector):
    plugins = "{plugin: security_headers}, {plugin: size_limit}, {plugin: mock, id: never, when: {path: /no}, with: {}}"
    plugins = plugins.rpartition(", {plugin: mock")[0]
    async with origin() as target:
        text = config("plugins: true", plugins)
        async with running(text, TARGET=target.url, COLLECTOR=span_collector.url) as gateway:
            _, spans = await told(gateway, span_collector)
    server, outer, inner, attempt = (spans[n] for n in ("GET /orders/", "security_headers", "size_limit", "GET"))
    assert (server.parent, outer.parent, inner.parent, attempt.parent) == (PARENT, server.id, outer.id, inner.id)
    assert {span.trace for span in spans.values()} == {TRACE}
    assert target.requests[0].headers["traceparent"] == f"00-{TRACE}-{attempt.id}-01"


async def test_a_refusal_is_said_on_the_span_of_the_plugin_that_refused(span_collector):
    plugins = "{plugin: security_headers}, {plugin: ip_restriction, with: {deny: [127.0.0.1]}}"
    async with origin() as target:
        text = config("plugins: true", plugins)
        async with running(text, TARGET=target.url, COLLECTOR=span_collector.url) as gateway:
            answer, spans = await told(gateway, span_collector)
    assert answer.status == 403
    assert spans["ip_restriction"].attributes["error.type"]
    assert not spans["security_headers"].error
    assert "GET" not in spans, "no attempt was made"
    assert not spans["GET /orders/"].error, "a refusal is no failure of the server"


async def test_each_attempt_has_its_span_and_its_error(span_collector):
    async with origin(503) as target:
        upstream = "retry: {attempts: 3, on: [503], backoff: {base: 1ms, max: 2ms}, budget: 100%}"
        async with running(config(upstream=upstream), TARGET=target.url, COLLECTOR=span_collector.url) as gateway:
            await told(gateway, span_collector)
    attempts = [span for span in span_collector.spans if span.kind == 3]
    assert [span.attributes.get("http.request.resend_count") for span in attempts] == [None, 1, 2]
    assert {span.attributes["error.type"] for span in attempts} == {"503"}
    assert len({request.headers["traceparent"] for request in target.requests}) == 3
    (server,) = [span for span in span_collector.spans if span.kind == 2]
    assert {span.parent for span in attempts} == {server.id}
    assert server.attributes["error.type"] == "503"


async def test_a_target_that_is_not_there_has_a_span_with_our_code(span_collector):
    async with running(config(), TARGET="http://127.0.0.1:1", COLLECTOR=span_collector.url) as gateway:
        answer, spans = await told(gateway, span_collector)
    assert answer.status == 502
    assert spans["GET"].attributes["error.type"] == spans["GET /orders/"].attributes["error.type"] == "connect_failed"
    assert "http.response.status_code" not in spans["GET"].attributes


async def test_a_stream_ends_its_spans_with_its_last_byte(span_collector):
    async with (
        origin(chunks=[b"a"] * 3) as target,
        running(config(), TARGET=target.url, COLLECTOR=span_collector.url) as gateway,
    ):
        answer, spans = await told(gateway, span_collector)
    assert answer.body == b"aaa"
    assert spans["GET /orders/"].attributes["http.response.body.size"] == 3
    assert not spans["GET"].error


@pytest.mark.parametrize(
    ("tracing", "route", "headers", "path", "names"),
    [
        pytest.param("sampling: {ratio: 0%}", "", {}, "/orders/5", [], id="not sampled"),
        pytest.param("sampling: {ratio: 0%}", "tracing: {ratio: 100%}", {}, "/orders/5", 2, id="a route's own ratio"),
        pytest.param("sampling: {ratio: 100%}", "tracing: {off: true}", SAMPLED, "/orders/5", [], id="a route off"),
        pytest.param("sampling: {ratio: 100%}", "", {}, "/nowhere", ["GET"], id="what no route took"),
        pytest.param("sampling: {ratio: 0%, slow: 1ms}", "", {}, "/orders/slow", 2, id="what was slow"),
    ],
)
async def test_what_arrives(span_collector, tracing, route, headers, path, names):
    plugins = "{plugin: fault, with: {delay: {duration: 20ms}}, when: {path: /orders/slow}}"
    async with origin() as target:
        text = config(tracing, plugins, route)
        async with running(text, TARGET=target.url, COLLECTOR=span_collector.url) as gateway:
            await told(gateway, span_collector, headers=headers, path=path)
    found = [span.name for span in span_collector.spans]
    assert found == names if isinstance(names, list) else len(found) == names


async def test_those_behind_are_told_the_decision_of_the_route():
    async with origin() as target:
        for share, flag in (("0%", "00"), ("100%", "01")):
            text = config(f"sampling: {{ratio: {share}, parent: ignore}}").replace("50ms", "50ms, flush: 10ms")
            async with running(text, TARGET=target.url, COLLECTOR="http://127.0.0.1:1") as gateway:
                await gateway.fetch("GET", "/orders/1", headers=SAMPLED)
            assert target.requests[-1].headers["traceparent"].endswith(f"-{flag}")


@pytest.mark.parametrize(
    ("kind", "sampled"), [("b3", "100%"), ("b3", "0%"), ("b3multi", "100%")], ids=["single", "unsampled", "multi"]
)
async def test_b3_goes_on_in_b3_where_that_is_asked(span_collector, kind, sampled):
    given = {"b3": f"{TRACE}-{PARENT}", "tracestate": "a=1"}
    text = config(f"propagate: {kind}, sampling: {{ratio: {sampled}}}")
    async with origin() as target, running(text, TARGET=target.url, COLLECTOR=span_collector.url) as gateway:
        await told(gateway, span_collector, headers=given)
    told_so = target.requests[0].headers
    _, trace, span, flags = told_so["traceparent"].split("-")
    assert trace == TRACE
    if kind == "b3":
        assert told_so["b3"].startswith(f"{TRACE}-{span}-{int(flags)}")
        assert "X-B3-TraceId" not in told_so
    else:
        assert (told_so["X-B3-TraceId"], told_so["X-B3-SpanId"], told_so["X-B3-Sampled"]) == (TRACE, span, "1")
        assert "b3" not in told_so, "what the caller wrote is not left beside it"
    if sampled == "100%":
        (server,) = [each for each in span_collector.spans if each.kind == 2]
        assert (server.trace, server.parent) == (TRACE, PARENT)


async def test_exchanges_on_one_connection_do_not_mix_and_leave_nothing(span_collector):
    async with origin() as target:
        text = config("sampling: {ratio: 100%}")
        async with running(text, TARGET=target.url, COLLECTOR=span_collector.url) as gateway:
            await asyncio.gather(*(gateway.fetch("GET", f"/orders/{number}") for number in range(30)))
            await gateway.ended(30)
            assert current.get() is None
            await gateway.services.close()
    servers = {span.id: span for span in span_collector.spans if span.kind == 2}
    attempts = [span for span in span_collector.spans if span.kind == 3]
    assert (len(servers), len(attempts)) == (30, 30)
    for span in attempts:
        assert servers[span.parent].trace == span.trace
        assert span.attributes["url.full"].endswith(servers[span.parent].attributes["url.path"])


async def test_a_reload_takes_up_another_ratio_and_another_exporter(span_collector):
    text, given = config("sampling: {ratio: 0%}"), {"COLLECTOR": span_collector.url}
    async with origin() as target, running(text, TARGET=target.url, **given) as gateway:
        await gateway.fetch("GET", "/orders/1")
        await gateway.reload(text.replace("ratio: 0%", "ratio: 100%"), TARGET=target.url, **given)
        await gateway.fetch("GET", "/orders/2")
        await gateway.reload(
            text.replace("50ms", "60ms").replace("ratio: 0%", "ratio: 100%"), TARGET=target.url, **given
        )
        await gateway.fetch("GET", "/orders/3")
        await gateway.ended(3)
        await gateway.services.close()
    served = sorted(span.attributes["url.path"] for span in span_collector.spans if span.kind == 2)
    assert served == ["/orders/2", "/orders/3"]


async def test_what_pii_masking_masks_in_logs_it_masks_in_traces(span_collector):
    plugins = "{plugin: pii_masking}"
    async with origin() as target:
        text = config("request_headers: [x-customer]", plugins)
        async with running(text, TARGET=target.url, COLLECTOR=span_collector.url) as gateway:
            headers = {**SAMPLED, "X-Customer": "anna@example.com", "User-Agent": "card 4111 1111 1111 1111"}
            await told(gateway, span_collector, headers=headers, path="/orders/anna@example.com")
    assert len(span_collector.spans) == 2
    assert "anna" not in str(span_collector.spans)
    assert "4111 1111 1111" not in str(span_collector.spans)
    assert {span.attributes.get("http.route") for span in span_collector.spans} == {"/orders/", None}


async def test_the_parts_of_a_batch_stand_below_it(span_collector):
    more = "  - {name: batch, match: {path: /batch}, plugins: [{plugin: batch}]}"
    parts = '[{"method": "GET", "path": "/orders/1"}, {"method": "GET", "path": "/orders/2"}]'
    async with (
        origin() as target,
        running(config(more=more), TARGET=target.url, COLLECTOR=span_collector.url) as gateway,
    ):
        headers = {**SAMPLED, "Content-Type": "application/json"}
        answer = await gateway.fetch("POST", "/batch", headers=headers, body=parts)
        assert answer.status == 200, answer.body
        await gateway.ended(3)
        await gateway.services.close()
    (whole,) = [span for span in span_collector.spans if span.name == "POST /batch"]
    inner = [span for span in span_collector.spans if span.kind == 1]
    attempts = [span for span in span_collector.spans if span.kind == 3]
    assert [span.parent for span in inner] == [whole.id] * 2
    assert {span.parent for span in attempts} == {span.id for span in inner}
    assert {span.trace for span in span_collector.spans} == {TRACE}


async def test_a_websocket_is_a_span_until_it_ends(span_collector):
    async def echo(socket):
        async for message in socket:
            await socket.send(message)

    async with serve(echo, "127.0.0.1", 0) as service:
        target = f"http://127.0.0.1:{service.sockets[0].getsockname()[1]}"
        async with running(config(), TARGET=target, COLLECTOR=span_collector.url) as gateway:
            url = gateway.url.replace("http://", "ws://")
            async with connect(f"{url}/orders/5", additional_headers=SAMPLED, proxy=None) as socket:
                await socket.send("x")
                assert await socket.recv() == "x"
                assert span_collector.spans == []
            await gateway.ended(1)
            await gateway.services.close()
    server, attempt = sorted(span_collector.spans, key=lambda span: span.kind)
    assert (server.attributes["http.response.status_code"], server.attributes["sidegate.upgrade"]) == (101, "websocket")
    assert (attempt.parent, attempt.attributes["http.response.status_code"]) == (server.id, 101)


async def test_a_target_that_cuts_its_answer_short_is_the_error_of_both_spans(span_collector):
    async def cut(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    async with server:
        target = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with running(config("sampling: {ratio: 0%}"), TARGET=target, COLLECTOR=span_collector.url) as gateway:
            with pytest.raises(aiohttp.ClientError):
                await gateway.fetch("GET", "/orders/5")
            await gateway.ended(1)
            await gateway.services.close()
    assert {span.attributes["error.type"] for span in span_collector.spans} == {"truncated_answer"}
    assert {span.kind for span in span_collector.spans} == {2, 3}, "it was not sampled, and is kept as it failed"
