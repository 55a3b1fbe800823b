"""The durable queue on SQLite, in a process of its own on all cores: its thread works beside the loop's."""

import json
import os
import subprocess

from bench.install import HERE
from bench.load import LoadFailed
from bench.scenario import Bar, Figure, Figures, Scenario, Stage
from bench.subject import Subject

WITHIN = 900.0


def queue(stage: Stage, _: Subject) -> Figures:
    """``SIDEGATE_BENCH_WAITING=1000000`` for as many waiting events as the bar names."""
    waiting = os.environ.get("SIDEGATE_BENCH_WAITING", "20000" if stage.quick else "200000")
    code = (
        "import json, bench.queue as one; "
        f"print(json.dumps(one.measure(waiting={int(waiting)}, count={2 if stage.quick else 5})))"
    )
    done = subprocess.run(
        [str(stage.python), "-c", code], cwd=HERE.parent, capture_output=True, text=True, check=False, timeout=WITHIN
    )
    if done.returncode:
        raise LoadFailed(f"bench.queue: {done.stderr.strip()[-800:]}")
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


SCENARIOS = (
    Scenario(
        name="queue",
        title="The durable queue on SQLite, in process: events of 2 KB from 64 senders, each on disk and known again",
        measure=queue,
        figures=(
            Figure("into_empty", "accepted/s", 0),
            Figure("p99", "p99 ms"),
            Figure("lag", "loop lag p99.9 ms"),
            Figure("from_empty", "delivered/s", 0),
            Figure("waiting", "waiting in the other", 0),
            Figure("into_full", "accepted/s there", 0),
            Figure("accepting", "of empty", 2),
            Figure("from_full", "delivered/s there", 0),
            Figure("delivering", "of empty", 2),
            Figure("grown", "memory it took, MiB"),
            Figure("busy", "accepted/s beside 80 µs of other work each", 0),
            Figure("busy_p99", "p99 ms"),
            Figure("busy_lag", "loop lag p99.9 ms"),
        ),
        bars=(
            Bar("accepted/s, in process", "gateway.into_empty", at_least=12_000),
            Bar("accepted/s beside other work", "gateway.busy", at_least=5_000),
            Bar("p99 of accepting, ms", "gateway.p99", at_most=50),
            Bar("loop lag p99.9, ms", "gateway.lag", at_most=10),
            Bar("accepting with many waiting, of empty", "gateway.accepting", at_least=0.8),
            Bar("delivering with many waiting, of empty", "gateway.delivering", at_least=0.8),
        ),
        subjects=("gateway",),
        rounds=1,
    ),
)
