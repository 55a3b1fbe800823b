"""The request's head as it goes to a target: one pass over the client's fields, one join.

What is about the client's connection only is dropped (RFC 9110 §7.6.1); Host, framing, forwarding fields, ``Via``
(§7.6.3), request id and trace context are the gateway's to write.
"""

from __future__ import annotations

from typing import Final

from gateway.errors import InternalError
from gateway.http import Request
from gateway.http.fields import KINDS, Kind, named_by_connection
from gateway.http.peer import NOWHERE, Peer

VIA: Final = b"1.1 sidegate"

_CONNECTION: Final = int(Kind.CONNECTION)
_FORWARDED_FOR: Final = int(Kind.FORWARDED_FOR)
_FORWARDED_OTHER: Final = int(Kind.FORWARDED_OTHER)
_FORWARDED: Final = int(Kind.FORWARDED)
_VIA: Final = int(Kind.VIA)
_TRACESTATE: Final = int(Kind.TRACESTATE)
_TRAILER: Final = int(Kind.TRAILER)
_DATE: Final = int(Kind.DATE)
_SERVER: Final = int(Kind.SERVER)
_PASSED: Final = frozenset({_TRAILER, _DATE, _SERVER, _TRACESTATE})

BODIED: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose empty body is announced with ``Content-Length: 0`` (RFC 9110 §8.6)."""


def encode_head(request: Request, target: str, host: bytes) -> bytes:
    """The head of ``request`` for a target, up to and including the empty line.

    ``target`` is path and query in wire form; ``host`` the Host to send, or empty to keep the client's. Raises
    InternalError if a plugin made a part of it that cannot be sent.
    """
    peer: Peer = request.peer or NOWHERE
    asked = request.host
    line = f"{request.method} {target} HTTP/1.1\r\nHost: "
    out = [line.encode("utf-8", "surrogateescape") + (host or asked.encode("utf-8", "surrogateescape"))]
    if out[0].count(b"\n") != 1 or out[0].count(b" ") != 3:
        raise InternalError(reason="a rewritten request target cannot be sent")
    via = VIA
    named: frozenset[bytes] = frozenset()
    forwarded: list[tuple[int, bytes, bytes]] | None = None
    kinds = KINDS
    for name, value in request.fields:
        kind = kinds[name]
        if kind == 0:
            out.append(name + b": " + value)
        elif kind == _CONNECTION:
            if value != b"keep-alive" and value != b"close":  # noqa: PLR1714 - two compares beat a set look-up here
                named |= named_by_connection(value)
        elif kind == _VIA:
            via = value + b", " + via
        elif kind in _PASSED:
            if kind != _TRACESTATE or request.trace is not None:
                out.append(name + b": " + value)
        elif peer.trusted and (kind in (_FORWARDED_FOR, _FORWARDED_OTHER, _FORWARDED)):
            forwarded = forwarded or []
            forwarded.append((kind, name, value))
    if named:
        out[1:] = [each for each in out[1:] if each.partition(b":")[0].lower() not in named]
    out.append(peer.lines(asked) if forwarded is None else _continued(peer, asked, forwarded))
    out.append(b"Via: " + via)
    if request.id:
        out.append(b"X-Request-Id: " + request.id.encode())
    if request.trace is not None:
        out.append(b"traceparent: " + request.trace)
    _frame(request, out)
    return b"\r\n".join(out)


def _frame(request: Request, out: list[bytes]) -> None:
    body = request.body
    if request.upgrade:
        out.append(b"Connection: Upgrade\r\nUpgrade: " + request.upgrade.encode("ascii", "replace"))
    length = body.length
    if length is None:
        out.append(b"Transfer-Encoding: chunked\r\n\r\n")
    elif length or request.method in BODIED:
        out.append(b"Content-Length: %d\r\n\r\n" % length)
    else:
        out.append(b"\r\n")


def _continued(peer: Peer, host: str, given: list[tuple[int, bytes, bytes]]) -> bytes:
    """The forwarding lines behind a trusted proxy: its own are kept and this hop is added."""
    address = (peer.address or "unknown").encode()
    chain = b", ".join([value for kind, _, value in given if kind == _FORWARDED_FOR] + [address])
    lines = [b"X-Forwarded-For: " + chain]
    kept = {name.lower() for kind, name, _ in given if kind == _FORWARDED_OTHER}
    lines += [name + b": " + value for kind, name, value in given if kind == _FORWARDED_OTHER]
    if b"x-forwarded-proto" not in kept:
        lines.append(b"X-Forwarded-Proto: " + peer.scheme.encode())
    if b"x-forwarded-host" not in kept:
        lines.append(b"X-Forwarded-Host: " + host.encode("utf-8", "surrogateescape"))
    elements = [value for kind, _, value in given if kind == _FORWARDED]
    if elements:
        lines.append(b"Forwarded: " + b", ".join([*elements, peer.element(host)]))
    return b"\r\n".join(lines)
