"""What the lines of the logs go through: the processors that plugins bring."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.plugin import LogProcessor

if TYPE_CHECKING:
    from gateway.runtime.live import Runtime


def log_processors(runtime: Runtime) -> tuple[tuple[LogProcessor, ...], dict[str, tuple[LogProcessor, ...]]]:
    """The processors of every line, and those of each route's access lines.

    A route's access lines go through the processors of its own chain. All others (the application log, access lines of
    what no route took or of a route that is gone) may hold what any route must not show, and go through all of them.
    Equal processors run once: ten thousand routes with one default do not mean ten thousand passes.
    """
    everywhere: dict[LogProcessor, None] = {}
    of_routes: dict[str, dict[LogProcessor, None]] = {route.name: {} for route in runtime.routes}
    for instance in runtime.instances.values():
        processor = instance.plugin.log_processor()
        if processor is None:
            continue
        everywhere[processor] = None
        # One of an upstream's attempt chain belongs to no route's lines alone.
        for name in (instance.route,) if instance.route in of_routes else of_routes:
            of_routes[name][processor] = None
    return tuple(everywhere), {name: tuple(each) for name, each in of_routes.items()}
