"""What masking a line costs, in microseconds, and what it finds: ``python -m bench.masking.cost``."""

from __future__ import annotations

import itertools
import timeit
from collections.abc import Callable

from multidict import CIMultiDict

from bench.masking import composed, held_out
from bench.masking.score import score
from gateway.http import Exchange, Request
from gateway.plugin import Context
from gateway.services.ids import make_trace, request_id
from gateway.services.log import AccessLog, Sink
from gateway.services.log.access import record_of
from gateway.testing import ports, settings_of
from plugins.pii_masking import PiiMasking

NUMBER, TIMES = 1_000, 100
"""Short runs, many of them: the best of them is one that nothing else disturbed."""
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"


class _Nowhere(Sink):
    def write(self, line: bytes) -> None:
        pass


def _cost(call: Callable[[], object]) -> float:
    return min(timeit.repeat(call, number=NUMBER, repeat=TIMES)) / NUMBER * 1e6


def _exchange(path: str) -> Exchange:
    view = CIMultiDict({"User-Agent": AGENT})
    request = Request("GET", path, view=view, host="shop.example", client_ip="192.0.2.1", id=request_id())
    request.trace = make_trace()
    request.target, request.attempts = "http://127.0.0.1:9000", 1
    return Exchange(request, None, status=200, duration=0.0123, sent_bytes=200, received_bytes=0)


def measure() -> dict[str, float]:
    """Costs by kind of line; recall, precision and misses by corpus."""
    mask = PiiMasking(
        settings_of(PiiMasking, {}), Context(ports(), route="bench", plugin="pii_masking", id="pii_masking")
    ).log_processor()
    typical = _exchange("/orders/17")
    line = record_of(typical, "2026-11-21T12:00:00.000Z")
    other = record_of(_exchange(f"/orders/{request_id()}/items/3"), line["ts"])
    personal = record_of(_exchange("/users/ada@shop.example/orders"), line["ts"])
    numbers = itertools.count(1_000)
    plain, masked = AccessLog(_Nowhere()), AccessLog(_Nowhere(), [mask])
    found = {
        "typical": _cost(lambda: mask(line.copy())) - _cost(line.copy),
        "unseen": _cost(lambda: mask({**line, "path": f"/orders/{next(numbers)}"}))
        - _cost(lambda: {**line, "path": f"/orders/{next(numbers)}"}),
        "added": _cost(lambda: masked(typical)) - _cost(lambda: plain(typical)),
        "uuid": _cost(lambda: mask(other.copy())) - _cost(other.copy),
        "personal": _cost(lambda: mask(personal.copy())) - _cost(personal.copy),
        "message": _cost(lambda: mask.text("cannot reach http://10.0.0.9:9000 within 2 s, attempt 3 of 5")),
    }
    for name, corpus in (("composed", composed), ("held_out", held_out)):
        scored = score(corpus.rows(), mask.text)
        found |= {
            f"{name}_rows": scored.rows,
            f"{name}_missed": len(scored.missed_exact),
            f"{name}_recall": scored.recall,
            f"{name}_precision": scored.precision,
        }
    return found


if __name__ == "__main__":
    for key, value in measure().items():
        print(f"{key:20} {value:8.4f}")
