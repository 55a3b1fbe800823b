"""As fast as it goes over 64 connections: small answers, files of 100 KB and 10 MB, uploads of 10 MB."""

from functools import partial
from pathlib import Path

from bench.load import Load, LoadFailed, wrk
from bench.machine import core_seconds
from bench.scenario import Bar, Figure, Figures, Scenario, Stage
from bench.subject import Subject, serving

CONNECTIONS = 64
FEW = 8  # for bodies of 10 MB: enough to keep a core busy, and 64 would only wait in line
UPLOAD = 10 * 1024 * 1024


def saturate(
    stage: Stage,
    subject: Subject,
    *,
    variant: str,
    path: str,
    connections: int = CONNECTIONS,
    body: int = 0,
    tokens: Path | None = None,
    field: str = "",
    ready: str = "/small",
) -> Figures:
    """CPU of the proxy's processes, user and system, over all requests of the window; PSS at its end."""
    with serving(subject, variant, stage.origin, stage.cores.proxy, ready=ready) as proxy:

        def load(seconds: float) -> Load:
            core = stage.cores.load
            return wrk(
                proxy.port, path, connections=connections, seconds=seconds, core=core, body=body, tokens=tokens,
                field=field,
            )  # fmt: skip

        load(stage.seconds(2, 1))
        core, before = core_seconds(stage.cores.proxy), proxy.process.cpu()
        seen = load(stage.seconds(6, 3))
        cpu = proxy.process.cpu() - before
        core = core_seconds(stage.cores.proxy) - core
        if seen.requests == 0:
            raise LoadFailed(f"{subject.name} answered nothing")
        return {
            "cpu": cpu / seen.requests * 1e6,
            "rps": seen.rps,
            "p50": seen.p50,
            "p99": seen.p99,
            "pss": proxy.process.pss(),
            "busy": cpu / seen.seconds * 100,
            "others": max(0.0, core - cpu) / seen.seconds * 100,
            "errors": seen.errors,
        }


FIGURES = (
    Figure("cpu", "CPU µs/request", 1, ratio=True),
    Figure("rps", "requests/s", 0, ratio=True),
    Figure("p50", "p50 ms", 2),
    Figure("p99", "p99 ms", 2, ratio=True),
    Figure("pss", "PSS MiB", 1),
    Figure("busy", "proxy's core %", 0),
    Figure("others", "others on it %", 0),
    Figure("errors", "errors", 0),
)

SCENARIOS = (
    Scenario(
        name="small",
        title="Small pass-through: a 200-byte JSON answer over 64 connections, metrics on, access log off",
        measure=partial(saturate, variant="plain", path="/small"),
        figures=FIGURES,
        bars=(
            Bar("CPU per request, of Envoy's", "gateway.cpu / envoy.cpu", at_most=0.8),
            Bar("CPU per request, of nginx's", "gateway.cpu / nginx.cpu", at_most=2.5),
            Bar("requests/s, of the plain aiohttp proxy's", "gateway.rps / aiohttp.rps", at_least=4),
            Bar("errors", "gateway.errors", at_most=0),
        ),
    ),
    Scenario(
        name="log",
        title="The same with a JSON access log to a file",
        measure=partial(saturate, variant="log", path="/small"),
        figures=FIGURES,
        variant="log",
        rounds=3,
    ),
    Scenario(
        name="100k",
        title="100 KB answers over 64 connections",
        measure=partial(saturate, variant="plain", path="/files/100k"),
        figures=FIGURES,
        rounds=3,
    ),
    Scenario(
        name="10m-down",
        title="10 MB answers over 8 connections",
        measure=partial(saturate, variant="plain", path="/files/10m", connections=FEW),
        figures=FIGURES,
        bars=(Bar("CPU per 10 MB down, of Envoy's", "gateway.cpu / envoy.cpu", at_most=1.3),),
        rounds=3,
    ),
    Scenario(
        name="10m-up",
        title="10 MB uploads over 8 connections, answered after the last byte",
        measure=partial(saturate, variant="plain", path="/upload", connections=FEW, body=UPLOAD),
        figures=FIGURES,
        bars=(Bar("CPU per 10 MB up, of Envoy's", "gateway.cpu / envoy.cpu", at_most=1.3),),
        rounds=3,
    ),
)
