"""What a worker tells of its runtime, as JSON can hold it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.runtime import Runtime


def upstream_states(runtime: Runtime) -> dict[str, Any]:
    """Upstream's name → its targets' health and pools."""
    return {name: upstream.snapshot() for name, upstream in runtime.upstreams.items()}


def plugin_reports(reports: Mapping[tuple[str, str, str], Callable[[], dict[str, Any]]]) -> list[dict[str, Any]]:
    """What plugins report of themselves; a report that fails says so instead."""
    told = []
    for (route, unique, name), report in reports.items():
        try:
            state = report()
        except Exception as error:  # noqa: BLE001 - a broken report must not hide the others
            state = {"error": type(error).__name__}
        told.append({"route": route, "plugin": unique, "name": name, **state})
    return told
