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


class _Order:
    """What request ids of one millisecond share, and how many of it there were."""

    milliseconds = 0
    prefix = ""
    count = 0


_order = _Order()


def request_id() -> str:
    """A UUIDv7 (RFC 9562 §5.7); each is greater than the last of this process (§6.2, method 1).

    48 bits of milliseconds, 42 of chance that are drawn once a millisecond, and a counter of 31 bits that begins by
    chance: formatting the rest once a millisecond is what makes it cheap.
    """
    order = _order
    milliseconds = _nanoseconds() // 1_000_000
    if milliseconds > order.milliseconds or order.count >= 0xFFFFFFFF:
        milliseconds = max(milliseconds, order.milliseconds + 1)
        order.milliseconds = milliseconds
        time, chance = f"{milliseconds:012x}", _bits(42)
        order.prefix = (
            f"{time[:8]}-{time[8:]}-7{chance >> 30:03x}-{0x8000 | (chance >> 16) & 0x3FFF:04x}-{chance & 0xFFFF:04x}"
        )
        order.count = _bits(31)
    order.count += 1
    return f"{order.prefix}{order.count:08x}"


def accepted_request_id(given: str) -> str:
    """A client's own id if it can stand in logs and headers as it is, else nothing."""
    return given if _REQUEST_ID.fullmatch(given) else ""


def make_trace() -> bytes:
    """A ``traceparent`` that begins a trace (Trace Context §3.2): not sampled, its id made by chance (flag 2)."""
    # One draw and one conversion; that 128 or 64 bits of chance are all zero is not worth a look.
    digits = _bits(192).to_bytes(24).hex()
    return f"00-{digits[:32]}-{digits[32:]}-02".encode()


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
