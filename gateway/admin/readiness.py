"""Whether the gateway can do its work: what ``/readyz`` says, and when it says 503.

503 is for what makes every request fail or work be lost: shutting down, no worker that answers, what the operator
marked ``critical``, and what a plugin reports as failing and says is critical, as the durable store of one that has
promised to keep work is. A target that is down is no reason, nor are keys that cannot be fetched: other routes still
serve, and taking the gateway out of rotation would take them too. What fails and is not critical is in ``failing``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.config.model import Config


def readiness(
    config: Config,
    statuses: Sequence[Mapping[str, Any]],
    checks: Mapping[str, Mapping[str, Any]],
    reload: Mapping[str, Any],
    stopping: bool,
    audit: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The report: ``ready``, ``reasons`` why not, and the state of each part with its response time in seconds."""
    reasons = []
    if stopping:
        reasons.append("shutting down")
    if not statuses:
        reasons.append("no worker answers")
    upstreams = _upstreams(config, statuses)
    reasons += [
        f"upstream {name} has no usable target"
        for name, state in upstreams.items()
        if state["critical"] and not state["usable"]
    ]
    reasons += [
        f"check {name} fails" if result["ok"] is False else f"check {name} has not been made yet"
        for name, result in checks.items()
        if result["critical"] and result["ok"] is not True
    ]
    queue = _queue(statuses)
    if queue is not None and queue["ok"] is False:
        reasons.append("the durable queue cannot be used")
    plugins = _plugins(statuses)
    failing = [report for report in plugins if report.get("ok") is False]
    reasons += [f"{_told(report)} fails" for report in failing if report.get("critical") is True]
    trail = _worst_trail(statuses, audit)
    untold = trail is not None and trail["ok"] is False
    if trail is not None and untold and trail["critical"]:
        reasons.append("the audit trail cannot be written")
    return {
        "ready": not reasons,
        "reasons": reasons,
        "failing": [
            *(f"upstream {name}" for name, state in upstreams.items() if not state["usable"]),
            *(f"check {name}" for name, result in checks.items() if result["ok"] is False),
            *map(_told, failing),
            *(["audit"] if untold else []),
            *([] if queue is None or queue["ok"] else ["queue"]),
            *([f"queue: nobody delivers {topic}" for topic in queue["stranded"]] if queue is not None else []),
        ],
        "upstreams": upstreams,
        "store": _worst_store(statuses),
        "queue": queue,
        "checks": checks,
        "plugins": plugins,
        "reload": reload,
        **({"audit": trail} if trail is not None else {}),
    }


def _queue(statuses: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Told by the one worker that looks after it."""
    return next((found for status in statuses if (found := status.get("queue")) is not None), None)


def _upstreams(config: Config, statuses: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """An upstream is usable if some worker has a usable target for it."""
    found: dict[str, dict[str, Any]] = {}
    for name, settings in config.upstreams.items():
        states = [status["upstreams"][name] for status in statuses if name in status["upstreams"]]
        targets = [target for state in states for target in state["targets"]]
        usable = any(target["state"] == "well" for target in targets)
        found[name] = {
            "critical": settings.critical,
            "usable": usable,
            "targets": states[0]["targets"] if states else [],
        }
    return found


def _plugins(statuses: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One report of each plugin: that of the first worker in which it fails, else of the first that has it."""
    found: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for status in statuses:
        for report in status["plugins"]:
            key = (report["route"], report["plugin"], report["name"])
            if key not in found or (report.get("ok") is False and found[key].get("ok") is not False):
                found[key] = report
    return list(found.values())


def _told(report: Mapping[str, Any]) -> str:
    name = "" if report["name"] == report["plugin"] else f" ({report['name']})"
    return f"plugin {report['plugin']} of {report['route']}{name}"


def _worst_trail(statuses: Sequence[Mapping[str, Any]], own: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The state of the audit trail in the first process that cannot write it, else in the supervisor."""
    states = [state for state in (own, *(status.get("audit") for status in statuses)) if state is not None]
    return next((state for state in states if state["ok"] is False), states[0] if states else None)


def _worst_store(statuses: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    stores: list[Mapping[str, Any]] = [status["store"] for status in statuses]
    degraded = [store for store in stores if store["state"] != "up"]
    return (degraded or stores or [{"state": "unknown"}])[0]
