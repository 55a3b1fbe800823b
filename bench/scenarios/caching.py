"""Answers that are kept: hits, beside a fixed answer and nginx's cache, and what a full cache holds on to."""

from bench.scenario import Bar, Figure, Figures, Scenario, Stage
from bench.scenarios.inprocess import measured
from bench.scenarios.throughput import FIGURES, saturate
from bench.subject import Subject


def hits(stage: Stage, subject: Subject) -> Figures:
    """As any throughput; of the gateway also what the `respond` plugin takes for as many bytes."""
    figures = saturate(stage, subject, variant="cache", path="/files/1k")
    if subject.name == "gateway":
        own = saturate(stage, subject, variant="cache", path="/own")
        figures |= {"respond": own["cpu"], "added": figures["cpu"] - own["cpu"]}
    return figures


def zipf(stage: Stage, _: Subject) -> Figures:
    found = measured(stage, "bench.zipf")
    return found | {"ahead": found["hits"] - found["lru"]}


def stampede(stage: Stage, _: Subject) -> Figures:
    found = measured(stage, "bench.stampede")
    return found | {"longer": found["slowest"] - found["takes"]}


SCENARIOS = (
    Scenario(
        name="cache",
        title="Hits of 1 KB from memory over 64 connections",
        measure=hits,
        figures=(
            *FIGURES,
            Figure("respond", "`respond` of 1 KB, CPU µs", 1),
            Figure("added", "more than `respond`, µs", 1),
        ),
        bars=(
            Bar("CPU of a hit beyond that of `respond`, µs", "gateway.added", at_most=8),
            Bar("hits/s on one core", "gateway.rps", at_least=20_000),
            Bar("errors", "gateway.errors", at_most=0),
        ),
        subjects=("gateway", "nginx"),
        variant="cache",
        rounds=3,
    ),
    Scenario(
        name="stampede",
        title="1,000 clients ask for one expired answer at once, in process; the target takes 200 ms",
        measure=stampede,
        figures=(
            Figure("asked", "requests at the target", 0),
            Figure("slowest", "slowest client ms", 1),
            Figure("longer", "longer than the target ms", 1),
        ),
        bars=(
            Bar("requests at the target", "gateway.asked", at_most=1),
            Bar("slowest client, ms beyond what the target takes", "gateway.longer", at_most=100),
        ),
        subjects=("gateway",),
        rounds=1,
    ),
    Scenario(
        name="zipf",
        title="1 GB of objects through a cache of 64 MB, Zipf 0.9: 400,000 requests in process",
        measure=zipf,
        figures=(
            Figure("hits", "hits %", 1),
            Figure("lru", "ideal LRU's hits %", 1),
            Figure("ahead", "ahead of it by", 1),
            Figure("memory", "resident memory, % of the limit", 1),
            Figure("counted", "counted, % of the limit", 1),
            Figure("objects", "objects kept", 0),
            Figure("cost", "µs a request", 1),
        ),
        bars=(
            Bar("hit ratio, points ahead of an ideal LRU of the same size", "gateway.ahead", at_least=0),
            Bar("resident memory, % of the limit", "gateway.memory", at_most=110),
        ),
        subjects=("gateway",),
        rounds=1,
    ),
)
