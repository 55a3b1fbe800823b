"""Measured in a process of their own, without a socket: plugins, routes, services, the whole path of a request."""

import json
import subprocess
from typing import Any

from bench.install import HERE
from bench.load import LoadFailed
from bench.scenario import Bar, Figure, Figures, Scenario, Stage
from bench.subject import Subject

WITHIN = 300.0


def measured(stage: Stage, module: str) -> dict[str, Any]:
    """`measure()` of a module in a fresh process on the proxy's core. Raises LoadFailed with what it wrote."""
    code = f"import json, {module} as one; print(json.dumps(one.measure()))"
    done = subprocess.run(
        ["taskset", "-c", str(stage.cores.proxy), str(stage.python), "-c", code],
        cwd=HERE.parent, capture_output=True, text=True, check=False, timeout=WITHIN,
    )  # fmt: skip
    if done.returncode:
        raise LoadFailed(f"{module}: {done.stderr.strip()[-800:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def plugins(stage: Stage, _: Subject) -> Figures:
    return measured(stage, "bench.chain")


def routes(stage: Stage, _: Subject) -> Figures:
    figures = {}
    for kind, row in measured(stage, "bench.routes").items():
        if kind == "normal form":
            figures["normal"] = max(row.values())
        else:
            figures |= {f"{kind} {count}": value for count, value in row.items()}
    return figures


def path(stage: Stage, _: Subject) -> Figures:
    found = measured(stage, "bench.path")
    loop = found["loop"]
    return found | {"gateway": found["pass_through"] - loop, "varied": found["varied"] - loop}


SERVICES = {
    "deadline": "deadline added and discarded",
    "id": "request id",
    "made": "trace made",
    "continued": "trace continued",
    "counted": "exchange counted",
    "line": "access line",
    "processed": "access line with a processor",
    "masked": "access line masked",
}


def services(stage: Stage, _: Subject) -> Figures:
    found = measured(stage, "bench.services")
    return {key: found[name] for key, name in SERVICES.items()}


def policies(stage: Stage, _: Subject) -> Figures:
    return measured(stage, "bench.policies")


def masking(stage: Stage, _: Subject) -> Figures:
    return measured(stage, "bench.masking.cost")


MASKING = {
    "typical": "an access line µs",
    "unseen": "one whose path was never seen µs",
    "added": "added to one written µs",
    "uuid": "one with a UUID in its path µs",
    "personal": "one with an e-mail in it µs",
    "message": "a message µs",
}
CORPORA = {"composed": "composed", "held_out": "held out"}


def tracing(stage: Stage, _: Subject) -> Figures:
    found = measured(stage, "bench.tracing")
    return found | {f"{name}_added": found[name] - found["off"] for name in ("unsampled", "unsampled_watched")}


POLICIES = {"jwt": 6, "api_key": 4, "cors": 3, "webhook_signature": 25, "request_validation": 30, "audit": 40}
"""What each may add, in microseconds."""

KINDS = ("exact", "prefix", "template", "missed")

SCENARIOS = (
    Scenario(
        name="plugins",
        title="Ten neutral plugins on the composed chain, in process: 200,000 calls, best of 7",
        measure=plugins,
        figures=(
            Figure("bare", "no plugin µs", 2),
            Figure("ten", "ten plugins µs", 2),
            Figure("added", "added µs", 2),
            Figure("added_noting", "added by ten with done()", 2),
        ),
        bars=(Bar("added by ten neutral plugins, µs", "gateway.added", at_most=6),),
        subjects=("gateway",),
        rounds=1,
    ),
    Scenario(
        name="path",
        title="A small request's whole way in process, without a kernel: best of 7 times 20,000 (µs a request)",
        measure=path,
        figures=(
            Figure("pass_through", "measured", 2),
            Figure("loop", "the measurement's own share", 2),
            Figure("gateway", "the gateway's", 2),
            Figure("varied", "the gateway's, nothing repeating", 2),
        ),
        subjects=("gateway",),
        rounds=1,
    ),
    Scenario(
        name="tracing",
        title="What traces add to it, collector and all but the network: best of 5 times 10,000 (µs a request)",
        measure=tracing,
        figures=(
            Figure("off", "off", 2),
            Figure("unsampled_added", "not sampled, added", 2),
            Figure("unsampled_watched_added", "not sampled, kept if it fails, added", 2),
            Figure("sampled_10_percent", "a tenth sampled", 2),
            Figure("sampled", "all sampled, two spans each", 2),
        ),
        bars=(Bar("not sampled, added, µs", "gateway.unsampled_added", at_most=8),),
        subjects=("gateway",),
        rounds=1,
    ),
    Scenario(
        name="services",
        title="What each service takes of it, in process (µs a call)",
        measure=services,
        figures=tuple(Figure(key, name, 2) for key, name in SERVICES.items()),
        bars=(
            Bar("a line of the access log, µs", "gateway.line", at_most=2.5),
            Bar("masking it, µs", "gateway.masked", at_most=5),
        ),
        subjects=("gateway",),
        rounds=1,
    ),
    Scenario(
        name="policies",
        title="What single policies add, on the composed chain, in process (µs a call; jwt: 1,000 tokens, remembered)",
        measure=policies,
        figures=tuple(Figure(name, name, 2) for name in POLICIES),
        bars=tuple(Bar(f"{name}, µs", f"gateway.{name}", at_most=limit) for name, limit in POLICIES.items()),
        subjects=("gateway",),
        rounds=1,
    ),
    Scenario(
        name="masking",
        title="What pii_masking costs, in process (µs a line), and what it finds in two corpora",
        measure=masking,
        figures=(
            *(Figure(key, name, 2) for key, name in MASKING.items()),
            *(
                Figure(f"{key}_{what}", f"{name}: {what}", 0 if what in {"rows", "missed"} else 4)
                for key, name in CORPORA.items()
                for what in ("rows", "missed", "recall", "precision")
            ),
        ),
        bars=(
            Bar("a typical access line, µs", "gateway.typical", at_most=5),
            Bar("one whose path was never seen, µs", "gateway.unseen", at_most=5),
            *(
                bar
                for key, name in CORPORA.items()
                for bar in (
                    Bar(f"{name}: missed by name or exact shape", f"gateway.{key}_missed", at_most=0),
                    Bar(f"{name}: recall of the rest", f"gateway.{key}_recall", at_least=0.98),
                    Bar(f"{name}: precision", f"gateway.{key}_precision", at_least=0.97),
                )
            ),
        ),
        subjects=("gateway",),
        rounds=1,
    ),
    Scenario(
        name="routes",
        title="Finding a route among 10, 1,000 and 10,000, in process (µs a call)",
        measure=routes,
        figures=(
            *(Figure(f"{kind} {count}", f"{kind} {count}", 2) for kind in KINDS for count in (10, 1_000, 10_000)),
            Figure("normal", "normal form of a path, worst", 2),
        ),
        bars=tuple(
            Bar(f"{kind}: 10,000 routes, of 10", f"gateway.{kind} 10000 / gateway.{kind} 10", at_most=1.5)
            for kind in KINDS
        ),
        subjects=("gateway",),
        rounds=1,
    ),
)
