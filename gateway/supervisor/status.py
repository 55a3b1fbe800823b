"""What a worker tells of its runtime, as JSON can hold it."""

from __future__ import annotations

from typing import Any

from gateway.runtime import Runtime


def upstream_states(runtime: Runtime) -> dict[str, Any]:
    """Upstream's name → its targets' health and pools."""
    return {name: upstream.snapshot() for name, upstream in runtime.upstreams.items()}


def plugin_reports(runtime: Runtime) -> list[dict[str, Any]]:
    """What the plugins in force report of themselves; a report that fails says so instead."""
    told = []
    for instance in runtime.instances.values():
        for name, report in runtime.services.ports.reports.get(instance.plugin.context, {}).items():
            try:
                state = report()
            except Exception as error:  # noqa: BLE001 - a broken report must not hide the others
                state = {"error": type(error).__name__}
            told.append({**state, "route": instance.route, "plugin": instance.id, "name": name})
    return told
