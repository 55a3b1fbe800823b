"""Answers of the plainest form, taken apart without the parser: nearly all small ones are.

Such an answer came in one read, from its first byte to its last: HTTP/1.1, a final status that may have a body, fields
of one line each in the usual spelling, one ``Content-Length`` and just as many bytes behind the head. Whatever is not
so in any respect is left to llhttp, whole and from its first byte. What is taken here is a strict subset of what llhttp
takes, and means the same (a test compares them); it costs a third, because a service repeats most of its lines and each
is looked at once.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.http import Body, Response
from gateway.http.fields import KINDS, Kind

_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([!-~\x80-\xff](?:[ -~\x80-\xff]*[!-~\x80-\xff])?)")
"""A field (RFC 9112 §5) with one space before its value, no tab in it and no white space behind it."""
_STATUS: Final = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) ([ -~\x80-\xff]*)")
_LENGTH: Final = int(Kind.CONTENT_LENGTH)
_CONNECTION: Final = int(Kind.CONNECTION)
_DATE: Final = int(Kind.DATE)
_HOP: Final = int(Kind.HOP)
_REQUEST_ID: Final = int(Kind.REQUEST_ID)
_NOT_PLAIN: Final = -1
_ODD: Final = frozenset({int(Kind.TRANSFER_ENCODING), int(Kind.UPGRADE)})
_LENGTH_AT: Final = len(b"Content-Length: ")
_DIGITS: Final = 12
"""Of a ``Content-Length`` that is compared with the size of a buffer."""
_REMEMBERED: Final = 4096
_LONGEST: Final = 128
"""Bytes of a line that is remembered: what is longer is seldom said twice, and may be a secret."""


class Lines(dict[bytes, int]):
    """A field as it stands in a head → its `Kind`, or `_NOT_PLAIN`."""

    def __missing__(self, line: bytes) -> int:
        kind = self._kind(line)
        if len(line) <= _LONGEST:
            if len(self) >= _REMEMBERED:  # a service of ever new lines must not grow it
                self.clear()
            self[line] = kind
        return kind

    @staticmethod
    def _kind(line: bytes) -> int:
        found = _LINE.fullmatch(line)
        if found is None:
            return _NOT_PLAIN
        name, value = found.groups()
        kind = KINDS[name]
        if kind == _LENGTH:
            return kind if value.isdigit() and len(value) <= _DIGITS else _NOT_PLAIN
        if kind == _CONNECTION:
            return _HOP if value == b"keep-alive" else _NOT_PLAIN
        return _NOT_PLAIN if kind in _ODD else kind


class Statuses(dict[bytes, tuple[int, bytes] | None]):
    """A status line → status and reason; None for what has no body, and for what is not plain."""

    def __missing__(self, line: bytes) -> tuple[int, bytes] | None:
        found = _STATUS.fullmatch(line)
        known = None
        if found is not None and found[1] not in (b"204", b"304"):
            known = (int(found[1]), found[2])
        if len(line) <= _LONGEST:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[line] = known
        return known


_LINES: Final = Lines()
_STATUSES: Final = Statuses()


def plain_answer(held: bytearray, size: int) -> Response | None:
    """The answer that is the first ``size`` bytes held; None if it is not whole or not of the plainest form."""
    end = held.find(b"\r\n\r\n", 0, size)
    if end < 0:
        return None
    lines = bytes(held[:end]).split(b"\r\n")
    first = _STATUSES[lines[0]]
    if first is None:
        return None
    length = -1
    dated = False
    passed: list[bytes] = []
    for line in lines[1:]:
        kind = _LINES[line]
        if kind == 0:
            passed.append(line)
        elif kind == _LENGTH:
            if length >= 0:
                return None
            length = int(line[_LENGTH_AT:])
        elif kind == _NOT_PLAIN:
            return None
        elif kind == _DATE:
            dated = True
            passed.append(line)
        elif kind != _HOP and kind != _REQUEST_ID:  # noqa: PLR1714 - as in `frame`
            passed.append(line)
    body = end + 4
    if body + length != size or length < 0:
        return None
    status, reason = first
    response = Response(status, lines=passed, body=Body(bytes(held[body:size])), reason=reason)
    response.dated = dated
    return response
