"""What each header field means to an intermediary, looked up once per distinct spelling of its name.

RFC 9110 §7.6.1: fields about the connection are consumed here and never forwarded. The rest of the kinds are fields
that the gateway writes itself. Classifying is one dictionary look-up on the raw bytes: senders use few spellings.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Kind(IntEnum):
    """How a field is treated on its way through."""

    PASS = 0
    HOP = 1
    """About one connection only: dropped."""
    CONNECTION = 2
    """Dropped, and so are the fields it names."""
    CONTENT_LENGTH = 3
    TRANSFER_ENCODING = 4
    UPGRADE = 5
    HOST = 6
    FORWARDED_FOR = 7
    """``X-Forwarded-For``."""
    FORWARDED_OTHER = 8
    """``X-Forwarded-Proto`` and ``-Host``."""
    FORWARDED = 9
    """RFC 7239."""
    VIA = 10
    REQUEST_ID = 11
    TRACEPARENT = 12
    TRACESTATE = 13
    EXPECT = 14
    TRAILER = 15
    DATE = 16


_NAMES: Final = {
    b"connection": Kind.CONNECTION,
    b"keep-alive": Kind.HOP,
    b"proxy-connection": Kind.HOP,
    b"te": Kind.HOP,
    b"http2-settings": Kind.HOP,
    b"content-length": Kind.CONTENT_LENGTH,
    b"transfer-encoding": Kind.TRANSFER_ENCODING,
    b"upgrade": Kind.UPGRADE,
    b"host": Kind.HOST,
    b"x-forwarded-for": Kind.FORWARDED_FOR,
    b"x-forwarded-proto": Kind.FORWARDED_OTHER,
    b"x-forwarded-host": Kind.FORWARDED_OTHER,
    b"forwarded": Kind.FORWARDED,
    b"via": Kind.VIA,
    b"x-request-id": Kind.REQUEST_ID,
    b"traceparent": Kind.TRACEPARENT,
    b"tracestate": Kind.TRACESTATE,
    b"expect": Kind.EXPECT,
    b"trailer": Kind.TRAILER,
    b"date": Kind.DATE,
}
_LIMIT: Final = 4096


class Kinds(dict[bytes, int]):
    """Raw name, in any case → `Kind`, as an int: comparing plain ints is what the path of a request does."""

    def __missing__(self, name: bytes) -> int:
        kind = int(_NAMES.get(name.lower(), Kind.PASS))
        if len(self) >= _LIMIT:  # a sender of ever new names must not grow it
            self.clear()
        self[name] = kind
        return kind


KINDS: Final = Kinds()
_PLAIN: Final = frozenset({b"keep-alive", b"Keep-Alive", b"close", b"Close", b"Upgrade", b"upgrade"})
_NONE: Final[frozenset[bytes]] = frozenset()


def named_by_connection(value: bytes) -> frozenset[bytes]:
    """The field names, in lower case, that a ``Connection`` value declares to be about this connection only."""
    if value in _PLAIN:
        return _NONE
    return frozenset(token.strip().lower() for token in value.split(b",")) - {b"", b"close", b"keep-alive", b"upgrade"}
