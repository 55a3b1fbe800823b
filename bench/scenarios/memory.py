"""Memory under clients that take their time: slow readers, stalled streams, idle connections."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.load import Load, LoadFailed, h2load, wrk
from bench.process import PeakMemory, Process
from bench.scenario import Bar, Figure, Figures, Scenario, Stage
from bench.subject import Subject, serving

SLOW = 1_000
STALLED = 100
IDLE = 10_000
OTHER_CONNECTIONS, OTHER_RATE = 20, 500


@contextmanager
def client(stage: Stage, kind: str, port: int, path: str, *, count: int, seconds: float = 0) -> Iterator[Process]:
    argv = [sys.executable, "-m", "bench.client", kind, "--port", str(port), "--path", path, "--count", str(count)]
    log = stage.origin.work / "client.log"
    with Process([*argv, "--seconds", str(seconds)], core=stage.cores.load, log=log, piped=True) as process:
        yield process


def report_of(process: Process) -> dict[str, float]:
    """The client's line of JSON. Raises LoadFailed when it ended without one."""
    line = process.read_line()
    if not line:
        raise LoadFailed(f"the client ended early:\n{process.tail()}")
    found: dict[str, float] = json.loads(line)
    return found


def slow(stage: Stage, subject: Subject) -> Figures:
    """Peak PSS while all read at an even pace, and what small requests at 500/s see before and meanwhile."""
    seconds = stage.seconds(60, 14)
    log = stage.origin.work / "h2load.log"
    with serving(subject, "plain", stage.origin, stage.cores.proxy) as proxy:

        def others(duration: float) -> Load:
            return h2load(
                proxy.port,
                "/small",
                connections=OTHER_CONNECTIONS,
                rps=OTHER_RATE,
                seconds=duration,
                core=stage.cores.load,
                log=log,
            )

        before = others(5)
        with (
            client(stage, "slow", proxy.port, "/files/10m", count=SLOW, seconds=seconds) as readers,
            PeakMemory(proxy.process).watching() as memory,
        ):
            meanwhile = others(seconds - 10)
            seen = report_of(readers)
    return {
        "pss": memory.mib,
        "complete": seen["complete"],
        "failed": seen["failed"],
        "before": before.p99,
        "p50": meanwhile.p50,
        "p99": meanwhile.p99,
        "errors": meanwhile.errors,
        "rate": seen["bytes"] / seen["seconds"] / 1e6,
    }


def stalled(stage: Stage, subject: Subject) -> Figures:
    """PSS with 100 streams of 10 MB whose readers stopped after the head, less PSS before, each."""
    with serving(subject, "plain", stage.origin, stage.cores.proxy) as proxy:
        wrk(proxy.port, "/files/10m", connections=4, seconds=2, core=stage.cores.load)
        before = proxy.process.pss()
        with client(stage, "stall", proxy.port, "/files/10m", count=STALLED) as readers:
            seen = report_of(readers)
            with PeakMemory(proxy.process).watching() as memory:
                wrk(proxy.port, "/small", connections=2, seconds=2, core=stage.cores.load)
    return {"each": (memory.mib - before) * 1024 / seen["open"], "open": seen["open"], "before": before}


def idle(stage: Stage, subject: Subject) -> Figures:
    """PSS with 10,000 connections that have each had an answer and now wait."""
    with serving(subject, "plain", stage.origin, stage.cores.proxy) as proxy:
        before = proxy.process.pss()
        with client(stage, "idle", proxy.port, "/small", count=IDLE) as holders:
            seen = report_of(holders)
            with PeakMemory(proxy.process).watching() as memory:
                small = wrk(proxy.port, "/small", connections=8, seconds=3, core=stage.cores.load)
    return {
        "open": seen["open"],
        "failed": seen["failed"],
        "pss": memory.mib,
        "each": (memory.mib - before) * 1024 / max(1, seen["open"]),
        "p99": small.p99,
    }


SCENARIOS = (
    Scenario(
        name="slow",
        title="1,000 slow readers of 10 MB, and 500 small requests/s of others meanwhile",
        measure=slow,
        figures=(
            Figure("pss", "peak PSS MiB", 1, ratio=True),
            Figure("complete", "complete", 0),
            Figure("failed", "failed", 0),
            Figure("rate", "MB/s in all", 0),
            Figure("before", "others' p99 ms before", 2),
            Figure("p50", "p50 meanwhile", 2),
            Figure("p99", "p99 meanwhile", 2),
            Figure("errors", "others' errors", 0),
        ),
        bars=(
            Bar("peak PSS, MiB", "gateway.pss", at_most=200),
            Bar("readers that did not get all", "gateway.failed", at_most=0),
            Bar("others' errors", "gateway.errors", at_most=0),
            Bar("others' p99, ms", "gateway.p99", at_most=50),
        ),
        subjects=("gateway", "envoy", "nginx"),
        rounds=1,
        note="Load generator, readers and origin share a core, so others' latency meanwhile holds their share too.",
    ),
    Scenario(
        name="stalled",
        title="Memory of one stalled stream: 100 of 10 MB, readers stopped after the head",
        measure=stalled,
        figures=(
            Figure("each", "KiB each", 0, ratio=True),
            Figure("open", "streams", 0),
            Figure("before", "PSS MiB before", 1),
        ),
        bars=(Bar("one stalled stream, KiB", "gateway.each", at_most=512),),
        rounds=3,
    ),
    Scenario(
        name="idle",
        title="10,000 idle connections",
        measure=idle,
        figures=(
            Figure("open", "open", 0),
            Figure("failed", "failed", 0),
            Figure("pss", "PSS MiB", 1, ratio=True),
            Figure("each", "KiB each", 1),
            Figure("p99", "others' p99 ms", 2),
        ),
        bars=(Bar("connections not held", "gateway.failed", at_most=0),),
        rounds=1,
    ),
)
