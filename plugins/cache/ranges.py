"""Parts of a stored whole body (RFC 9110 §14): one range, or several in ``multipart/byteranges``."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from multidict import MultiMapping

from plugins.cache.condition import is_strong
from plugins.cache.dates import parse_date

MOST: Final = 16
"""Ranges of one request that are answered as such; more are an attack or a mistake, and get the whole."""


def applies(headers: MultiMapping[str], etag: str, modified: float | None, date: float | None) -> bool:
    """Whether ``Range`` is to be heeded: there is no ``If-Range``, or it holds (RFC 9110 §13.1.5)."""
    condition = headers.get("If-Range")
    if condition is None:
        return True
    condition = condition.strip()
    if condition.startswith(('"', "W/")):
        return is_strong(condition) and condition == etag
    since = parse_date(condition)
    # A date is a strong validator only if it is well before the answer's own (RFC 9110 §8.8.2.2).
    return since is not None and modified == since and date is not None and date - since >= 1


def parse_range(text: str, length: int) -> list[tuple[int, int]] | None:
    """The parts asked for, as ``(first, last)``; [] if none can be given (416), None if ``Range`` is to be ignored."""
    unit, equals, rest = text.partition("=")
    if unit.strip().lower() != "bytes" or not equals:
        return None
    items = [item.strip() for item in rest.split(",")]
    if not 1 <= len(items) <= MOST:
        return None
    parts: list[tuple[int, int]] = []
    for item in items:
        first, dash, last = item.partition("-")
        if not dash or not _is_number(first) or not _is_number(last) or not (first or last):
            return None
        if not first:
            count = min(int(last), length)
            if count:
                parts.append((length - count, length - 1))
            continue
        start = int(first)
        end = int(last) if last else length - 1
        if last and end < start:
            return None
        if start < length:
            parts.append((start, min(end, length - 1)))
    if len(parts) > 1 and sum(end - start + 1 for start, end in parts) > length:
        return None  # overlapping: more bytes than there are
    return parts


def _is_number(text: str) -> bool:
    return not text or (text.isascii() and text.isdigit() and len(text) <= 18)


def part(body: bytes, first: int, last: int) -> tuple[bytes, bytes]:
    """The bytes, and the ``Content-Range`` line."""
    return body[first : last + 1], b"Content-Range: bytes %d-%d/%d" % (first, last, len(body))


def multipart(body: bytes, parts: Sequence[tuple[int, int]], media_type: bytes) -> tuple[bytes, bytes]:
    """Several parts as one body, and the ``Content-Type`` line (RFC 9110 §14.6)."""
    boundary = secrets.token_hex(12).encode()
    out = []
    for first, last in parts:
        data, told = part(body, first, last)
        kind = b"Content-Type: " + media_type + b"\r\n" if media_type else b""
        out.append(b"\r\n--" + boundary + b"\r\n" + kind + told + b"\r\n\r\n" + data)
    out.append(b"\r\n--" + boundary + b"--\r\n")
    return b"".join(out)[2:], b"Content-Type: multipart/byteranges; boundary=" + boundary
