"""What the claims of a genuine token must say (RFC 7519 §4.1, RFC 8725 §3)."""

from __future__ import annotations

from gateway.plugin.identity import Unacceptable, fits, mismatch, moment
from gateway.services.jose.token import Token
from plugins.jwt.settings import Issuer


def check(token: Token, rules: Issuer, now: float) -> float:
    """Until when the token holds, in seconds since 1970, leeway included. Raises Unacceptable."""
    claims = token.claims
    if token.typ not in {each.lower() for each in rules.typ}:
        raise Unacceptable("typ is not one that is taken")
    until = moment(claims, "exp")
    if until is None:
        raise Unacceptable("no exp")
    if now >= until + rules.leeway:
        raise Unacceptable("expired", expired=True)
    issued = moment(claims, "iat")
    if issued is not None and issued > now + rules.leeway:
        raise Unacceptable("iat lies in the future")
    begins = moment(claims, "nbf")
    if begins is not None and begins > now + rules.leeway:
        raise Unacceptable("not valid yet (nbf)")
    # Without iat the sender of a stolen key could claim any; from now on is what is left of the lifetime.
    if rules.max_lifetime is not None and until - (now if issued is None else issued) > rules.max_lifetime:
        raise Unacceptable("lives longer than max_lifetime")
    if rules.audience and not fits(claims.get("aud"), rules.audience):
        raise Unacceptable("aud names somebody else, or nobody")
    if (path := mismatch(claims, rules.match)) is not None:
        raise Unacceptable(f"claim {path} does not match")
    return until + rules.leeway
