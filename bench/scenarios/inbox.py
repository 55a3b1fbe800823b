"""The inbox over HTTP: events of 2 KB that are on disk before they are answered, alone and with delivery beside it."""

import contextlib
import tempfile
from pathlib import Path

from bench.load import Load, LoadFailed, wrk
from bench.ports import free_port
from bench.scenario import Bar, Figure, Figures, Scenario, Stage
from bench.subject import Serving, Subject, serving

SENDERS = 64
SIZE = 2048


def _accept(stage: Stage, proxy: Serving) -> tuple[Load, float]:
    """What the senders saw, and µs of CPU an event. Raises LoadFailed."""

    def load(seconds: float) -> Load:
        return wrk(proxy.port, "/hooks", connections=SENDERS, seconds=seconds, core=stage.cores.load, body=SIZE)

    load(stage.seconds(2, 1))
    cpu = proxy.process.cpu()
    seen = load(stage.seconds(10, 3))
    if not seen.requests or seen.errors:
        raise LoadFailed(f"{seen.requests} answers, {seen.errors} errors")
    return seen, (proxy.process.cpu() - cpu) / seen.requests * 1e6


def inbox(stage: Stage, subject: Subject) -> Figures:
    """First to a target that is down, so that all that is done is accepting; then to one that takes everything."""
    found: Figures = {}
    for name, target in (("alone", free_port()), ("delivering", stage.origin.port)):
        with (
            tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-queue-") as folder,
            contextlib.ExitStack() as stack,
        ):
            # Beside the project and not in /tmp, which may be memory: what is measured is a disk.
            ports = {"QUEUE": f"{folder}/queue.db", "TARGET_PORT": target}
            proxy = stack.enter_context(
                serving(subject, "inbox", stage.origin, stage.cores.proxy, ready="/ready", **ports)
            )
            seen, cpu = _accept(stage, proxy)
        found |= {f"{name}_rps": seen.rps, f"{name}_p99": seen.p99, f"{name}_cpu": cpu}
    return found


SCENARIOS = (
    Scenario(
        name="inbox",
        title="An inbox on SQLite: 2 KB from 64 senders, on disk before it is answered, on one core",
        measure=inbox,
        figures=(
            Figure("alone_rps", "accepted/s", 0),
            Figure("alone_p99", "p99 ms"),
            Figure("alone_cpu", "CPU µs/event"),
            Figure("delivering_rps", "accepted/s while delivering", 0),
            Figure("delivering_p99", "p99 ms"),
            Figure("delivering_cpu", "CPU µs/event"),
        ),
        bars=(
            Bar("accepted/s", "gateway.alone_rps", at_least=5_000),
            Bar("p99 of accepting, ms", "gateway.alone_p99", at_most=50),
        ),
        subjects=("gateway",),
        rounds=3,
    ),
)
