"""What lines of logs, and all else that people see, go through: the processors that plugins bring."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from gateway import registry
from gateway.config.entry import AnyEntry, PluginEntry
from gateway.config.model import Config
from gateway.plugin import Context, LogProcessor, Plugin
from gateway.plugin.context import Ports
from gateway.services.audit import Audit
from gateway.services.clock import Clock
from gateway.services.masking import Masking
from gateway.services.metrics import Metrics
from gateway.services.relay import Relay
from gateway.services.shared import Shared

if TYPE_CHECKING:
    from gateway.runtime.live import Runtime

Processors = tuple[tuple[LogProcessor, ...], dict[str, tuple[LogProcessor, ...]]]


def log_processors(runtime: Runtime) -> Processors:
    """The processors of every line, and those of each route's access lines.

    A route's access lines go through the processors of its own chain. All others (the application log, access lines of
    what no route took or of a route that is gone) may hold what any route must not show, and go through all of them.
    Equal processors run once: ten thousand routes with one default do not mean ten thousand passes.
    """
    found = ((instance.route, instance.plugin.log_processor()) for instance in runtime.instances.values())
    return _by_route(found, runtime.config, runtime.services.ports)


def processors_of(config: Config, metrics: Metrics | None = None) -> Processors:
    """As `log_processors`, of a configuration that is not live: for the supervisor, and for commands that show data.

    Plugins that bring a processor are made and never opened. Raises what making one raises.
    """
    ports = cast(
        "Ports",
        SimpleNamespace(
            clock=Clock(),
            metrics=metrics if metrics is not None else Metrics(),
            relay=Relay(),
            shared=Shared(),
            masking=(masking := Masking()),
            audit=Audit(Metrics(), masking),
            workers=config.worker_count,
            owner=False,
            replicas=1,
        ),
    )

    def processor_of(owner: str, entry: PluginEntry) -> LogProcessor | None:
        plugin = registry.find(entry.plugin)
        if plugin.log_processor is Plugin.log_processor:
            return None
        context = Context(ports, route=owner, plugin=entry.plugin, id=entry.name, mode=entry.mode)
        return plugin(entry.settings, context).log_processor()

    # Upstreams first, as when they are made live: the order of processors is the same.
    lists: list[tuple[str, Iterable[PluginEntry | AnyEntry]]] = [
        (f"upstream:{name}", upstream.attempt) for name, upstream in config.upstreams.items()
    ]
    lists += [(route.name, config.entries_of(route)) for route in config.routes]
    found = ((owner, processor_of(owner, entry)) for owner, entries in lists for entry in _single(entries))
    return _by_route(found, config, ports)


def masking_of(config: Config, metrics: Metrics | None = None) -> Masking:
    """A `Masking` for a configuration without a runtime. Raises what `processors_of` raises."""
    return Masking(*processors_of(config, metrics))


def _single(entries: Iterable[PluginEntry | AnyEntry]) -> Iterable[PluginEntry]:
    for entry in entries:
        if entry.mode.value == "off":
            continue
        if isinstance(entry, AnyEntry):
            yield from _single(entry.any)
        else:
            yield entry


def _by_route(found: Iterable[tuple[str, LogProcessor | None]], config: Config, ports: Ports) -> Processors:
    everywhere: dict[LogProcessor, None] = {}
    of_routes: dict[str, dict[LogProcessor, None]] = {route.name: {} for route in config.routes}
    for owner, processor in found:
        if processor is None:
            continue
        everywhere[processor] = None
        # One of an upstream's attempt chain belongs to no route's lines alone.
        for name in (owner,) if owner in of_routes else of_routes:
            of_routes[name][processor] = None
    _add_built_in(everywhere, of_routes, config, ports)
    return tuple(everywhere), {name: tuple(each) for name, each in of_routes.items()}


def _add_built_in(
    everywhere: dict[LogProcessor, None], of_routes: dict[str, dict[LogProcessor, None]], config: Config, ports: Ports
) -> None:
    """Last, so that what a route has of its own comes first, such as tokens in place of values."""
    made = {name: _built_in(name, ports) for name in config.built_in_of()}
    for processor in made.values():
        if processor is not None:
            everywhere[processor] = None
    for route in config.routes if made else ():
        for name in config.built_in_of(route):
            if (processor := made[name]) is not None:
                of_routes[route.name][processor] = None


def _built_in(name: str, ports: Ports) -> LogProcessor | None:
    plugin = registry.find(name)
    settings = plugin.settings_type.model_validate({})
    return plugin(settings, Context(ports, route="", plugin=name, id=name)).log_processor()
