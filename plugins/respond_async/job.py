"""A call that is answered before it is done: by what its client knows it again, and what is kept of its end."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final

import msgspec

from gateway.http import Response
from gateway.http.fields import KINDS, Kind

VERSION: Final = 1
_TICKET: Final = re.compile(r"([0-9A-Za-z:._-]{1,128})\.([A-Za-z0-9_-]{32})")
_SECRET: Final = 24
"""Bytes."""
_SET_HERE: Final = frozenset({b"cache-control", b"referrer-policy"})
_LEFT_OUT: Final = frozenset(
    int(kind)
    for kind in (
        Kind.HOP,
        Kind.CONNECTION,
        Kind.CONTENT_LENGTH,
        Kind.TRANSFER_ENCODING,
        Kind.UPGRADE,
        Kind.TRAILER,
        Kind.REQUEST_ID,
    )
)


class Ticket(msgspec.Struct, frozen=True):
    """Names a call and proves that one may ask for it. Only digests of the secrets are kept."""

    item: str
    """Its id in the queue."""
    secret: str

    def __str__(self) -> str:
        return f"{self.item}.{self.secret}"


def new_secret() -> str:
    """192 random bits, as they can stand in a URL."""
    return secrets.token_urlsafe(_SECRET)


def progress_secret(secret: str) -> str:
    """What the target gets: enough to report how far it is, not to fetch the result."""
    return hashlib.blake2b(secret.encode(), digest_size=16, person=b"progress").hexdigest()


def digest(secret: str) -> str:
    """What is kept in a secret's place; a secret of so many bits needs no salt."""
    return hashlib.blake2b(secret.encode(), digest_size=16, person=b"job").hexdigest()


def matches(secret: str, kept: str) -> bool:
    """Whether this is the secret whose digest was kept; takes as long whatever is wrong."""
    return hmac.compare_digest(digest(secret), kept)


def read_ticket(text: str) -> Ticket | None:
    """What a client gives; None if it is none."""
    found = _TICKET.fullmatch(text)
    return Ticket(found[1], found[2]) if found is not None else None


class Result(msgspec.Struct, array_like=True):
    """The answer to a call, as it is kept."""

    version: int
    owner: str
    """Digest of the secret of who may fetch it."""
    status: int
    reason: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes
    finished: float
    """Seconds since the epoch."""
    replays: int = 0
    """How often the call had been replayed by hand when this came of it."""

    def pack(self) -> bytes:
        """As `unpack_result` reads it."""
        return _encode(self)

    def response(self) -> Response:
        """The answer again."""
        fields = [(name, value) for name, value in self.fields if name.lower() not in _SET_HERE]
        headers = [(name.decode("latin-1"), value.decode("utf-8", "surrogateescape")) for name, value in fields]
        # It is one client's, whatever it was to be: its URL is a secret, which a page must not hand on.
        headers += [("Cache-Control", "private, no-store"), ("Referrer-Policy", "no-referrer")]
        return Response(self.status, headers=headers, body=self.body, reason=self.reason)


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Result).decode


def result_of(response: Response, body: bytes, owner: str, finished: float, replays: int = 0) -> Result:
    """What is kept of an answer, without what is about the connection it came on."""
    fields = [(name, value) for name, value in response.fields if KINDS[name] not in _LEFT_OUT]
    return Result(VERSION, owner, response.status, response.reason, fields, body, finished, replays)


def unpack_result(value: bytes) -> Result | None:
    """What `Result.pack` made; None if it is not, or of a newer gateway."""
    try:
        result = _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return result if result.version <= VERSION else None
