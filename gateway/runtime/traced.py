"""What tracing puts into chains: the decision where a route begins, and spans around plugins where asked."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from gateway.config.model import Config
from gateway.http import Handler, Request, Response
from gateway.plugin import Plugin
from gateway.services.tracing import Kind, RouteTracing, current


def deciding(handler: Handler, own: RouteTracing) -> Handler:
    """The route's handler, before which it is decided whether the exchange is sampled."""

    # A plain function that hands on the coroutine: one of its own would be one more frame for each request.
    def decided(request: Request) -> Awaitable[Response]:
        trace = current.get()
        if trace is not None and trace.request is request:
            trace.decide(request, own)
        return handler(request)

    return decided


def observed(plugin: Plugin[Any], handler: Handler) -> Handler:
    """A plugin's handler with a span around it, for exchanges whose route asks for that."""
    name = plugin.context.id
    said = {"sidegate.plugin": plugin.context.plugin, "sidegate.mode": plugin.context.mode.value}

    async def noted(request: Request) -> Response:
        trace = current.get()
        before = request.trace
        if trace is None or not (trace.plugins and trace.recording) or before is None or before[3:35] != trace.id:
            return await handler(request)
        span = trace.open(request, name, Kind.INTERNAL)
        if span is None:
            return await handler(request)
        span.attributes.update(said)
        refused = "client_closed_request"
        try:
            response = await handler(request)
            # An error from further in is said where it came from.
            inner = any(each.parent == span.id and each.error for each in trace.spans)
            refused = response.error.code if response.error is not None and not inner else ""
        finally:
            request.trace = before
            trace.end(span, refused)
        return response

    return noted


def plugins_are_traced(config: Config) -> bool:
    """Whether any route asks for spans of plugins."""
    tracing = config.tracing
    if tracing is None:
        return False
    return tracing.plugins or any(route.tracing is not None and route.tracing.plugins for route in config.routes)
