"""From what aiohttp's parser made to our `Request`, and from what it refused to our errors."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from aiohttp import HttpVersion11, hdrs
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD
from multidict import istr

from gateway.errors import (
    BadRequest,
    ExpectationFailed,
    GatewayError,
    HeadTooLarge,
    MalformedMessage,
    UpgradeRefused,
    UriTooLong,
    VersionNotSupported,
)
from gateway.http import Body, Request
from gateway.http.peer import Peer
from gateway.server.forwarded import believe
from gateway.server.tls import verified_chain
from gateway.services.ids import accepted_request_id, continue_trace, make_trace, request_id

if TYPE_CHECKING:
    from gateway.server.connection import ClientConnection
    from gateway.server.edge import Edge
    from gateway.server.receiving import Receiver

_HOST: Final = re.compile(
    r"(?:(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})+|\[(?P<six>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{0,5}))?"
)
"""``uri-host [":" port]`` (RFC 9110 §7.2), not empty; without the comma, which a list of two Hosts would have."""

_REQUEST_ID: Final = istr("X-Request-Id")  # made ready: a plain string is folded at each look-up
_TRACEPARENT: Final = istr("traceparent")
_REPEATED: Final = {"GET": b"GET ", "HEAD": b"HEAD ", "DELETE": b"DELETE ", "OPTIONS": b"OPTIONS "}
_VERSION: Final = b" HTTP/1.1\r\n"
_TARGET: Final = b"/?%-._~!$&'()*+,;=:@0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PROTOCOL: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+(?:/[!#$%&'*+.^_`|~0-9a-z-]+)?")
"""One ``protocol``, in lower case (RFC 9110 §7.8)."""


class Head:
    """A request's head but for its target: what a connection that repeats its fields need not be asked again."""

    __slots__ = (
        "closes",
        "fields",
        "host",
        "id",
        "message",
        "modern",
        "objection",
        "parent",
        "room",
        "start",
        "upgrade",
    )

    def __init__(self, connection: Receiver, message: Any) -> None:
        headers = message.headers
        self.message = message
        self.modern = message.version is HttpVersion11  # the parser has one object for it
        self.host = host = headers.get(hdrs.HOST, "")
        self.objection: GatewayError | None = None
        """Why the request may not go on."""
        self.closes: bool = message.should_close
        try:
            if not host or host != connection.host:
                connection.host = _checked_host(host, message.version)
            method = message.method
            if not self.modern or method == "CONNECT" or method == "TRACE":  # noqa: PLR1714
                _unusual(connection.edge, message)
            if message.chunked and headers["Transfer-Encoding"].lower() != "chunked":
                raise MalformedMessage(reason="a transfer coding other than chunked")
            if hdrs.EXPECT in headers and headers[hdrs.EXPECT].lower() != "100-continue":
                raise ExpectationFailed
        except GatewayError as error:
            self.objection = error
        given = headers.get(_REQUEST_ID) if self.objection is None else None
        self.id = accepted_request_id(given) if given else ""
        self.parent: str | None = headers.get(_TRACEPARENT)
        if self.parent is not None and len(headers.getall(_TRACEPARENT)) > 1:
            self.parent = None  # Trace Context §3.2: of several nobody knows which is meant
        self.upgrade = _upgrade(headers.get("Upgrade", "")) if message.upgrade and self.modern else ""
        self.start = self.fields = b""
        self.room = 0

    def line(self) -> bytes:
        """The request line as it must have been sent: one space between its parts (RFC 9112 §3)."""
        message = self.message
        if self.modern:
            line = f"{message.method} {message.path} HTTP/1.1\r\n"
        else:
            line = f"{message.method} {message.path} HTTP/{message.version.major}.{message.version.minor}\r\n"
        return line.encode("utf-8", "surrogateescape")

    def remember(self, fields: bytes, room: int) -> Head | None:
        """Keep what followed the line of a request without a body, up to its end, to know the next one by.

        None if it may not be known by that: only what the parser found in order, keeps the connection and asks for
        nothing special is. ``room`` is the longest target that may be taken.
        """
        start = _REPEATED.get(self.message.method)
        if start is None or self.objection is not None or self.closes or not self.modern:
            return None
        self.start, self.fields, self.room = start, fields, room
        return self

    def target(self, data: bytes) -> str | None:
        """The target of a request that is this one, byte for byte, but for its target; None if it is not.

        The target is of characters that need no second look (RFC 3986 §3.3, §3.4), which the parser takes too.
        """
        start, fields = self.start, self.fields
        if not data.endswith(fields) or not data.startswith(start):
            return None
        line = data[len(start) : -len(fields)]
        if not line.endswith(_VERSION) or line[:1] != b"/" or line[1:2] == b"/":
            return None
        target = line[: -len(_VERSION)]
        if target.translate(None, _TARGET) or len(target) > self.room:
            return None
        return target.decode("ascii")


def request_of(
    connection: ClientConnection, head: Head, target: str, body: Body
) -> tuple[Request, GatewayError | None]:
    """The request, and why it may not go on."""
    edge, message, peer, host = connection.edge, head.message, connection.peer, head.host
    objection = head.objection
    path, query = "-", ""
    if objection is None:
        try:
            if target[0] != "/":
                target, host = _absolute(message.method, target, host)
            path, _, query = target.partition("?")
            if "#" in target:
                raise BadRequest(reason="a fragment in the request target")
        except GatewayError as error:
            objection, path, query = error, "-", ""
    request = Request(
        message.method,
        path,
        query=query,
        fields=message.raw_headers,
        view=message.headers,
        body=body,
        host=host,
        scheme=peer.scheme,
        client_ip=peer.address,
        received=monotonic(),
    )
    request.peer = peer
    request.id = head.id or request_id()
    parent = head.parent
    request.trace = (continue_trace(parent) if parent else None) or make_trace()
    if peer.trusted:
        believe(edge, request, message.headers)
    if head.modern:
        request.inform = connection.interim
        request.upgrade = head.upgrade  # RFC 9110 §7.8: not in HTTP/1.0
    else:
        request.version = 10
    return request, objection


def _absolute(method: str, target: str, host: str) -> tuple[str, str]:
    """Absolute form: its authority replaces Host (RFC 9112 §3.2.2). ``*`` is for OPTIONS only (§3.2.4)."""
    if target == "*" and method == "OPTIONS":
        return "/*", host
    if method == "CONNECT":
        return "/", host
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise BadRequest(reason="a request target in no form that is served here")
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    authority, path = rest[:end], rest[end:]
    return path if path[:1] == "/" else "/" + path, _checked_host(authority, HttpVersion11)


def _checked_host(host: str, version: Any) -> str:
    if not host and version == (1, 0):
        return host
    found = _HOST.fullmatch(host)
    if found is None or int(found["port"] or 0) > 65535 or (found["six"] and not _is_ipv6(found["six"])):
        raise BadRequest(reason="an invalid Host")
    return host


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _unusual(edge: Edge, message: Any) -> None:
    if message.version not in ((1, 1), (1, 0)):
        raise VersionNotSupported
    if message.method == "CONNECT" or (message.method == "TRACE" and not edge.limits.trace):
        raise UpgradeRefused(reason=message.method)
    if message.chunked and message.version == (1, 0):
        raise MalformedMessage(reason="Transfer-Encoding in HTTP/1.0")  # RFC 9112 §6.1


def _upgrade(protocol: str) -> str:
    """The protocol to switch to, if it may be: HTTP/2 in clear would tunnel requests past every policy."""
    wanted = protocol.strip().lower()
    if not _PROTOCOL.fullmatch(wanted) or wanted.startswith(("h2c", "http/", "tls/")):
        return ""
    return wanted


def refusal(error: HttpProcessingError, line_limit: int) -> GatewayError:
    """What a parser error means. Nothing of its text, which quotes the client, gets into an answer."""
    if isinstance(error, LineTooLong):
        if str(line_limit) in str(error.message).partition("bytes")[0]:
            return _closing(UriTooLong(reason="request line too long"))
        return HeadTooLarge(reason="a header field too long")
    text = str(error.message)
    if text.startswith("Too many headers"):
        return HeadTooLarge(reason="too many header fields")
    if "Invalid HTTP version" in text or text.startswith("Pause on PRI"):
        return VersionNotSupported()
    return MalformedMessage(reason=text.splitlines()[0][:200] if text else type(error).__name__)


def before_the_error(connection: Receiver, data: bytes) -> list[Any]:
    """The whole requests in front of one that was refused, when all of them came together.

    aiohttp's parser forgets them. They are read again by a fresh one, head by head; ``data`` began at a request.
    """
    parser = connection.fresh_parser()
    found: list[Any] = []
    at = 0
    try:
        while end := data.find(b"\r\n\r\n", at) + 4:
            if end < 4:
                break
            messages, _, _ = parser.feed_data(data[at:end])
            found += messages
            at = end
    except HttpProcessingError:
        pass
    # A request whose body was not whole is the refused one, or is lost with it.
    return [each for each in found if each[1].is_eof()]


def spaced(message: Any, line: bytes, data: bytes) -> bool:
    """Whether a request's line stands in ``data``, but with more than a space between its parts (RFC 9112 §3)."""
    if line in data:
        return False
    target = message.path.encode("utf-8", "surrogateescape")
    return re.search(b"%b +%b +HTTP/" % (message.method.encode(), re.escape(target)), data) is not None


def too_large(messages: Sequence[Any], limit: int) -> bool:
    """Whether a head among these is longer than ``limit`` bytes."""
    return any(
        len(message.path) + sum(len(name) + len(value) + 4 for name, value in message.raw_headers) > limit
        for message, _ in messages
    )


def behind(messages: Sequence[Any], data: bytes) -> bytes:
    """What follows the head of a request that asks for another protocol; ``data`` holds the end of its head."""
    if len(messages) != 1 or messages[0][1] is not EMPTY_PAYLOAD:
        return b""  # it cannot be told; what was dropped was not to be sent before the answer (RFC 9110 §7.8)
    return data.partition(b"\r\n\r\n")[2]


class _UriOverran(UriTooLong):
    closes = True


def _closing(error: UriTooLong) -> UriTooLong:
    return _UriOverran(reason=error.reason)


def address_of(name: Any) -> str:
    """The address in a socket's name, empty for a unix socket. IPv4 that came through IPv6 is IPv4."""
    if not isinstance(name, tuple) or len(name) < 2:
        return ""
    address = str(name[0])
    return address[7:] if address.startswith("::ffff:") and "." in address else address


def peer_of(transport: asyncio.BaseTransport, edge: Edge) -> Peer:
    """What the socket says of a connection."""
    name = transport.get_extra_info("peername")
    address = address_of(name)
    tls = transport.get_extra_info("ssl_object")
    certificate = (transport.get_extra_info("peercert") or None) if tls is not None else None
    return Peer(
        address,
        int(name[1]) if address else 0,
        scheme="https" if tls is not None else "http",
        trusted=edge.is_trusted(address),
        certificate=certificate,
        chain=verified_chain(tls) if certificate is not None else (),
    )
