"""What goes to a collector: masked, cut, with its resource; and a collector that is not there."""

import os
import time

import pytest

from gateway.services.masking import Masking
from gateway.services.tracing import Collector, Exporter, Kind, Span, available


def span(name="GET", **attributes):
    made = Span(name, Kind.SERVER, b"ab" * 16, b"cd" * 8, b"ef" * 8, time.time_ns())
    made.ended = made.started + 5
    made.attributes = attributes
    return made


def exporter(url, masking=None, **more):
    made = Exporter(
        Collector(f"{url}/v1/traces", **{"interval": 0.01, "timeout": 1.0, "flush": 1.0, **more}), masking or Masking()
    )
    made.open()
    return made


def test_the_extra_is_here():
    assert available()


def test_without_the_extra(monkeypatch):
    def find(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("importlib.util.find_spec", find)
    assert not available()


async def sent(made, collector, *spans):
    import asyncio

    made.put(spans)
    found = await collector.until(len(spans))
    await asyncio.to_thread(made.close)
    return found


async def test_attributes_go_through_masking_by_their_route_and_are_cut(span_collector):
    def lettered(line):
        return {name: "masked" if name == "url.path" else value for name, value in line.items()}

    masking = Masking((), {"shop": (lettered,)})
    made = exporter(span_collector.url, masking, attribute=16)
    one, other = span(**{"url.path": "/a", "user_agent.original": "x" * 50}), span(**{"url.path": "/b"})
    one.route, other.route = "shop", "other"
    other.attributes |= {"http.request.header.x-api-key": ["s3cret"], "sidegate.request_id": "password=s3cret"}
    first, second = await sent(made, span_collector, one, other)
    assert first.attributes == {"url.path": "masked", "user_agent.original": "x" * 16}
    assert second.attributes["url.path"] == "/b"
    assert "s3cret" not in str(second)


async def test_bytes_that_are_no_text_take_no_batch_with_them(span_collector, caplog):
    made = exporter(span_collector.url)
    odd = span(**{"url.path": b"/\xff\xfe".decode("utf-8", "surrogateescape"), "several": ["\udc80"]})
    odd.state = "\udcff=,=,,a b"
    told = await sent(made, span_collector, odd, span(**{"url.path": "/ü"}))
    assert [each.attributes["url.path"] for each in told] == ["/??", "/ü"]
    assert caplog.records == []


async def test_the_words_of_the_protocol(span_collector):
    made = exporter(
        span_collector.url, resource=(("service.name", "edge"), ("region", "eu")), headers=(("X-Org", "7"),)
    )
    one = span(number=7, flag=True, several=["a"] * 50)
    one.error, one.state, one.remote = "502", "a=1", True
    one.link = b"00-" + b"12" * 16 + b"-" + b"34" * 8 + b"-01"
    (told,) = await sent(made, span_collector, one)
    assert (told.trace, told.id, told.parent) == ("ab" * 16, "cd" * 8, "ef" * 8)
    assert (told.kind, told.error, told.state, told.nanoseconds) == (2, True, "a=1", 5)
    assert (told.attributes["number"], told.attributes["flag"], len(told.attributes["several"])) == (7, True, 32)
    assert told.links == [("12" * 16, "34" * 8)]
    assert (told.resource["service.name"], told.resource["region"]) == ("edge", "eu")
    headers, _ = span_collector.batches[0]
    assert (headers["X-Org"], headers["Content-Type"]) == ("7", "application/x-protobuf")


async def test_only_the_configuration_says_where_spans_go_and_with_what(span_collector, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login l password netrc-s3cret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    elsewhere = {
        "OTEL_EXPORTER_OTLP_HEADERS": "x-other=s3cret",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x-more=s3cret",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere",
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "/nowhere",
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": "/nowhere",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "deflate",
        "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER": "nobody",
    }
    for name, value in elsewhere.items():
        monkeypatch.setenv(name, value)
    made = exporter(span_collector.url, headers=(("Authorization", "Bearer mine"),))
    assert {name: os.environ.get(name) for name in elsewhere} == elsewhere
    await sent(made, span_collector, span())
    headers, _ = span_collector.batches[0]
    assert (headers["Authorization"], headers["Content-Encoding"]) == ("Bearer mine", "gzip")
    assert "s3cret" not in str(headers)


async def test_a_tracestate_that_must_not_be_shown_is_left_out(span_collector):
    made = exporter(span_collector.url)
    one, other = span(), span()
    one.state, other.state = "congo=t61rcWkgMzE,dd=s:1;p:00f067aa0ba902b7", "a=1,password=s3cret"
    first, second = await sent(made, span_collector, one, other)
    assert (first.state, second.state) == ("congo=t61rcWkgMzE,dd=s:1;p:00f067aa0ba902b7", "")


async def test_a_key_in_the_collectors_url_stands_in_no_line(span_collector, caplog):
    import asyncio

    span_collector.status = 404
    made = Exporter(Collector(f"{span_collector.url}/v1/traces?key=s3cret", interval=0.01), Masking())
    made.open()
    made.put([span()])
    await asyncio.to_thread(made.close)
    assert ["traces are not taken" in each.getMessage() for each in caplog.records] == [True]
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("status", [400, 404])
async def test_a_collector_that_refuses_is_told_of_once_and_its_spans_are_counted(span_collector, status, caplog):
    import asyncio

    span_collector.status = status
    made = exporter(span_collector.url, batch=1)
    for _ in range(3):
        made.put([span()])
    await asyncio.to_thread(made.close)
    assert (made.sent, made.failed) == (0, 3)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_a_collector_that_is_not_there_does_not_hold_up_the_end():
    import asyncio

    made = exporter("http://127.0.0.1:1", flush=0.2, timeout=30.0)
    made.put([span() for _ in range(3)])
    await asyncio.to_thread(made.close)
    made.put([span()])
    assert made.dropped >= 1
    assert made.sent == 0
