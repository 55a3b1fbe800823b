"""Answers made of stored ones (RFC 9111 §4): whole, 304, parts, head only; with ``Age`` and ``Cache-Status``."""

from __future__ import annotations

from typing import Final

from gateway.http import Body, Request, Response
from plugins.cache.asked import CONDITION, RANGE
from plugins.cache.condition import unmodified
from plugins.cache.entry import Entry, without
from plugins.cache.ranges import applies, multipart, parse_range, part

_OF_THE_BODY: Final = frozenset(
    {b"content-type", b"content-encoding", b"content-language", b"content-range", b"content-md5", b"content-digest"}
)
"""What a 304 has no need of (RFC 9110 §15.4.5)."""
_LENGTH: Final = frozenset({b"content-length"})
_TYPE: Final = frozenset({b"content-type"})


def hit(entry: Entry, now: float, *, told: bool = True) -> Response:
    """A stored answer as it is; its head is made once a second."""
    second = int(now - entry.born)
    if second != entry.second:
        entry.second = second
        lines = [*entry.lines, b"Age: %d" % max(second, 0)]
        if told:
            lines.append(b"Cache-Status: sidegate; hit; ttl=%d" % int(entry.fresh_until - now))
        entry.head = lines
    response = Response(entry.status, lines=entry.head, body=Body(entry.body), reason=entry.reason)
    response.dated = True
    return response


def stored(entry: Entry, request: Request, bits: int, now: float, status: bytes, *, fetched: bool = False) -> Response:
    """A stored answer as this request wants it: conditions, ranges and HEAD looked at.

    ``status`` is the member of ``Cache-Status``, or nothing. ``fetched``: the answer has just come from the target,
    which ``Age: 0`` would deny (RFC 9111 §5.1).
    """
    age = max(int(now - entry.born), 0)
    lines = [*entry.lines, b"Age: %d" % age] if age or not fetched else [*entry.lines]
    if status:
        lines.append(b"Cache-Status: " + status)
    return shaped(entry, request, bits, lines)


def shaped(entry: Entry, request: Request, bits: int, lines: list[bytes]) -> Response:
    """An answer whose body is here, with these fields, for this request."""
    code, body, reason = entry.status, entry.body, entry.reason
    if code == 200:
        if bits & CONDITION and unmodified(request.headers, entry.etag, entry.modified, entry.date or entry.arrived):
            return _made(304, without(lines, _OF_THE_BODY), b"", b"")
        if bits & RANGE and request.method == "GET":
            code, lines, body, reason = _ranged(entry, request, lines)
    if request.method == "HEAD" and code not in (204, 304):
        return _made(code, [*without(lines, _LENGTH), b"Content-Length: %d" % len(body)], b"", reason)
    return _made(code, lines, body, reason)


def _made(status: int, lines: list[bytes], body: bytes, reason: bytes) -> Response:
    response = Response(status, lines=lines, body=Body(body), reason=reason)
    response.dated = True
    return response


def _ranged(entry: Entry, request: Request, lines: list[bytes]) -> tuple[int, list[bytes], bytes, bytes]:
    headers, body = request.headers, entry.body
    whole = (200, lines, body, entry.reason)
    if not applies(headers, entry.etag, entry.modified, entry.date):
        return whole
    parts = parse_range(headers.get("Range", ""), len(body))
    if parts is None:
        return whole
    if not parts:
        return 416, [*without(lines, _OF_THE_BODY), b"Content-Range: bytes */%d" % len(body)], b"", b""
    if len(parts) == 1:
        data, told = part(body, *parts[0])
        return 206, [*lines, told], data, b""
    media = next((line.partition(b":")[2].strip() for line in lines if line.lower().startswith(b"content-type:")), b"")
    data, told = multipart(body, parts, media)
    return 206, [*without(lines, _TYPE), told], data, b""


def own_taken_out(lines: list[bytes], names: frozenset[str]) -> list[bytes]:
    """The lines without the fields that only we are told; nearly always they are not there."""
    for name in names:
        size = len(name) + 1
        own = name.encode() + b":"
        if any(line[:size].lower() == own for line in lines):
            lines = [line for line in lines if line[:size].lower() != own]
    return lines
