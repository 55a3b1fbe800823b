"""The path of a request in process: everything between the client's bytes and the answer's, without a kernel.

    python -m bench.path [--profile]

Two transports that only remember are put where the sockets would be: one request's bytes are fed to a client
connection, what would go to the target is answered with a canned answer in the next turn of the loop. Best of several
rounds, so it is steadier than any figure that has a network in it; the difference to `small` is what the kernel takes.

`pass_through` is what a load generator sends: fields that repeat, and answers whose lines do. In `varied` each request
differs from the one before it in a field, and each answer has a line that was never there before.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from itertools import cycle
from time import perf_counter
from typing import Any

import uvloop

from gateway.config.load import load_text
from gateway.runtime import Runtime, Services, build
from gateway.server.connection import EdgeServer
from gateway.server.edge import Edge, EdgeLimits
from gateway.transport.connection import Connection

REQUEST = (
    b"GET /orders/5?page=2 HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: wrk/4.2\r\nAccept: */*\r\n"
    b"Accept-Encoding: gzip, br\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n"
)
BODY = b'{"id":12345,"name":"An example of a small JSON document","values":[1,2,3,4,5,6,7,8,9,10]}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\nConnection: keep-alive\r\n\r\n" % len(BODY)
) + BODY

VARIED = (REQUEST, REQUEST.replace(b"wrk/4.2", b"wrk/4.3"))
VARIED_ANSWERS = tuple(ANSWER.replace(b"nginx/1.22.1", b"nginx\r\nX-Tag: %06d" % each) for each in range(10_000))

CONFIG = """
admin: off
access_log: off
upstreams: {origin: {targets: ["http://127.0.0.1:1"]}}
routes: [{name: all, match: {path: /orders/}, upstream: origin}]
"""


class Kept(asyncio.Transport):
    """A transport that remembers what was written and tells somebody."""

    def __init__(self, told: Any = None) -> None:
        super().__init__()
        self.told = told
        self.written = 0

    def write(self, data: Any) -> None:
        self.written += 1
        if self.told is not None:
            self.told(data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 40000) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """Nothing to close."""

    abort = close


def _connect(runtime: Runtime, services: Services, answers: Sequence[bytes] = (ANSWER,)) -> None:
    """Put a kept-alive connection into the target's pool."""
    pool = runtime.upstreams["origin"].targets[0].pool
    loop = asyncio.get_running_loop()
    connection = Connection(loop, services.buffer, pool._freed, pool._lost)  # noqa: SLF001 - as the pool itself does

    following = cycle(answers)

    def answer(_data: bytes) -> None:
        whole = next(following)
        services.buffer[: len(whole)] = whole
        loop.call_soon(connection.buffer_updated, len(whole))

    connection.connection_made(Kept(answer))
    connection.address = "127.0.0.1:1"
    pool.total += 1
    pool._freed(connection)  # noqa: SLF001


async def rounds_of(config: str, count: int, rounds: int, requests: Sequence[bytes], answers: Sequence[bytes]) -> float:
    """Best µs per request through a gateway with this configuration, whose upstream is ``origin``."""
    services = Services()
    runtime = await build(load_text(config).config, services)
    runtime.commit()
    edge = Edge(runtime, EdgeLimits(), services.wheel)
    _connect(runtime, services, answers)
    client = EdgeServer(edge)()
    answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def told(_data: Any) -> None:
        if not answered.done():
            answered.set_result(None)

    client.connection_made(Kept(told))
    await asyncio.sleep(0)
    best = float("inf")
    following = cycle(requests)
    for _ in range(rounds):
        began = perf_counter()
        for _ in range(count):
            answered = asyncio.get_running_loop().create_future()
            client.data_received(next(following))
            await answered
        best = min(best, (perf_counter() - began) / count)
    await services.close()
    return best * 1e6


async def _idle(count: int, rounds: int) -> float:
    """What the loop of this measurement takes by itself: a future set in the next turn."""
    loop = asyncio.get_running_loop()
    best = float("inf")
    for _ in range(rounds):
        began = perf_counter()
        for _ in range(count):
            answered: asyncio.Future[None] = loop.create_future()
            loop.call_soon(answered.set_result, None)
            await answered
        best = min(best, (perf_counter() - began) / count)
    return best * 1e6


def measure(count: int = 20_000, rounds: int = 7) -> dict[str, float]:
    """µs per request, best of ``rounds``; ``loop`` is the measurement's own share of it."""

    async def all_in_turn() -> dict[str, float]:
        return {
            "pass_through": await rounds_of(CONFIG, count, rounds, (REQUEST,), (ANSWER,)),
            "varied": await rounds_of(CONFIG, count, rounds, VARIED, VARIED_ANSWERS),
            "loop": await _idle(count, rounds),
        }

    return uvloop.run(all_in_turn())


def main() -> None:
    """Print the figures, or a profile."""
    if "--profile" in sys.argv:
        import cProfile
        import pstats

        profile = cProfile.Profile()
        profile.enable()
        measure(20_000, 1)
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
        return
    for name, value in measure().items():
        print(f"{name:14} {value:7.2f} µs")


if __name__ == "__main__":
    main()
