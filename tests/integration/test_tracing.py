"""Traces of a real gateway process at a real collector, with real services behind."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

TRACE, PARENT = "ab" * 16, "cd" * 8


def traced(behind: Any, url: str, collector: str, **more: Any) -> dict[str, Any]:
    return {
        **behind(url),
        "tracing": {
            "endpoint": collector,
            "headers": {"Authorization": "Bearer c0llector-s3cret"},
            "sampling": {"ratio": "100%"},
            "batch": {"interval": "50ms"},
            "resource": {"deployment.environment.name": "test"},
            **more,
        },
    }


async def test_an_exchange_is_one_trace_from_the_caller_to_the_target_and_into_the_logs(
    gateway: Any, behind: Any, httpbin_url: str, session: Any, span_collector: Any
) -> None:
    process = gateway({**traced(behind, httpbin_url, span_collector.url, plugins=True), "access_log": "stdout"})
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=1,b=2"}
    async with session.get(f"{process.url}/headers?token=s3cret-of-a-client", headers=headers) as answer:
        told = {name.lower(): value for name, value in json.loads(await answer.read())["headers"].items()}
    attempt, server = sorted(await span_collector.until(2), key=lambda span: -span.kind)
    assert (server.kind, server.trace, server.parent, server.state) == (2, TRACE, PARENT, "a=1,b=2")
    assert (attempt.kind, attempt.trace, attempt.parent) == (3, TRACE, server.id)
    assert told["traceparent"] == f"00-{TRACE}-{attempt.id}-01"
    assert told["tracestate"] == "a=1,b=2"
    assert server.attributes["http.response.status_code"] == 200
    assert server.attributes["url.path"] == "/headers"
    assert server.resource["deployment.environment.name"] == "test"
    assert "s3cret" not in str(span_collector.spans)
    assert span_collector.batches[0][0]["Authorization"] == "Bearer c0llector-s3cret"
    process.signal(signal.SIGTERM)
    assert await process.ended() == 0
    (line,) = [json.loads(each) for each in process.out().splitlines()]
    assert (line["trace"], line["span"]) == (TRACE, server.id)
    assert "c0llector" not in process.log() + process.out()


async def test_what_waits_is_sent_when_the_gateway_ends(
    gateway: Any, behind: Any, origin: Any, answering: Any, session: Any, span_collector: Any
) -> None:
    target = await origin(answering())
    process = gateway(traced(behind, target.url, span_collector.url, batch={"interval": "1h"}))
    for _ in range(3):
        async with session.get(process.url) as answer:
            await answer.read()
    assert not span_collector.spans, "an hour is not over"
    process.signal(signal.SIGTERM)
    assert await process.ended() == 0
    assert len(span_collector.spans) == 6


async def test_a_reload_switches_it_on_and_off_and_a_dead_collector_holds_up_nobody(
    gateway: Any, behind: Any, origin: Any, answering: Any, session: Any, span_collector: Any, until: Any
) -> None:
    target = await origin(answering())
    process = gateway(behind(target.url))

    async def ask() -> None:
        async with session.get(process.url) as answer:
            assert answer.status == 200
            await answer.read()

    async def taken_up(count: int) -> None:
        async def reloads() -> bool:
            return (await process.metrics())["sidegate_config_reloads_total", ()] == count

        await until(reloads)

    await ask()
    process.write(traced(behind, target.url, span_collector.url))
    await taken_up(1)
    await ask()
    assert len(await span_collector.until(2)) == 2
    # Now a collector that takes connections and says nothing, with room for two spans.
    span_collector.stuck.clear()
    process.write(traced(behind, target.url, span_collector.url, batch={"interval": "50ms", "queue": 2, "size": 1}))
    await taken_up(2)
    await asyncio.gather(*(ask() for _ in range(20)))

    async def dropped() -> bool:
        found = await process.metrics()
        return found["sidegate_trace_spans_dropped_total", (("reason", "queue"),)] > 0

    await until(dropped)
    span_collector.stuck.set()
    process.write({})
    await taken_up(3)
    before = len(span_collector.spans)
    await ask()
    process.signal(signal.SIGTERM)
    assert await process.ended() == 0
    assert len(span_collector.spans) <= before + 3, "nothing of the last one; what had waited may have come"


async def test_a_delivery_is_a_trace_of_its_own_that_is_linked_to_the_one_it_was_accepted_in(
    gateway: Any, behind: Any, origin: Any, answering: Any, session: Any, span_collector: Any, tmp_path: Any
) -> None:
    target = await origin(answering())
    config = traced(behind, target.url, span_collector.url)
    config["stores"] = {"durable": f"sqlite://{tmp_path}/queue.db"}
    config["routes"][0]["plugins"] = [{"plugin": "inbox"}]
    process = gateway(config)
    async with session.post(process.url, data=b"{}", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"}) as answer:
        assert answer.status == 202
    spans = {span.kind: span for span in await span_collector.until(3)}
    accepted, delivered, attempt = spans[2], spans[5], spans[3]
    assert accepted.trace == TRACE
    assert delivered.trace == attempt.trace != TRACE
    assert delivered.links == [(TRACE, accepted.id)]
    assert attempt.parent == delivered.id
    assert delivered.name == "deliver all"
