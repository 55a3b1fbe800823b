"""Which plugins stand in front of which route, and where each comes from: for ``/routes`` and ``explain``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.config.dump import dump_masked
from gateway.config.entry import AnyEntry, PluginEntry
from gateway.config.model import Config


def effective_routes(config: Config) -> list[dict[str, Any]]:
    """Every route with what is matched, its chain (outermost first) and where it leads."""
    return [
        {
            "name": route.name,
            "match": route.match.model_dump(mode="json", exclude_defaults=True),
            "chain": effective_chain(config.entries_of(route)),
            "masked_by": [*config.built_in_of(route)],
            "upstream": route.upstream,
            "split": [share.model_dump(mode="json") for share in route.split],
        }
        for route in config.routes
    ]


def effective_chain(entries: Sequence[PluginEntry | AnyEntry]) -> list[dict[str, Any]]:
    """A list of entries as it is in force, secrets masked."""
    shown: list[dict[str, Any]] = []
    for number, entry in enumerate(entries, 1):
        told: dict[str, Any] = {"number": number, "id": entry.name, "mode": entry.mode.value}
        if isinstance(entry, AnyEntry):
            told["any"] = [{"plugin": each.plugin, "with": dump_masked(each.settings)} for each in entry.any]
        else:
            told |= {"plugin": entry.plugin, "with": dump_masked(entry.settings)}
        if entry.when is not None:
            told["when"] = entry.when.model_dump(mode="json", exclude_defaults=True)
        shown.append(told)
    return shown
