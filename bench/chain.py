"""What ten plugins cost that only call the rest of the chain, measured on the composed chain without a socket.

Run ``python -m bench.chain``; `measure` gives the same figures to ``make bench``.
"""

import asyncio
import gc
import time
from typing import Any, cast

from gateway.chain import Link, compose
from gateway.errors import GatewayError
from gateway.http import Exchange, Handler, Request, Response
from gateway.plugin import Context, Plugin, Settings
from gateway.plugin.context import Ports

CALLS = 200_000
BEST_OF = 7
PLUGINS = 10


class Neutral(Plugin[Settings]):
    async def __call__(self, request: Request, proceed: Handler) -> Response:
        return await proceed(request)


class Noting(Neutral):
    """Asks to be told of the end as well."""

    def done(self, exchange: Exchange) -> None:
        pass


def render(error: GatewayError, _: Request) -> Response:
    """The chain asks for one; nothing fails here."""
    raise error


def composed(kind: type[Plugin[Any]] | None) -> Handler:
    answer = Response(200)

    async def last(_: Request) -> Response:
        return answer

    ports = cast("Ports", None)  # a neutral plugin asks for nothing
    names = [] if kind is None else [f"neutral{number}" for number in range(PLUGINS)]
    made = [kind(Settings(), Context(ports, route="bench", plugin=name, id=name)) for name in names if kind]
    return compose([Link(plugin) for plugin in made], last, render)


async def per_call(handler: Handler, calls: int) -> float:
    """Microseconds, a new request for each call included."""
    began = time.perf_counter()
    for _ in range(calls):
        await handler(Request("GET", "/"))
    return (time.perf_counter() - began) / calls * 1e6


def measure(calls: int = CALLS, best_of: int = BEST_OF) -> dict[str, float]:
    """``bare``, ``ten``, ``noting`` (ten with `done`) and what is ``added``; µs a call, the best of several rounds."""
    chains = {"bare": composed(None), "ten": composed(Neutral), "noting": composed(Noting)}

    async def all_in_turn() -> dict[str, float]:
        best = dict.fromkeys(chains, float("inf"))
        for _ in range(best_of):
            for name, handler in chains.items():
                best[name] = min(best[name], await per_call(handler, calls))
        return best

    gc.collect()
    gc.freeze()
    best = asyncio.run(all_in_turn())
    gc.unfreeze()
    return best | {"added": best["ten"] - best["bare"], "added_noting": best["noting"] - best["bare"]}


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:14} {value:6.2f} µs")
