"""Where traces begin: whose ids are taken up, whose decision is obeyed."""

import pytest

from gateway.http import Exchange, Response
from gateway.http.peer import Peer
from gateway.services.ids import continue_trace, make_trace
from gateway.services.tracing import Collector, Options, Tracer, current
from gateway.testing import request

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
W3C = f"00-{TRACE}-{PARENT}-"


class Kept:
    """In place of an exporter: keeps what it is given."""

    def __init__(self):
        self.spans = []

    def put(self, spans):
        self.spans += spans


@pytest.fixture(autouse=True)
def nothing_before():
    token = current.set(None)
    yield
    current.reset(token)


def arrived(headers, *, trusted=False):
    """A request as the server makes it."""
    made = request("GET", "/", headers=headers)
    given = made.headers.get("traceparent")
    made.trace = (continue_trace(given) if given else None) or make_trace()
    made.peer = Peer("192.0.2.1", trusted=trusted)
    return made


def tracer(**more):
    return Tracer(Options(Collector("http://127.0.0.1/v1/traces"), **{"ratio": 0.0, "errors": False, **more}), Kept())


@pytest.mark.parametrize(
    ("headers", "parent", "sampled"),
    [
        pytest.param({}, "", False, id="nobody says anything"),
        pytest.param({"traceparent": W3C + "01"}, PARENT, True, id="W3C, sampled"),
        pytest.param({"traceparent": W3C + "00"}, PARENT, False, id="W3C, not sampled"),
        pytest.param({"traceparent": "cc" + W3C[2:] + "01-more"}, PARENT, True, id="W3C of a version to come"),
        pytest.param({"traceparent": W3C + "01-more"}, "", False, id="W3C with a tail that its version has not"),
        pytest.param({"traceparent": f"00-{'0' * 32}-{PARENT}-01"}, "", False, id="W3C of zeros"),
        pytest.param({"traceparent": W3C.upper() + "01"}, "", False, id="W3C in capitals"),
        pytest.param({"b3": f"{TRACE}-{PARENT}-1"}, PARENT, True, id="B3"),
        pytest.param({"b3": f"{TRACE}-{PARENT}-0"}, PARENT, False, id="B3, not sampled"),
        pytest.param({"b3": "1"}, "", True, id="B3, a decision only"),
        pytest.param({"X-B3-TraceId": TRACE, "X-B3-SpanId": PARENT, "X-B3-Sampled": "1"}, PARENT, True, id="B3 multi"),
        pytest.param(
            {"traceparent": W3C + "00", "b3": f"{'1' * 32}-{PARENT}-1"}, PARENT, False, id="W3C goes before B3"
        ),
        pytest.param({"traceparent": "rubbish", "b3": f"{TRACE}-{PARENT}-1"}, PARENT, True, id="B3 if W3C is rubbish"),
    ],
)
def test_what_a_caller_says(headers, parent, sampled):
    asked = arrived(headers)
    trace = tracer().begin(asked)
    trace.decide(asked)
    assert (trace.parent.decode(), trace.sampled) == (parent, sampled)
    assert asked.trace[3:35] == trace.id
    assert bool(asked.trace[54] & 1) == sampled, "those behind are told"
    assert asked.trace[36:52] == trace.span != trace.parent
    if parent:
        assert trace.id.decode() == TRACE


@pytest.mark.parametrize(
    ("parent", "trusted", "sampled"),
    [
        pytest.param("any", False, True, id="every caller's decision"),
        pytest.param("trusted", True, True, id="a trusted proxy's"),
        pytest.param("trusted", False, False, id="a stranger cannot have itself traced"),
        pytest.param("ignore", True, False, id="nobody's"),
    ],
)
@pytest.mark.parametrize("headers", [{"traceparent": W3C + "01"}, {"b3": f"{TRACE}-{PARENT}-1"}], ids=["w3c", "b3"])
def test_whose_decision_is_obeyed(headers, parent, trusted, sampled):
    asked = arrived(headers, trusted=trusted)
    trace = tracer(parent=parent).begin(asked)
    trace.decide(asked)
    assert trace.sampled == sampled
    assert trace.id.decode() == TRACE, "the trace goes on all the same"
    assert bool(asked.trace[54] & 1) == sampled


def test_b3_is_not_read_where_it_is_not_accepted():
    asked = arrived({"b3": f"{TRACE}-{PARENT}-1"})
    assert tracer(b3=False).begin(asked).id.decode() != TRACE


def test_the_ratio_is_kept_and_is_not_the_clients_to_choose():
    one = tracer(ratio=0.25, parent="ignore")
    lowest = f"00-{'0' * 31}1-{PARENT}-01"  # the id that every ratio above none would sample, were it computed from ids
    sampled = 0
    for _ in range(4000):
        asked = arrived({"traceparent": lowest})
        trace = one.begin(asked)
        trace.decide(asked)
        sampled += trace.sampled
        one.leave(trace)
    assert 850 < sampled < 1150


def test_what_is_dispatched_within_an_exchange_is_part_of_its_trace_and_decides_nothing():
    one = tracer(ratio=1.0)
    asked = arrived({})
    outer = one.begin(asked)
    outer.decide(asked)
    part = asked.fork()
    inner = one.begin(part)
    inner.decide(part)
    assert (inner.id, inner.parent, inner.sampled) == (outer.id, outer.span, True)
    part.finish(Exchange(part, Response(200), 200, 0.1))
    assert current.get() is outer
    assert one.exporter.spans == [], "it is kept or not with the whole"
    asked.finish(Exchange(asked, Response(200), 200, 0.2))
    assert [(span.id, span.kind.name) for span in one.exporter.spans] == [
        (inner.span, "INTERNAL"),
        (outer.span, "SERVER"),
    ]
    assert current.get() is None


def test_what_is_dispatched_after_the_end_of_its_exchange_still_belongs_to_its_trace():
    one = tracer(ratio=1.0)
    asked = arrived({})
    outer = one.begin(asked)
    later = asked.fork()
    asked.finish(Exchange(asked, Response(202), 202, 0.1))
    current.set(outer)  # as in a task that was begun within it
    inner = one.begin(later)
    later.finish(Exchange(later, Response(200), 200, 0.1))
    assert [span.parent for span in one.exporter.spans] == [b"", outer.span]
    assert inner.id == outer.id
