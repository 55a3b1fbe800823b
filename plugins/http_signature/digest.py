"""Digest fields (RFC 9530): made, verified, and dropped where the bytes are no longer those they speak of."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any, Final, Literal

import http_sf
from multidict import CIMultiDict

DigestName = Literal["sha-256", "sha-512"]
_HASHES: Final = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
"""Those that are fit for adversarial settings (§7.2 table); all others are ignored, as if they were not there."""


def make_digest(data: bytes, algorithm: str = "sha-256") -> str:
    """A field value."""
    return f"{algorithm}=:{base64.b64encode(_HASHES[algorithm](data).digest()).decode()}:"


def matches(value: str, data: bytes) -> bool | None:
    """Whether every digest that is known here is that of ``data``; None if there is none, or it cannot be read."""
    try:
        parsed: Any = http_sf.parse(value.encode("ascii"), tltype="dictionary")
    except (ValueError, http_sf.StructuredFieldError):
        return None
    known = [(name, item[0]) for name, item in parsed.items() if name in _HASHES]
    if not known or not all(isinstance(digest, bytes) for _, digest in known):
        return None
    return all(hmac.compare_digest(_HASHES[name](data).digest(), digest) for name, digest in known)


def drop_stale(headers: CIMultiDict[str], data: bytes, *, whole: bool) -> None:
    """Take out digests of other bytes; `Repr-Digest` only where these are the whole representation."""
    for name in ("Content-Digest", "Repr-Digest") if whole else ("Content-Digest",):
        lines = headers.getall(name, ())
        if lines and matches(", ".join(lines), data) is False:
            headers.popall(name)
