"""The catalogue of everything that can go wrong with an exchange.

An error says three things that nobody downstream may guess: which ``status`` the client gets, whose fault it was
(``source`` decides log level, metric label and what a breaker counts) and whether another attempt may be made
(``retry``). ``code`` is stable, is what programs match on, and never changes with the reader's language. One place
renders them (`gateway.http.problem`, RFC 9457); nobody else builds an error answer.

``detail`` is shown to the client: it must hold nothing of the target, of a secret or of the configuration. ``reason``
goes to the log only.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Any, ClassVar


class Source(StrEnum):
    """Whose fault an error is."""

    CLIENT = "client"
    POLICY = "policy"
    UPSTREAM = "upstream"
    INTERNAL = "internal"


class Retry(Enum):
    """Whether another attempt may follow (the forwarder decides; see `gateway.forward.retry`)."""

    NEVER = "never"
    IF_UNSENT = "if_unsent"
    """No byte of the request reached a target: any method may go to another one."""
    IF_REPEATABLE = "if_repeatable"
    """The target may have acted on it: only an idempotent request whose body can be sent again."""


class GatewayError(Exception):
    """An exchange that ends in an error answer.

    ``headers`` are added to the answer (``Retry-After``, ``WWW-Authenticate`` …), ``extensions`` become members of the
    problem document (RFC 9457 §3.2).
    """

    code: ClassVar[str] = "internal_error"
    status: int = 500
    title: ClassVar[str] = "Internal error"
    source: ClassVar[Source] = Source.INTERNAL
    retry: ClassVar[Retry] = Retry.NEVER
    closes: ClassVar[bool] = False
    """The client's connection cannot be used for another request after this."""

    def __init__(
        self,
        detail: str = "",
        *,
        reason: str = "",
        headers: tuple[tuple[str, str], ...] = (),
        extensions: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.reason = reason or detail
        self.headers = headers
        self.extensions = extensions


class ClientError(GatewayError):
    """Base of what the client did wrong; not raised itself."""

    code, status, title, source = "bad_request", 400, "Bad request", Source.CLIENT


class BadRequest(ClientError):
    """The request is not well-formed HTTP (RFC 9112), or a plugin cannot make sense of it."""


class MalformedMessage(ClientError):
    """The bytes on the connection are not an HTTP/1.1 request; where the next would begin is unknown."""

    code, closes = "malformed_request", True


class MalformedPath(ClientError):
    """The path has no single meaning: it could be read as another route's by the target."""

    code, title = "malformed_path", "Malformed path"


class RequestTimeout(ClientError):
    """The client did not send its request, or the next part of it, in time (RFC 9110 §15.5.9)."""

    code, status, title, closes = "request_timeout", 408, "Request timeout", True


class PayloadTooLarge(ClientError):
    """The request's body is larger than what this route takes (RFC 9110 §15.5.14)."""

    code, status, title, closes = "payload_too_large", 413, "Content too large", True


class UriTooLong(ClientError):
    """The request target is longer than the listener or route takes (RFC 9110 §15.5.15)."""

    code, status, title = "uri_too_long", 414, "URI too long"


class ExpectationFailed(ClientError):
    """An ``Expect`` that is not ``100-continue`` (RFC 9110 §10.1.1)."""

    code, status, title = "expectation_failed", 417, "Expectation failed"


class HeadersTooLarge(ClientError):
    """A header field, or all of them together, is larger than allowed (RFC 6585 §5)."""

    code, status, title = "headers_too_large", 431, "Request header fields too large"


class HeadTooLarge(HeadersTooLarge):
    """The head overran the parser's limit: where the next request would begin is unknown."""

    closes = True


class ClientClosed(ClientError):
    """The client left before its answer. Nobody gets this; it is what log and metrics say."""

    code, status, title, closes = "client_closed_request", 499, "Client closed request", True


class Unauthorized(ClientError):
    """No credentials, or none that hold (RFC 9110 §15.5.2). Give ``WWW-Authenticate`` in ``headers``."""

    code, status, title, source = "unauthorized", 401, "Unauthorized", Source.POLICY


class Forbidden(ClientError):
    """The caller is known, or need not be, and may not do this (RFC 9110 §15.5.4)."""

    code, status, title, source = "forbidden", 403, "Forbidden", Source.POLICY


class TooManyRequests(ClientError):
    """A limit was reached (RFC 6585 §4). Give ``Retry-After`` in ``headers``."""

    code, status, title, source = "rate_limited", 429, "Too many requests", Source.POLICY


class RouteNotFound(ClientError):
    """No route matches host and path."""

    code, status, title = "route_not_found", 404, "Not found"


class MethodNotAllowed(ClientError):
    """A route matches the path, but not with this method (RFC 9110 §15.5.6). ``Allow`` is in ``headers``."""

    code, status, title = "method_not_allowed", 405, "Method not allowed"


class UpgradeRefused(ClientError):
    """The protocol asked for by ``Upgrade``, or CONNECT or TRACE, is not let through here."""

    code, status, title, closes = "method_refused", 405, "Method not allowed", True


class VersionNotSupported(ClientError):
    """Neither HTTP/1.0 nor HTTP/1.1 (RFC 9110 §15.6.6)."""

    code, status, title, closes = "http_version_not_supported", 505, "HTTP version not supported", True


class UpstreamError(GatewayError):
    """Base of what a target did wrong; not raised itself."""

    code, status, title, source = "bad_gateway", 502, "Bad gateway", Source.UPSTREAM


class ConnectFailed(UpstreamError):
    """No connection to the target: refused, unreachable, its name unknown, or TLS failed. Nothing was sent."""

    code, retry = "connect_failed", Retry.IF_UNSENT


class ConnectTimeout(UpstreamError):
    """No connection to the target in ``timeout.connect``. Nothing was sent."""

    code, status, title, retry = "connect_timeout", 504, "Gateway timeout", Retry.IF_UNSENT


class PoolExhausted(UpstreamError):
    """Every connection to the target is busy and the waiting line is full, or took too long. Nothing was sent."""

    code, status, title, source = "pool_exhausted", 503, "Service unavailable", Source.POLICY
    retry = Retry.IF_UNSENT


class ConnectionReused(UpstreamError):
    """A kept-alive connection was closed by the target before any byte of an answer.

    RFC 9112 §9.3.1: this is the one case in which a client may retry an idempotent request without being asked.
    """

    code, retry = "connection_reset", Retry.IF_REPEATABLE


class UpstreamReset(UpstreamError):
    """The target closed or reset the connection before its answer's head was whole."""

    code, retry = "upstream_reset", Retry.IF_REPEATABLE


class MalformedAnswer(UpstreamError):
    """What the target sent is not HTTP, or its head is larger than allowed."""

    code, retry = "malformed_answer", Retry.IF_REPEATABLE


class TruncatedAnswer(UpstreamError):
    """The target's body ended before its framing said so. Raised while the body is pulled: the head may be out."""

    code = "truncated_answer"


class FirstByteTimeout(UpstreamError):
    """The target was silent for ``timeout.first_byte`` after the request was sent."""

    code, status, title, retry = "upstream_timeout", 504, "Gateway timeout", Retry.IF_REPEATABLE


class TotalTimeout(UpstreamError):
    """``timeout.total`` passed, over all attempts, without the head of an answer."""

    code, status, title = "deadline_exceeded", 504, "Gateway timeout"


class StreamIdle(UpstreamError):
    """The target's body stood still for ``timeout.stream_idle``."""

    code, status, title = "stream_idle", 504, "Gateway timeout"


class NoTarget(UpstreamError):
    """The upstream has no target that may be tried: all ejected, unhealthy or refused by a gate."""

    code, status, title, source = "no_target", 503, "Service unavailable", Source.POLICY
    retry = Retry.IF_UNSENT


class CircuitOpen(UpstreamError):
    """The target failed too often lately and is left alone for a while."""

    code, status, title, source = "circuit_open", 503, "Service unavailable", Source.POLICY
    retry = Retry.IF_UNSENT


class StoreUnavailable(GatewayError):
    """The shared store did not answer and the policy says ``on_store_error: deny``."""

    code, status, title, source = "store_unavailable", 503, "Service unavailable", Source.POLICY


class KeysUnavailable(GatewayError):
    """The issuer's keys could not be fetched, so nobody can say whether the token is good."""

    code, status, title, source = "keys_unavailable", 503, "Service unavailable", Source.POLICY


class Draining(GatewayError):
    """The gateway is shutting down and takes no new request on this connection."""

    code, status, title, closes = "draining", 503, "Service unavailable", True


class InternalError(GatewayError):
    """A bug in the gateway or in a plugin. The log has the traceback, the client the request id."""


def catalogue() -> list[type[GatewayError]]:
    """Every error class that is raised, in the order written: the reference is generated from it."""
    abstract = {GatewayError, ClientError, UpstreamError}
    found: list[type[GatewayError]] = []

    def descend(parent: type[GatewayError]) -> None:
        for child in parent.__subclasses__():
            if child not in abstract:
                found.append(child)
            descend(child)

    descend(GatewayError)
    return found
