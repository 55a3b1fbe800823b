"""A compact JWS (RFC 7515 §7.1) taken apart, strictly: what two readers could read differently is refused.

Nothing here is verified yet. Errors say what is wrong and repeat nothing of the token.
"""

from __future__ import annotations

import binascii
import json
from dataclasses import dataclass
from typing import Any, Final, NoReturn

_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_EMBEDDED: Final = ("jwk", "jku", "x5u", "x5c")
LONGEST_KID: Final = 512


class Malformed(ValueError):
    """It is not a token that can be judged."""


@dataclass(frozen=True, slots=True)
class Token:
    """Header and claims as the sender wrote them."""

    algorithm: str
    kid: str | None
    typ: str
    """Lower case, without ``application/``; ``jwt`` where the header does not say."""
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def parse(text: str) -> Token:
    """Raises Malformed."""
    if not text.isascii():
        raise Malformed("characters that no token has")
    data = text.encode()
    parts = data.split(b".", 5)
    if len(parts) == 5:
        raise Malformed("an encrypted token (JWE)")
    if len(parts) != 3:
        raise Malformed("not three parts")
    header = _object(parts[0], "header")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        raise Malformed("no alg")
    if algorithm.lower() == "none" or not parts[2]:
        raise Malformed("not signed")
    if "crit" in header or "b64" in header:
        raise Malformed("an extension that must be understood (crit)")  # RFC 7515 §4.1.11; none is
    if any(name in header for name in _EMBEDDED):
        raise Malformed("brings its own key")  # RFC 8725 §3.5, §3.10; no honest issuer of ours does
    kid, typ = header.get("kid"), header.get("typ", "JWT")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= LONGEST_KID):
        raise Malformed("a kid that is no name")
    if not isinstance(typ, str):
        raise Malformed("a typ that is no text")
    return Token(
        algorithm,
        kid,
        typ.lower().removeprefix("application/"),
        _object(parts[1], "claims"),
        data[: len(data) - len(parts[2]) - 1],
        _decoded(parts[2], "signature"),
    )


def _decoded(part: bytes, what: str) -> bytes:
    """Base64url without padding (RFC 7515 §2), of which there is one spelling only."""
    padded = part.translate(_TO_STANDARD) + b"=" * (-len(part) % 4)
    try:
        decoded = binascii.a2b_base64(padded, strict_mode=True)
    except binascii.Error:
        raise Malformed(f"{what} that is not base64url") from None
    if binascii.b2a_base64(decoded, newline=False).rstrip(b"=").translate(_TO_URL) != part:
        raise Malformed(f"{what} in another spelling than base64url has")
    return decoded


def _object(part: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(_decoded(part, what).decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except Malformed:
        raise
    except (ValueError, RecursionError):
        raise Malformed(f"{what} that is not JSON") from None
    if not isinstance(found, dict):
        raise Malformed(f"{what} that is no JSON object")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):  # RFC 7519 §4 lets a reader refuse them; readers differ in which one they believe
        raise Malformed("a name that stands twice")
    return found


def _no_constant(_text: str) -> NoReturn:
    raise Malformed("NaN or Infinity, which JSON has not")
