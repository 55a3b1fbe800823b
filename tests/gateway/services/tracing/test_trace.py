"""One exchange's trace: what is kept at its end, and why."""

import pytest

from gateway.errors import ClientClosed, ConnectFailed, TooManyRequests, TruncatedAnswer
from gateway.http import Exchange, Response, Route
from gateway.services.ids import make_trace
from gateway.services.tracing import Collector, Kind, Options, RouteTracing, Tracer, current
from gateway.testing import request


class Kept:
    def __init__(self):
        self.spans = []

    def put(self, spans):
        self.spans += spans


@pytest.fixture(autouse=True)
def nothing_before():
    token = current.set(None)
    yield
    current.reset(token)


def begun(**more):
    """A tracer, a request, and its trace."""
    one = Tracer(Options(Collector("http://127.0.0.1/v1/traces"), **{"ratio": 0.0, "errors": True, **more}), Kept())
    asked = request("GET", "/")
    asked.trace = make_trace()
    asked.route = Route("shop")
    return one, asked, one.begin(asked)


@pytest.mark.parametrize(
    ("more", "status", "error", "seconds", "why"),
    [
        pytest.param({}, 200, None, 0.1, "", id="well, and not sampled"),
        pytest.param({"ratio": 1.0}, 200, None, 0.1, "ratio", id="sampled"),
        pytest.param({}, 500, None, 0.1, "error", id="the service failed"),
        pytest.param({}, 502, ConnectFailed(), 0.1, "error", id="the service was not there"),
        pytest.param({}, 200, TruncatedAnswer(), 0.1, "error", id="an answer was cut short"),
        pytest.param({}, 429, TooManyRequests(), 0.1, "", id="a refusal is no failure"),
        pytest.param({}, 499, ClientClosed(), 0.1, "", id="a client that leaves is no failure"),
        pytest.param({"errors": False}, 502, ConnectFailed(), 0.1, "", id="failures are not asked for"),
        pytest.param({"slow": 1.0}, 200, None, 1.0, "slow", id="slow"),
        pytest.param({"slow": 1.0}, 200, None, 0.9, "", id="not slow"),
        pytest.param({"errors": False, "slow": 1.0}, 503, None, 2.0, "slow", id="slow and failed, only slow asked for"),
    ],
)
def test_what_is_kept(more, status, error, seconds, why):
    one, asked, trace = begun(**more)
    trace.decide(asked)
    before = asked.trace
    attempt = trace.open(asked, "GET", Kind.CLIENT) if trace.recording else None
    asked.trace = before
    if attempt is not None:
        trace.end(attempt)
    asked.finish(Exchange(asked, Response(status), status, seconds, error=error))
    if not why:
        assert one.exporter.spans == []
        return
    first, server = one.exporter.spans
    assert first is attempt
    assert server.attributes["sidegate.sampled_by"] == why
    assert server.ended - server.started == int(seconds * 1e9)
    assert {span.route for span in one.exporter.spans} == {"shop"}
    assert first.parent == server.id


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        pytest.param(200, None, "", id="well"),
        pytest.param(404, None, "", id="the caller's fault is no error of a server"),
        pytest.param(500, None, "500", id="the service's own 500"),
        pytest.param(502, ConnectFailed(), "connect_failed", id="an error of the catalogue by its code"),
        pytest.param(200, TruncatedAnswer(), "truncated_answer", id="a cut answer, whatever its status"),
    ],
)
def test_the_error_of_the_server_span(status, error, said):
    one, asked, _ = begun(ratio=1.0)
    asked.finish(Exchange(asked, Response(status), status, 0.1, error=error))
    (span,) = one.exporter.spans
    assert (span.error, span.attributes.get("error.type", "")) == (said, said)


@pytest.mark.parametrize(
    ("own", "sampled", "recorded"),
    [
        pytest.param(RouteTracing(), False, True, id="as everywhere"),
        pytest.param(RouteTracing(ratio=1.0), True, True, id="a ratio of its own"),
        pytest.param(RouteTracing(off=True), False, False, id="off, failures too"),
    ],
)
def test_a_route_decides_its_own_way(own, sampled, recorded):
    one, asked, trace = begun()
    trace.decide(asked, own)
    trace.decide(asked, RouteTracing(ratio=0.5))  # once is enough
    assert (trace.sampled, trace.recording) == (sampled, recorded)
    asked.finish(Exchange(asked, Response(500), 500, 0.1))
    assert bool(one.exporter.spans) == recorded


def test_beyond_the_limit_spans_are_counted_and_not_kept():
    one, asked, trace = begun(ratio=1.0, spans=2)
    trace.decide(asked)
    made = [trace.open(asked, "x", Kind.INTERNAL) for _ in range(5)]
    assert [each is not None for each in made] == [True, True, False, False, False]
    assert one.cut == 3


def test_what_ends_after_the_exchange_is_sent_by_itself():
    one, asked, trace = begun(ratio=1.0)
    trace.decide(asked)
    late = trace.open(asked, "mirror", Kind.CLIENT)
    asked.finish(Exchange(asked, Response(200), 200, 0.1))
    assert [span.kind for span in one.exporter.spans] == [Kind.SERVER]
    trace.end(late, "connect_failed")
    trace.end(late)
    assert [span.name for span in one.exporter.spans] == ["GET", "mirror"]
    assert late.error == "connect_failed"


@pytest.mark.parametrize("kept", [True, False])
def test_what_begins_after_the_exchange_is_sent_with_it_or_not_at_all(kept):
    one, asked, trace = begun(ratio=1.0 if kept else 0.0)
    trace.decide(asked)
    asked.finish(Exchange(asked, Response(200), 200, 0.1))
    for _ in range(1000):  # a task that goes on for long
        span = trace.open(asked, "later", Kind.CLIENT)
        if span is not None:
            trace.end(span)
    assert len(one.exporter.spans) == (1001 if kept else 0)
    assert trace.spans == []


def test_the_end_comes_once_and_lets_go_of_the_request():
    one, asked, trace = begun(ratio=1.0)
    exchange = Exchange(asked, Response(200), 200, 0.1)
    trace.finish(exchange)
    trace.finish(exchange)
    assert len(one.exporter.spans) == 1
    assert trace.request is None
    assert trace.spans == []
