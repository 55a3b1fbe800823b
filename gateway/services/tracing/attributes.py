"""What spans say: OpenTelemetry's semantic conventions for HTTP, the stable ones, and a few of our own (``sidegate.``).

Of a URL's query nothing is said, of header fields only those that are asked for: both hold secrets. Neither is the
principal, who is a person.
"""

from __future__ import annotations

from typing import Any, Final

from gateway.http import Exchange, Request
from gateway.services.tracing.carrier import baggage_of
from gateway.services.tracing.options import Options, RouteTracing

METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
"""Known methods; any other is ``_OTHER``, so that a client cannot make names of spans."""
FIXED: Final = frozenset(
    {
        "error.type",
        "http.request.method",
        "http.route",
        "network.protocol.version",
        "network.transport",
        "sidegate.error.code",
        "sidegate.mode",
        "sidegate.plugin",
        "sidegate.route",
        "sidegate.sampled_by",
        "sidegate.upstream",
        "url.scheme",
    }
)
"""Attributes whose values are the configuration's or the gateway's own words: nothing of a person can be in them."""
_AGENT: Final = 256
_PORTS: Final = {"http": 80, "https": 443}


def method_of(request: Request) -> dict[str, Any]:
    """The method, and the original of one that is not known."""
    method = request.method
    if method in METHODS:
        return {"http.request.method": method}
    return {"http.request.method": "_OTHER", "http.request.method_original": method[:64]}


def server_name(request: Request, own: RouteTracing) -> str:
    """``{method} {http.route}``, or the method alone where no route was taken."""
    method = request.method if request.method in METHODS else "HTTP"
    return f"{method} {own.pattern}" if own.pattern else method


def server_attributes(exchange: Exchange, own: RouteTracing, options: Options) -> dict[str, Any]:
    """What is said of an exchange."""
    request = exchange.request
    name, port = host_of(request.host, _PORTS.get(request.scheme, 80))
    said = method_of(request)
    said |= {
        "url.scheme": request.scheme,
        "url.path": request.path,
        "network.protocol.version": "1.0" if request.version == 10 else "1.1",
        "client.address": request.client_ip,
        "server.address": name,
        "server.port": port,
        "http.request.body.size": exchange.received_bytes,
        "http.response.body.size": exchange.sent_bytes,
        "sidegate.route": request.route.name,
        "sidegate.request_id": request.id,
    }
    if own.pattern:
        said["http.route"] = own.pattern
    if exchange.response is not None:
        said["http.response.status_code"] = exchange.status
    if request.attempts:
        said["sidegate.attempts"] = request.attempts
    if agent := request.headers.get("User-Agent"):
        said["user_agent.original"] = agent[:_AGENT]
    if exchange.error is not None:
        said["sidegate.error.code"] = exchange.error.code
    if request.upgrade:
        said["sidegate.upgrade"] = request.upgrade
    _asked_for(said, exchange, options)
    return said


def _asked_for(said: dict[str, Any], exchange: Exchange, options: Options) -> None:
    request, response = exchange.request, exchange.response
    for name in options.request_headers:
        if values := request.headers.getall(name, None):
            said[f"http.request.header.{name}"] = list(values)
    if response is not None:
        for name in options.response_headers:
            if values := response.headers.getall(name, None):
                said[f"http.response.header.{name}"] = list(values)
    if options.baggage:
        for key, value in baggage_of(request.headers.getall("baggage", ()), options.baggage).items():
            said[f"baggage.{key}"] = value


def host_of(authority: str, port: int) -> tuple[str, int]:
    """Name and port of ``Host``."""
    name, colon, digits = authority.rpartition(":")
    if colon and digits.isdecimal() and not authority.endswith("]"):
        return name.strip("[]"), int(digits)
    return authority.strip("[]"), port
