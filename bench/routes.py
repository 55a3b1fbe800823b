"""What finding a route costs: 10, 1,000 and 10,000 routes by exact, prefix, template, and the normal form of a path.

Run ``python -m bench.routes``; `measure` gives the same figures to ``make bench``. Microseconds per call, best of
several rounds, one process, nothing else measured with it.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy

from gateway.config.routing import Match
from gateway.http.path import normalize
from gateway.route.table import Found, RouteTable

COUNTS = (10, 1_000, 10_000)
KINDS = {
    "exact": ("/api/service{n}/status", "/api/service{n}/status"),
    "prefix": ("/api/service{n}/", "/api/service{n}/orders/12345"),
    "template": ("/api/service{n}/orders/{{id}}", "/api/service{n}/orders/12345"),
    "missed": ("/api/service{n}/", "/other/service{n}/orders"),
}
PATHS = ("/", "/api/service7/orders/12345", "/files/a%20b/caf%C3%A9", "/a/../b//c%7e")
HEADERS = CIMultiDictProxy(CIMultiDict({"Host": "api.example.com", "Accept": "*/*"}))


def per_call(call: Callable[[], Any], *, calls: int = 20_000, rounds: int = 7) -> float:
    """Microseconds."""
    return min(timeit.repeat(call, number=calls, repeat=rounds)) / calls * 1e6


def measure() -> dict[str, dict[str, float]]:
    """``{"exact": {"10": 0.3, …}, …, "exact with host": …, "normal form": {path: …}}``, microseconds per call."""
    figures: dict[str, dict[str, float]] = {}
    for kind, (pattern, path) in KINDS.items():
        for host in ((), ("api.example.com",)):
            row = figures.setdefault(f"{kind} with host" if host else kind, {})
            for count in COUNTS:
                routes = [(n, Match(host=host, path=pattern.format(n=n))) for n in range(count)]
                table = RouteTable(routes)
                wanted = path.format(n=count // 2)
                found = table.find("api.example.com", wanted, "GET", HEADERS)
                if kind == "missed":
                    assert found is None
                else:
                    assert isinstance(found, Found)
                    assert found.route == count // 2
                find = table.find
                row[str(count)] = per_call(lambda f=find, p=wanted: f("api.example.com", p, "GET", HEADERS, ""))
    figures["normal form"] = {path: per_call(lambda p=path: normalize(p)) for path in PATHS}
    return figures


def main() -> None:
    for name, row in measure().items():
        print(f"{name:20}" + "".join(f"{key:>28} {value:6.2f} µs" for key, value in row.items()))


if __name__ == "__main__":
    main()
