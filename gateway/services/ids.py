"""Identifiers: request ids (UUIDv7) and W3C trace context."""

from __future__ import annotations

import random
import re
import time
from typing import Final

_random: Final = random.Random()  # noqa: S311 - ids must be unique, not secret; seeded from the system's entropy
_bits: Final = _random.getrandbits
_nanoseconds: Final = time.time_ns

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}")
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE: Final = "0" * 32
_NO_PARENT: Final = "0" * 16


_last = 0


def request_id() -> str:
    """A UUIDv7 (RFC 9562 §5.7): 48 bits of milliseconds, 74 of chance; each greater than the last (§6.2, method 2).

    When the clock stands still or goes back the last one is increased by chance, so that the order holds.
    """
    global _last  # noqa: PLW0603 - one order for the whole process
    value = (_nanoseconds() // 1_000_000) << 74 | _bits(74)
    if value <= _last:
        value = _last + 1 + _bits(32)
    _last = value
    text = f"{value >> 74:012x}7{value >> 62 & 0xFFF:03x}{0x8000000000000000 | (value & 0x3FFFFFFFFFFFFFFF):016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def accepted_request_id(given: str) -> str:
    """A client's own id if it can stand in logs and headers as it is, else nothing."""
    return given if _REQUEST_ID.fullmatch(given) else ""


def make_trace() -> bytes:
    """A ``traceparent`` that begins a trace (Trace Context §3.2): not sampled, its id made by chance (flag 2)."""
    return b"00-%032x-%016x-02" % (_bits(128) | 1, _bits(64) | 1)


def continue_trace(parent: str) -> bytes | None:
    """The ``traceparent`` for the next hop: the same trace, a new parent id; None if the given one is not valid.

    A higher version is read as version 00 (§3.2.4), ``ff`` and ids of zeros are not valid (§3.2.2).
    """
    found = _TRACEPARENT.fullmatch(parent)
    if found is None:
        return None
    version, trace, span, flags, rest = found.groups()
    if version == "ff" or trace == _NO_TRACE or span == _NO_PARENT or (version == "00" and rest):
        return None
    kept = int(flags, 16) & 0x03
    return b"00-%b-%016x-%02x" % (trace.encode(), _bits(64) | 1, kept)
