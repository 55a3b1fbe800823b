"""The request's head as it goes to a target: one pass over the client's fields, one join.

What is about the client's connection only is dropped (RFC 9110 §7.6.1); Host, framing, forwarding fields, ``Via``
(§7.6.3), request id and trace context are the gateway's to write. Forwarding fields of clients that are no trusted
proxies are gone by now (`gateway.http.screen`, before any plugin): one that is here was set by a plugin, and stands for
the gateway's own.
"""

from __future__ import annotations

from typing import Final

from gateway.errors import InternalError
from gateway.http import Fields, Request
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
_PASSED: Final = frozenset({_TRAILER, _DATE, _TRACESTATE})

BODIED: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose empty body is announced with ``Content-Length: 0`` (RFC 9110 §8.6)."""


def encode_head(request: Request, target: str, host: bytes) -> bytes:
    """The head of ``request`` for a target, up to and including the empty line.

    ``target`` is path and query in wire form; ``host`` the Host to send, or empty to keep the client's. Raises
    InternalError if a plugin made a part of it that cannot be sent.
    """
    peer: Peer = request.peer or NOWHERE
    asked = request.host
    line = f"{request.method} {target} HTTP/1.1"
    if not line.isprintable() or line.count(" ") != 2:
        _check_line(line)
    out = [
        line.encode("utf-8", "surrogateescape"),
        b"Host: " + (host or asked.encode("utf-8", "surrogateescape")),
    ]
    fields = request.fields
    if fields == peer.fields:
        # Requests on one connection mostly repeat their fields, which is what HPACK is built on too.
        via = VIA
        out.append(peer.passing)
        out.append(peer.lines(asked))
    else:
        via = _pass_on(request, fields, peer, out)
    trace = request.trace
    if not request.id:  # what the gateway asks on its own, such as a probe
        out.append(b"Via: " + via)
    elif trace is not None:
        out.append(b"Via: %b\r\nX-Request-Id: %b\r\ntraceparent: %b" % (via, request.id.encode(), trace))
    else:
        out.append(b"Via: %b\r\nX-Request-Id: %b" % (via, request.id.encode()))
    length = request.body.length
    if length != 0 or request.upgrade or request.method in BODIED:
        out.append(_framing(request, length))
    out.append(b"\r\n")
    return b"\r\n".join(out)


def _pass_on(request: Request, fields: Fields, peer: Peer, out: list[bytes]) -> bytes:
    """Add what goes on of the client's fields, and the forwarding lines, to ``out``. The value of ``Via``."""
    via = VIA
    named: frozenset[bytes] = frozenset()
    forwarded: list[tuple[int, bytes, bytes]] | None = None
    plain = True
    kinds = KINDS
    for name, value in fields:
        kind = kinds[name]
        if kind == 0:
            out.append(name + b": " + value)
        elif kind == _CONNECTION:
            named |= named_by_connection(value)
        elif kind == _VIA:
            via = value + b", " + via
        elif kind in _PASSED:
            plain = False
            if kind != _TRACESTATE or _goes_on(request, value):
                out.append(name + b": " + value)
        elif kind in (_FORWARDED_FOR, _FORWARDED_OTHER, _FORWARDED):
            forwarded = forwarded or []
            forwarded.append((kind, name, value))
    if named:
        out[2:] = [each for each in out[2:] if each.partition(b":")[0].lower() not in named]
    elif plain and forwarded is None and via is VIA and peer is not NOWHERE and len(out) > 2:
        peer.fields, peer.passing = fields, b"\r\n".join(out[2:])
    out.append(peer.lines(request.host) if forwarded is None else _continued(peer, request.host, forwarded))
    return via


def _goes_on(request: Request, state: bytes) -> bool:
    """Whether ``tracestate`` is passed on: with the trace it came with, up to 32 members (Trace Context §3.3)."""
    trace = request.trace
    if trace is None or state.count(b",") > 31:
        return False
    given = request.headers.getall("traceparent", ())
    return len(given) == 1 and given[0][3:35].encode("utf-8", "surrogateescape") == trace[3:35]


def _check_line(line: str) -> None:
    """Bytes that are not UTF-8 may pass, as they came; a space or control character would make another request."""
    if line.count(" ") != 2 or any(char < " " or char == "\x7f" for char in line):
        raise InternalError(reason="a rewritten request target cannot be sent")


def _framing(request: Request, length: int | None) -> bytes:
    framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    if not request.upgrade:
        return framing
    upgrade = b"Connection: Upgrade\r\nUpgrade: " + request.upgrade.encode("ascii", "replace")
    return upgrade if length == 0 else upgrade + b"\r\n" + framing


def _continued(peer: Peer, host: str, given: list[tuple[int, bytes, bytes]]) -> bytes:
    """The forwarding lines where some are given: a trusted proxy's are kept and this hop is added, a plugin's stay."""
    chain = [value for kind, _, value in given if kind == _FORWARDED_FOR]
    if peer.trusted or not chain:
        chain.append((peer.address or "unknown").encode())
    lines = [b"X-Forwarded-For: " + b", ".join(chain)]
    kept = {name.lower() for kind, name, _ in given if kind == _FORWARDED_OTHER}
    lines += [name + b": " + value for kind, name, value in given if kind == _FORWARDED_OTHER]
    if b"x-forwarded-proto" not in kept:
        lines.append(b"X-Forwarded-Proto: " + peer.scheme.encode())
    if b"x-forwarded-host" not in kept:
        lines.append(b"X-Forwarded-Host: " + host.encode("utf-8", "surrogateescape"))
    elements = [value for kind, _, value in given if kind == _FORWARDED]
    if elements:
        if peer.trusted:
            elements.append(peer.element(host))
        lines.append(b"Forwarded: " + b", ".join(elements))
    return b"\r\n".join(lines)
