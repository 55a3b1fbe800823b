"""1,000 connections that send 10,000 requests a second in all, for a minute. The plain aiohttp proxy cannot."""

from bench.load import h2load
from bench.process import PeakMemory
from bench.scenario import Bar, Figure, Figures, Scenario, Stage
from bench.subject import Subject, serving

CONNECTIONS = 1_000
RATE = 10_000


def steady(stage: Stage, subject: Subject) -> Figures:
    seconds = stage.seconds(60, 10)
    with serving(subject, "plain", stage.origin, stage.cores.proxy) as proxy:
        before = proxy.process.cpu()
        with PeakMemory(proxy.process).watching() as memory:
            seen = h2load(
                proxy.port, "/small", connections=CONNECTIONS, rps=RATE, seconds=seconds, core=stage.cores.load,
                log=stage.origin.work / "h2load.log",
            )  # fmt: skip
        cpu = proxy.process.cpu() - before
    return {
        "held": seen.rps,
        "lowest": seen.lowest_second,
        "p50": seen.p50,
        "p99": seen.p99,
        "worst": seen.worst,
        "errors": seen.errors,
        "pss": memory.mib,
        "busy": cpu / (seconds + 3) * 100,
    }


SCENARIOS = (
    Scenario(
        name="rate",
        title="1,000 connections, 10,000 requests/s held for 60 s",
        measure=steady,
        figures=(
            Figure("held", "requests/s held", 0),
            Figure("lowest", "lowest second", 0),
            Figure("p50", "p50 ms", 2),
            Figure("p99", "p99 ms", 2, ratio=True),
            Figure("worst", "worst ms", 1),
            Figure("errors", "errors", 0),
            Figure("pss", "peak PSS MiB", 1),
            Figure("busy", "proxy's core %", 0),
        ),
        bars=(
            Bar("rate held, requests/s", "gateway.held", at_least=0.99 * RATE),
            Bar("errors", "gateway.errors", at_most=0),
            Bar("p99, ms", "gateway.p99", at_most=50),
        ),
        subjects=("gateway", "envoy", "nginx"),
        rounds=1,
    ),
)
