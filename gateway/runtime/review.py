"""What is wrong with a configuration that only shows when its routes and chains are looked at together.

Asked before a configuration is taken up, at the start, by a reload and by ``gateway check``, which thus agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from gateway import registry
from gateway.chain import AnyOf, acts, disorders
from gateway.config.check import Finding
from gateway.config.entry import AnyEntry, PluginEntry
from gateway.config.model import Config, Route
from gateway.config.routing import doubts
from gateway.config.wording import Step
from gateway.plugin import Mode, Plugin
from gateway.plugin.tree import Severity
from gateway.route import unreachable

Placed = tuple[tuple[Step, ...], PluginEntry | AnyEntry]
"""An entry of a list and its path in the files."""


def findings(config: Config, places: Sequence[int]) -> Iterator[Finding]:
    """Mistakes and warnings, in no order: what `gateway.config.load` takes as ``review``.

    ``places`` says where in the files each route stands.
    """
    yield from _unreachable(config, places)
    for place, route in zip(places, config.routes, strict=True):
        for location, why in doubts(route.match):
            yield Finding(("routes", place, "match", *location), why, severity=Severity.WARNING)
        entries = entries_of(config, route, place)
        yield from _orders(entries)
        yield from _twice(entries)
    for name, upstream in config.upstreams.items():
        path: tuple[Step, ...] = ("upstreams", name, "attempt")
        yield from _orders([((*path, index), entry) for index, entry in enumerate(upstream.attempt)])


def _unreachable(config: Config, places: Sequence[int]) -> Iterator[Finding]:
    numbered = [(index, route.match) for index, route in enumerate(config.routes)]
    for index, other in unreachable(numbered, ignore_case=config.routing.ignore_case):
        yield Finding(
            ("routes", places[index]),
            f"no request can take this route: all that it matches go to {config.routes[other].name!r} before",
            severity=Severity.WARNING,
        )


def entries_of(config: Config, route: Route, place: int) -> list[Placed]:
    """A route's effective list, outermost first, each entry with its path in the files.

    Entries are told apart by being the same object, as `Config.entries_of` hands on what the lists hold.
    """
    effective = {id(entry) for entry in config.entries_of(route)}
    lists: list[tuple[tuple[Step, ...], Iterable[PluginEntry | AnyEntry]]] = [
        (("defaults", "plugins"), config.defaults.plugins),
        (("routes", place, "plugins"), route.plugins),
    ]
    return [
        ((*path, index), entry)
        for path, entries in lists
        for index, entry in enumerate(entries)
        if id(entry) in effective
    ]


def _twice(placed: Sequence[Placed]) -> Iterator[Finding]:
    """One record for a request is enough; what runs for some requests only may well share them."""
    always = [
        path
        for path, entry in placed
        if isinstance(entry, PluginEntry)
        and entry.when is None
        and entry.mode is not Mode.OFF
        and registry.find(entry.plugin).audits
    ]
    for path in always[1:]:
        yield Finding(
            path,
            "every request is recorded twice, as the list has one before; `without` leaves out that of `defaults`",
            severity=Severity.WARNING,
        )


def _orders(placed: Sequence[Placed]) -> Iterator[Finding]:
    # What runs for some requests only cannot be said to end the list or to stand wrong in it for all.
    always = [(path, entry) for path, entry in placed if entry.when is None and entry.mode.value != "off"]
    always = [(path, entry) for path, entry in always if acts(_class_of(entry))]  # no place is wrong for the others
    classes = [(entry.name, _class_of(entry)) for _, entry in always]
    found = disorders(classes)
    end = min((disorder.index for disorder in found if disorder.fatal), default=len(classes))
    for disorder in found:
        if disorder.index > end and not disorder.fatal:
            continue  # it never runs, which is told already; where it would stand better is beside the point
        severity = Severity.ERROR if disorder.fatal else Severity.WARNING
        yield Finding(always[disorder.index][0], disorder.message, severity=severity)


def _class_of(entry: PluginEntry | AnyEntry) -> type[Plugin[Any]]:
    return AnyOf if isinstance(entry, AnyEntry) else registry.find(entry.plugin)
