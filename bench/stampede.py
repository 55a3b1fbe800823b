"""A thousand clients who ask for one expired answer at once: how often the target is asked, and how long they wait.

Run ``python -m bench.stampede``; `measure` gives the same figures to ``make bench``.
"""

import asyncio
import time

from gateway.chain import Link, compose
from gateway.http import Request, Response
from gateway.http.problem import Problems
from gateway.services.clock import Clock
from gateway.testing import opened, ports
from plugins.cache import Cache

CLIENTS = 1_000
TAKES = 0.2
"""Seconds that the target takes."""


async def once() -> dict[str, float]:
    given, asked = ports(), 0
    given.clock = Clock()  # type: ignore[assignment]

    async def target(_: Request) -> Response:
        nonlocal asked
        asked += 1
        await asyncio.sleep(TAKES)
        return Response(200, headers={"Cache-Control": "max-age=1", "ETag": '"a"'}, body=b"x" * 1024)

    async with opened(Cache, {"disconnected": 0}, ports=given) as live:
        handler = compose([Link(live.plugin)], target, Problems())
        await handler(Request("GET", "/", host="bench.test"))
        await asyncio.sleep(1.1)
        asked = 0

        async def client() -> float:
            began = time.perf_counter()
            response = await handler(Request("GET", "/", host="bench.test"))
            assert response.body.whole is not None
            assert len(response.body.whole) == 1024
            return time.perf_counter() - began

        waits = await asyncio.gather(*[client() for _ in range(CLIENTS)])
    return {"asked": float(asked), "slowest": max(waits) * 1000, "takes": TAKES * 1000}


def measure() -> dict[str, float]:
    """``asked``: requests at the target; ``slowest`` of the clients and what the target ``takes``, in ms."""
    return asyncio.run(once())


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:8} {value:.1f}")
