"""From exec to the first request served, and what an idle worker weighs."""

import time

from bench.ports import wait_answer
from bench.process import pss_mib
from bench.scenario import Bar, Figure, Figures, Scenario, Stage
from bench.subject import Subject, started


def start(stage: Stage, subject: Subject) -> Figures:
    began = time.monotonic()
    with started(subject, "plain", stage.origin, stage.cores.proxy) as proxy:
        first = wait_answer(proxy.port, "/small", proxy.process, every=0.002) - began
        time.sleep(2)  # what happens just after the start belongs to the weight of an idle worker
        sizes = pss_mib(proxy.process.pid)
    return {"first": first * 1000, "pss": sum(sizes), "largest": sizes[0]}


SCENARIOS = (
    Scenario(
        name="start",
        title="Start: time from exec to the first request served, memory of an idle worker, pass-through configuration",
        measure=start,
        figures=(
            Figure("first", "first answer ms", 0),
            Figure("pss", "PSS MiB, all processes", 1, ratio=True),
            Figure("largest", "PSS MiB, largest process", 1),
        ),
        bars=(
            Bar("first request served, ms", "gateway.first", at_most=1000),
            Bar("idle worker's PSS, MiB", "gateway.largest", at_most=60),
        ),
    ),
)
