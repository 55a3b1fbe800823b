"""What the services on the path of a request cost, in microseconds a call: ``python -m bench.services``."""

from __future__ import annotations

import asyncio
import timeit
from collections.abc import Callable

from multidict import CIMultiDict

from gateway.http import Exchange, Request
from gateway.plugin import Context
from gateway.services.clock import Deadlines
from gateway.services.ids import continue_trace, make_trace, request_id
from gateway.services.log import AccessLog, Sink
from gateway.services.log.access import record_of
from gateway.services.metrics import Metrics
from gateway.testing import ports, settings_of
from plugins.pii_masking import PiiMasking

NUMBER = 20_000
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class _Nowhere(Sink):
    def _put(self, data: bytes) -> None:
        pass


class _Waiter:
    def on_deadline(self) -> None:
        pass


def _cost(call: Callable[[], object]) -> float:
    return min(timeit.repeat(call, number=NUMBER, repeat=7)) / NUMBER * 1e6


def _exchange() -> Exchange:
    headers = CIMultiDict({"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"})
    request = Request("GET", "/orders/17", view=headers, host="shop.example", client_ip="192.0.2.1", id=request_id())
    request.trace = make_trace()
    request.target, request.attempts = "http://127.0.0.1:9000", 1
    return Exchange(request, None, status=200, duration=0.0123, sent_bytes=200, received_bytes=0)


async def _deadlines() -> float:
    deadlines, waiter = Deadlines(asyncio.get_running_loop(), 60), _Waiter()

    def both() -> None:
        deadlines.add(waiter)
        deadlines.discard(waiter)

    cost = _cost(both)
    deadlines.close()
    return cost


def measure() -> dict[str, float]:
    """Best of seven, the call of a lambda or bound method included."""
    metrics, sink, exchange = Metrics(), _Nowhere(), _exchange()
    counter, histogram = metrics.counter("a_total", "A.").child(), metrics.histogram("b_seconds", "B.").child()
    stats = metrics.route("orders").of(200)
    quick, slow = AccessLog(sink), AccessLog(sink, [lambda line: line])
    context = Context(ports(), route="bench", plugin="pii_masking", id="pii_masking")
    mask = PiiMasking(settings_of(PiiMasking, {}), context).log_processor()
    line = record_of(exchange, "2026-11-21T12:00:00.000Z")
    rows = {
        "deadline added and discarded": asyncio.run(_deadlines()),
        "request id": _cost(request_id),
        "trace made": _cost(make_trace),
        "trace continued": _cost(lambda: continue_trace(PARENT)),
        "counter": _cost(counter.inc),
        "histogram": _cost(lambda: histogram.observe(0.02)),
        "exchange counted": _cost(lambda: stats.record(0.02, 10, 200)),
        "access line": _cost(lambda: quick(exchange)),
        "access line with a processor": _cost(lambda: slow(exchange)),
        "access line masked": _cost(lambda: mask(line.copy())) - _cost(line.copy),
    }
    sink.close()
    return rows


if __name__ == "__main__":
    for name, cost in measure().items():
        print(f"{name:32} {cost:6.2f} µs")
