"""What the claims of a genuine token must say (RFC 7519 §4.1, RFC 8725 §3), and who that makes the caller."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any, Final

from gateway.http import Principal
from plugins.jwt.settings import Issuer, PrincipalClaims
from plugins.jwt.token import Token

MOST_ENTRIES: Final = 1000
"""Roles or scopes of one caller."""
LONGEST_ID: Final = 512


class Unacceptable(Exception):
    """The token is genuine and still not good here. ``expired`` is the only thing its sender is told."""

    def __init__(self, reason: str, *, expired: bool = False) -> None:
        super().__init__(reason)
        self.expired = expired


def check(token: Token, rules: Issuer, now: float) -> float:
    """Until when the token holds, in seconds since 1970, leeway included. Raises Unacceptable."""
    claims = token.claims
    if token.typ not in {each.lower() for each in rules.typ}:
        raise Unacceptable("typ is not one that is taken")
    until = _time(claims, "exp")
    if until is None:
        raise Unacceptable("no exp")
    if now >= until + rules.leeway:
        raise Unacceptable("expired", expired=True)
    issued = _time(claims, "iat")
    if issued is not None and issued > now + rules.leeway:
        raise Unacceptable("iat lies in the future")
    begins = _time(claims, "nbf")
    if begins is not None and begins > now + rules.leeway:
        raise Unacceptable("not valid yet (nbf)")
    # Without iat the sender of a stolen key could claim any; from now on is what is left of the lifetime.
    if rules.max_lifetime is not None and until - (now if issued is None else issued) > rules.max_lifetime:
        raise Unacceptable("lives longer than max_lifetime")
    if rules.audience and not _fits(claims.get("aud"), rules.audience):
        raise Unacceptable("aud names somebody else, or nobody")
    for path, wanted in rules.match.items():
        if not _fits(find(claims, path), wanted):
            raise Unacceptable(f"claim {path} does not match")
    return until + rules.leeway


def find(claims: dict[str, Any], path: str) -> Any:
    """A claim by its whole name, else by its path with dots; None if it is not there."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for step in path.split("."):
        if not isinstance(found, dict) or step not in found:
            return None
        found = found[step]
    return found


def principal_of(claims: dict[str, Any], paths: PrincipalClaims) -> Principal:
    """The caller. Raises Unacceptable if the token does not say who."""
    who = _text(claims, paths.id)
    if who is None or len(who) > LONGEST_ID:
        raise Unacceptable("does not say who the caller is")
    return Principal(
        paths.prefix + who,
        tenant=_text(claims, paths.tenant),
        roles=_set(claims, paths.roles),
        scopes=_set(claims, paths.scopes),
        rate_class=_text(claims, paths.rate_class),
        claims=MappingProxyType(claims),
        expires=_time(claims, "exp"),
    )


def header_value(claims: dict[str, Any], paths: tuple[str, ...]) -> str | None:
    """A claim as a header field's value; None where it is absent or cannot be written as one (RFC 9110 §5.5)."""
    found = _first(claims, paths)
    if isinstance(found, bool):
        text = "true" if found else "false"
    elif isinstance(found, str | int | float):
        text = str(found)
    elif isinstance(found, list) and all(isinstance(each, str) and "," not in each for each in found):
        text = ",".join(found)
    else:
        return None
    return text if text.isprintable() else None


def _time(claims: dict[str, Any], name: str) -> float | None:
    """A NumericDate. Raises Unacceptable for what is none."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unacceptable(f"{name} is not a number")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not 0 <= seconds < 1e11:
        raise Unacceptable(f"{name} is not a time")
    return seconds


def _fits(found: Any, wanted: tuple[Any, ...]) -> bool:
    values = found if isinstance(found, list) else [found]
    # 1 == True in Python, and neither is the other in JSON.
    return any(type(value) is type(each) and value == each for value in values[:MOST_ENTRIES] for each in wanted)


def _first(claims: dict[str, Any], paths: tuple[str, ...]) -> Any:
    for path in paths:
        found = find(claims, path)
        if found is not None:
            return found
    return None


def _text(claims: dict[str, Any], paths: tuple[str, ...]) -> str | None:
    found = _first(claims, paths)
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    return found if isinstance(found, str) and found and found.isprintable() else None


def _set(claims: dict[str, Any], paths: tuple[str, ...]) -> frozenset[str]:
    found = _first(claims, paths)
    if isinstance(found, str):
        found = found.split()
    if not isinstance(found, list):
        return frozenset()
    return frozenset(each for each in found[:MOST_ENTRIES] if isinstance(each, str))
