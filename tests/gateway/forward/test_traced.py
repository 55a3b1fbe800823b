"""The span around an attempt: what it says, and that it says no more than it may. (More in runtime/test_traced.py.)"""

import pytest

from gateway.errors import ConnectFailed
from gateway.forward import traced
from gateway.forward.traced import TracedSend
from gateway.http import Response
from gateway.services.ids import make_trace
from gateway.services.tracing import Collector, Options, Tracer, current
from gateway.testing import request
from gateway.transport.endpoint import Endpoint


class Kept:
    def __init__(self):
        self.spans = []

    def put(self, spans):
        self.spans += spans


class AnyPool:
    def __init__(self, url):
        self.endpoint = Endpoint(url)


@pytest.fixture
def begun():
    token = current.set(None)

    def begin(**more):
        one = Tracer(Options(Collector("http://127.0.0.1/v1/traces"), **{"ratio": 1.0, **more}), Kept())
        asked = request("GET", "/")
        asked.trace = make_trace()
        trace = one.begin(asked)
        trace.decide(asked)
        return asked, trace

    yield begin
    current.reset(token)


@pytest.fixture
def sends(monkeypatch):
    """What `send` is given, and does."""
    seen = []
    ends = [Response(200)]

    async def send(pool, asked, target, host, timing, *, fresh=False):
        seen.append((asked.trace, target, fresh))
        if isinstance(ends[0], BaseException):
            raise ends[0]
        return ends[0]

    monkeypatch.setattr(traced, "send", send)
    return seen, ends


@pytest.mark.parametrize(
    ("url", "said"),
    [
        pytest.param(
            "https://shop.example",
            {"server.address": "shop.example", "server.port": 443, "url.full": "https://shop.example/a"},
            id="https",
        ),
        pytest.param(
            "http://[::1]:8080",
            {"server.address": "::1", "server.port": 8080, "url.full": "http://[::1]:8080/a"},
            id="an address in brackets",
        ),
        pytest.param(
            "unix:/run/x.sock", {"server.address": "/run/x.sock", "network.transport": "unix"}, id="a unix socket"
        ),
    ],
)
async def test_where_it_went_without_the_query(begun, sends, url, said):
    asked, trace = begun()
    before = asked.trace
    await TracedSend("shop")(AnyPool(url), asked, "/a?token=s3cret", b"", None, fresh=True)
    (span,) = trace.spans
    assert said.items() <= span.attributes.items()
    assert "s3cret" not in str(span.attributes)
    assert sends[0] == [(b"00-%b-%b-03" % (trace.id, span.id), "/a?token=s3cret", True)]
    assert asked.trace == before, "the exchange's own ids stand in its log line"


async def test_what_is_not_sampled_is_sent_as_it_is(begun, sends):
    asked, trace = begun(ratio=0.0, errors=False)
    await TracedSend("shop")(AnyPool("http://h"), asked, "/a", b"", None)
    assert trace.spans == []
    assert sends[0][0][0] == asked.trace


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(ConnectFailed(), "connect_failed", id="of the catalogue"),
        pytest.param(ValueError(), "ValueError", id="a bug"),
        pytest.param(KeyboardInterrupt(), "client_closed_request", id="cancelled from outside"),
    ],
)
async def test_what_it_failed_with(begun, sends, error, code):
    asked, trace = begun()
    before = asked.trace
    sends[1][0] = error
    with pytest.raises(type(error)):
        await TracedSend("shop")(AnyPool("http://h"), asked, "/a", b"", None)
    (span,) = trace.spans
    assert (span.error, span.attributes["error.type"]) == (code, code)
    assert asked.trace == before


async def test_a_request_of_another_trace_is_not_noted_here(begun, sends):
    _, trace = begun()
    probe = request("GET", "/healthz")
    probe.trace = None
    await TracedSend("shop")(AnyPool("http://h"), probe, "/healthz", b"", None)
    assert trace.spans == []
