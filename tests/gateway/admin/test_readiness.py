"""When `/readyz` says no: only for what makes every request fail, or what the operator marked."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.admin.readiness import readiness
from gateway.config import load_text

CONFIG = load_text(
    """
upstreams:
  vital: {targets: [http://127.0.0.1:1, http://127.0.0.1:2], critical: true}
  other: {targets: [http://127.0.0.1:3]}
routes:
  - {name: a, match: {path: /a}, upstream: vital}
  - {name: b, match: {path: /b}, upstream: other}
""",
    {},
).config


def worker(vital: str = "well well", other: str = "well", store: str = "up") -> dict[str, Any]:
    states = {"vital": vital, "other": other}
    return {
        "upstreams": {name: {"targets": [{"state": each} for each in said.split()]} for name, said in states.items()},
        "store": {"state": store},
        "plugins": [],
    }


def check(ok: bool | None, *, critical: bool = True) -> dict[str, Any]:
    return {"db": {"ok": ok, "critical": critical, "kind": "tcp"}}


@pytest.mark.parametrize(
    ("workers", "checks", "stopping", "reasons"),
    [
        pytest.param([worker()], {}, False, [], id="all is well"),
        pytest.param([worker()], {}, True, ["shutting down"], id="it is leaving"),
        pytest.param([], {}, False, ["no worker answers", "upstream vital has no usable target"], id="no worker"),
        pytest.param([worker(vital="ill well")], {}, False, [], id="one target left"),
        pytest.param([worker(vital="ill ejected")], {}, False, ["upstream vital has no usable target"], id="none left"),
        pytest.param([worker(vital="ill ill"), worker()], {}, False, [], id="one worker reaches it"),
        pytest.param([worker(other="ill")], {}, False, [], id="what is not critical is down"),
        pytest.param([worker(store="degraded")], {}, False, [], id="the shared store is away"),
        pytest.param([worker()], check(True), False, [], id="a check succeeds"),
        pytest.param([worker()], check(False), False, ["check db fails"], id="a critical check fails"),
        pytest.param([worker()], check(False, critical=False), False, [], id="another check fails"),
        pytest.param(
            [worker()], check(None), False, ["check db has not been made yet"], id="a critical one is to come"
        ),
        pytest.param([worker()], check(None, critical=False), False, [], id="another one is to come"),
    ],
)
def test_reasons(workers: list[Any], checks: dict[str, Any], stopping: bool, reasons: list[str]) -> None:
    report = readiness(CONFIG, workers, checks, {"ok": True}, stopping)
    assert report["reasons"] == reasons
    assert report["ready"] is (not reasons)


def test_a_store_that_is_degraded_in_any_worker_is_shown() -> None:
    report = readiness(CONFIG, [worker(), worker(store="degraded")], {}, {}, False)
    assert report["store"] == {"state": "degraded"}
    assert readiness(CONFIG, [], {}, {}, False)["store"] == {"state": "unknown"}


def report(**state: Any) -> dict[str, Any]:
    return {"route": "a", "plugin": "inbox", "name": "durable store", **state}


@pytest.mark.parametrize(
    ("reports", "reasons", "failing"),
    [
        pytest.param([report()], [], [], id="a plugin that says nothing of how it is"),
        pytest.param([report(ok=True, critical=True)], [], [], id="one that is well"),
        pytest.param([report(ok=False)], [], ["plugin inbox of a (durable store)"], id="one that fails is shown"),
        pytest.param([report(ok=False, critical=False)], [], ["plugin inbox of a (durable store)"], id="so it says"),
        pytest.param(
            [report(ok=False, critical=True)],
            ["plugin inbox of a (durable store) fails"],
            ["plugin inbox of a (durable store)"],
            id="a critical one that fails",
        ),
        pytest.param(
            [report(ok=True, critical=True), report(ok=False, critical=True)],
            ["plugin inbox of a (durable store) fails"],
            ["plugin inbox of a (durable store)"],
            id="in another worker than the first",
        ),
        pytest.param(
            [report(ok=False, name="inbox", critical="yes")], [], ["plugin inbox of a"], id="critical is true or not"
        ),
    ],
)
def test_what_plugins_report(reports: list[dict[str, Any]], reasons: list[str], failing: list[str]) -> None:
    workers = [{**worker(), "plugins": [each]} for each in reports]
    told = readiness(CONFIG, workers, {}, {"ok": True}, False)
    assert (told["reasons"], told["failing"], len(told["plugins"])) == (reasons, failing, 1)
    assert told["ready"] is not bool(reasons)


@pytest.mark.parametrize(
    ("own", "of_worker", "reasons", "failing"),
    [
        pytest.param(None, None, [], [], id="there is none"),
        pytest.param((True, True), (True, True), [], [], id="it can be written"),
        pytest.param(
            (False, True), (True, True), ["the audit trail cannot be written"], ["audit"], id="here it cannot"
        ),
        pytest.param((True, True), (False, True), ["the audit trail cannot be written"], ["audit"], id="by a worker"),
        pytest.param((True, False), (False, False), [], ["audit"], id="and what happens may go unrecorded"),
    ],
)
def test_the_audit_trail(own: Any, of_worker: Any, reasons: list[str], failing: list[str]) -> None:
    states = [dict(zip(("ok", "critical"), each, strict=True)) if each else None for each in (own, of_worker)]
    report = readiness(CONFIG, [{**worker(), "audit": states[1]}], {}, {"ok": True}, False, states[0])
    assert (report["reasons"], report["failing"]) == (reasons, failing)
    assert ("audit" in report) is (own is not None)


def test_what_fails_and_is_not_critical_is_shown() -> None:
    told = readiness(CONFIG, [worker(other="ill")], check(False, critical=False), {"ok": True}, False)
    assert (told["ready"], told["failing"]) == (True, ["upstream other", "check db"])


@pytest.mark.parametrize(
    ("queue", "reasons", "failing"),
    [
        pytest.param(None, [], [], id="there is none"),
        pytest.param({"ok": True, "stranded": {}}, [], [], id="all is well"),
        pytest.param({"ok": False, "stranded": {}}, ["the durable queue cannot be used"], ["queue"], id="it fails"),
        pytest.param(
            {"ok": True, "stranded": {"inbox/a/inbox": 3}},
            [],
            ["queue: nobody delivers inbox/a/inbox"],
            id="a route is gone whose work is left",
        ),
    ],
)
def test_the_durable_queue(queue: Any, reasons: list[str], failing: list[str]) -> None:
    told = readiness(CONFIG, [{**worker(), "queue": None}, {**worker(), "queue": queue}], {}, {}, False)
    assert (told["reasons"], told["failing"], told["queue"]) == (reasons, failing, queue)
