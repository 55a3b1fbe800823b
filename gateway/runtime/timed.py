"""How long each plugin takes by itself, where the access log asks for it. Without that none of this is in a chain."""

from __future__ import annotations

from time import monotonic
from typing import Any

from gateway.chain import Observe
from gateway.http import Handler, Request, Response
from gateway.http.spent import Spent
from gateway.plugin import Plugin


def timing(handler: Handler) -> Handler:
    """A route's handler, whose exchanges note what their plugins take."""

    async def noted(request: Request) -> Response:
        spent = request.spent
        if spent is None:
            spent = request.spent = Spent()
        spent.plugins = {}
        return await handler(request)

    return noted


def timed(plugin: Plugin[Any], handler: Handler) -> Handler:
    """A plugin's handler; what runs within it counts for itself. Filters of bodies run later, and are not in it."""
    context = plugin.context
    # One of an attempt chain has its upstream before it, as its id may be that of a plugin of the route's list, too.
    name = f"{context.route}/{context.id}" if context.route.startswith("upstream:") else context.id

    return _measured(handler, name)


def untold(handler: Handler) -> Handler:
    """What stands at the end of a chain: its time is that of no plugin."""
    return _measured(handler, "")


def _measured(handler: Handler, name: str) -> Handler:
    """Adds what the handler itself takes to the time under ``name``, if there is one, and all of it to its caller's
    ``inner``.
    """

    async def measured(request: Request) -> Response:
        spent = request.spent
        if spent is None or spent.plugins is None:
            return await handler(request)
        outer, spent.inner = spent.inner, 0.0
        began = monotonic()
        try:
            return await handler(request)
        finally:
            took = monotonic() - began
            if name:
                spent.plugins[name] = spent.plugins.get(name, 0.0) + took - spent.inner
            spent.inner = outer + took

    return measured


def both(one: Observe | None, other: Observe | None) -> Observe | None:
    """Two observers as one, the second outermost."""
    if one is None or other is None:
        return one or other
    inner, outer = one, other
    return lambda plugin, handler: outer(plugin, inner(plugin, handler))
