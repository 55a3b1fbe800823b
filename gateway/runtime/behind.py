"""What stands behind a plugin that keeps work: the way of a request that no client waits for any more."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.forward import LiveUpstream
from gateway.http import Handler
from gateway.plugin import Context
from gateway.runtime.route import LiveRoute


def label_of(route: str) -> str:
    """The value of the label ``route`` for deliveries, which are no client's requests."""
    return f"delivery:{route}"


class LiveDestination:
    """`gateway.plugin.Destination` over the upstreams of a route."""

    __slots__ = ("_upstreams",)

    def __init__(self, upstreams: Sequence[LiveUpstream]) -> None:
        self._upstreams = tuple(upstreams)

    @property
    def upstream(self) -> str:
        """The first one's name."""
        return self._upstreams[0].name if self._upstreams else ""

    def hindrance(self) -> str:
        """Why nothing should be sent to any of them now."""
        found = [upstream.hindrance() for upstream in self._upstreams]
        return found[0] if found and all(found) else ""


class Behind:
    """What stands behind one plugin of one route."""

    __slots__ = ("context", "destination", "route")

    def __init__(self, context: Context, route: LiveRoute, destination: LiveDestination) -> None:
        self.context = context
        """The plugin's."""
        self.route = route
        """The same route with counters of its own."""
        self.destination = destination

    @property
    def handler(self) -> Handler:
        """The plugins below, then the route's way to its upstream."""
        return self.route.handler
