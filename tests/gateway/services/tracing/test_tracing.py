"""What a worker has of tracing over reloads: exporters, counters, work that was put off, the ids in log lines."""

import asyncio
import logging
import threading

import pytest

from gateway.errors import ConnectFailed
from gateway.http import Exchange, Response
from gateway.services.log import Slow
from gateway.services.masking import Masking
from gateway.services.metrics import Metrics
from gateway.services.tracing import Collector, Options, Tracing, current
from gateway.testing import request

STORED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def options(url="http://127.0.0.1:1", **more):
    return Options(Collector(f"{url}/v1/traces", interval=0.05, timeout=1.0, flush=1.0), **more)


def counted(metrics, name):
    family = next(each for each in metrics.snapshot() if each["name"] == name)
    return {tuple(values): value for values, value in family["samples"]}


@pytest.fixture
async def tracing():
    made = Tracing(Metrics(), Masking())
    yield made
    await made.close()


async def test_off_there_is_no_metric_no_thread_and_no_tracer():
    metrics, before = Metrics(), threading.active_count()
    names = {each["name"] for each in metrics.snapshot()}
    tracing = Tracing(metrics, Masking())
    assert await tracing.prepare(None) is None
    tracing.commit()
    assert tracing.tracer is None
    assert {each["name"] for each in metrics.snapshot()} == names
    assert threading.active_count() == before
    await tracing.close()


async def test_a_reload_keeps_the_exporter_if_the_collector_is_the_same(tracing):
    first = await tracing.prepare(options())
    tracing.commit()
    second = await tracing.prepare(options(ratio=0.5))
    tracing.commit()
    assert second.exporter is first.exporter
    await tracing.settle()
    assert tracing.tracer is second
    third = await tracing.prepare(options("http://127.0.0.1:2"))
    assert third.exporter is not first.exporter
    await tracing.abandon()
    assert tracing.tracer is second, "what was abandoned changes nothing"


async def test_work_with_tracing_off_goes_on_in_the_old_trace(tracing):
    with tracing.work("deliver", STORED) as work:
        assert work.traceparent[3:35].decode() == STORED[3:35]
        assert work.traceparent[36:52].decode() != STORED[36:52]
    with tracing.work("deliver", "rubbish") as work:
        assert len(work.traceparent) == 55


async def test_work_is_linked_to_where_it_was_put_off_and_sampled_as_that_was(tracing, span_collector):
    await tracing.prepare(options(span_collector.url, ratio=0.0, errors=False))
    tracing.commit()
    with tracing.work("deliver", STORED, attributes={"item": "7", "password": "s3cret"}) as work:
        assert current.get().recording
        assert work.traceparent.endswith(b"-03")
        work.attributes["try"] = 2
    assert current.get() is None
    with tracing.work("deliver", STORED[:-1] + "0"):
        pass
    with pytest.raises(ConnectFailed), tracing.work("deliver", STORED):
        raise ConnectFailed
    await tracing.close()
    first, second = await span_collector.until(2)
    assert first.links == [(STORED[3:35], STORED[36:52])]
    assert first.trace != STORED[3:35]
    assert (first.parent, first.attributes["item"], first.attributes["try"]) == ("", "7", 2)
    assert "s3cret" not in str(first)
    assert (second.error, second.attributes["error.type"]) == (True, "connect_failed")


async def test_a_part_of_a_work_is_no_work_of_its_own(tracing, span_collector):
    await tracing.prepare(options(span_collector.url, ratio=1.0))
    tracing.commit()
    with tracing.work("deliver", STORED) as work, tracing.work("deliver", work.traceparent.decode()) as part:
        part.attributes = {"sidegate.route": "shop"}
        assert part.traceparent == work.traceparent
    (span,) = await span_collector.until(1)
    await tracing.close()
    assert len(span_collector.spans) == 1
    assert (span.links, span.attributes["sidegate.route"]) == ([(STORED[3:35], STORED[36:52])], "shop")


async def test_log_lines_within_a_trace_have_its_ids_and_others_have_not(tracing, caplog):
    await tracing.prepare(options())
    tracing.commit()
    log = logging.getLogger("gateway.test")
    with tracing.work("w", STORED), caplog.at_level("INFO"):
        trace = current.get()
        log.info("inside")
    log.warning("outside")
    inside, outside = caplog.records
    assert (inside.trace, inside.span) == (trace.id.decode(), trace.span.decode())
    assert not hasattr(outside, "trace")


async def test_a_slow_request_that_ends_within_another_trace_is_told_with_its_own(tracing, caplog):
    await tracing.prepare(options())
    tracing.commit()
    asked = request("GET", "/")
    asked.trace = STORED.encode()
    with tracing.work("deliver") as work:
        assert work.traceparent[3:35].decode() != STORED[3:35]
        assert Slow(0.5)(Exchange(asked, Response(200), 200, 1.0))
    (record,) = [each for each in caplog.records if each.name == "gateway.slow"]
    assert (record.trace, record.span) == (STORED[3:35], STORED[36:52])


async def test_a_reload_that_is_cut_off_by_a_shutdown_loses_no_span(span_collector):
    tracing = Tracing(Metrics(), Masking())
    await tracing.prepare(options(span_collector.url))
    tracing.commit()
    span_collector.stuck.clear()
    with tracing.work("w", STORED):
        pass
    await tracing.prepare(None)
    tracing.commit()
    settling = asyncio.create_task(tracing.settle())
    await asyncio.sleep(0)  # it has begun
    settling.cancel()
    await asyncio.wait([settling])
    asyncio.get_running_loop().call_later(0.05, span_collector.stuck.set)
    await tracing.close()
    assert [span.name for span in span_collector.spans] == ["w"]
    assert counted(tracing._metrics, "trace_spans_exported_total") == {(): 1}


async def test_what_does_not_arrive_is_counted_by_its_reason(span_collector):
    metrics = Metrics()
    tracing = Tracing(metrics, Masking())
    span_collector.status = 400
    await tracing.prepare(options(span_collector.url, spans=2))
    tracing.commit()
    for _ in range(3):
        with tracing.work("w", STORED):
            pass
    await tracing.close()
    assert counted(metrics, "trace_spans_dropped_total") == {("queue",): 0, ("collector",): 3, ("limit",): 0}
    assert counted(metrics, "trace_spans_exported_total") == {(): 0}


async def test_counters_go_on_when_the_exporter_is_another(span_collector):
    metrics = Metrics()
    tracing = Tracing(metrics, Masking())
    for ratio in (1.0, 0.5):
        await tracing.prepare(options(f"{span_collector.url}/", ratio=ratio))
        tracing.commit()
        with tracing.work("w", STORED):
            pass
        await tracing.prepare(options(span_collector.url))
        tracing.commit()
        with tracing.work("w", STORED):
            pass
        await tracing.settle()
    await tracing.close()
    await asyncio.sleep(0)
    exported = counted(metrics, "trace_spans_exported_total")[()]
    dropped = counted(metrics, "trace_spans_dropped_total")[("collector",)]
    assert exported + dropped == 4
    assert exported == len(span_collector.spans) >= 2
