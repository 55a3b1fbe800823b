"""Tokens of the provider: what an ID token and a logout token must say before anything is believed."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

from gateway.plugin.claims import values_of
from gateway.plugin.identity import Unacceptable, moment
from gateway.services.jose.source import IssuerKeys, Unverified
from gateway.services.jose.token import Malformed, Token, parse

EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
LARGEST: Final = 64 * 1024
STALE: Final = 300.0
"""Seconds after which a logout token that does not say when it ends is too old."""
_HASHES: Final = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


class Tokens:
    """Judges tokens of one provider for one client."""

    def __init__(self, keys: IssuerKeys, client: str, leeway: float) -> None:
        self._keys = keys
        self._client = client
        self._leeway = leeway

    async def id_token(self, text: str, now: float, *, nonce: str | None, access: str = "") -> Mapping[str, Any]:
        """Claims of an ID token (OpenID Connect Core 1.0 §3.1.3.7). ``nonce`` None: it need not have one (§12.2).

        Raises Unacceptable, KeysUnavailable.
        """
        token = await self._genuine(text)
        claims = token.claims
        if token.typ != "jwt":
            raise Unacceptable("typ is not an ID token's")
        self._for_us(claims)
        expires, issued = moment(claims, "exp"), moment(claims, "iat")
        if expires is None or now >= expires + self._leeway:
            raise Unacceptable("expired", expired=True)
        if issued is None or issued > now + self._leeway:
            raise Unacceptable("iat is missing or lies in the future")
        if not isinstance(claims.get("sub"), str) or not claims["sub"]:
            raise Unacceptable("no sub")
        given = claims.get("nonce")
        if nonce is not None and not (isinstance(given, str) and _equal(given, nonce)):
            raise Unacceptable("the nonce is not the one of this login")
        if "at_hash" in claims and access and not _is_hash(claims["at_hash"], access, token.algorithm):
            raise Unacceptable("at_hash is of another access token")
        return claims

    async def logout_token(self, text: str, now: float) -> Mapping[str, Any]:
        """Claims of a logout token (OpenID Connect Back-Channel Logout 1.0 §2.6).

        Raises Unacceptable, KeysUnavailable.
        """
        token = await self._genuine(text)
        claims = token.claims
        if token.typ not in ("logout+jwt", "jwt"):
            raise Unacceptable("typ is not a logout token's")
        self._for_us(claims)
        expires, issued = moment(claims, "exp"), moment(claims, "iat")
        if issued is None or issued > now + self._leeway:
            raise Unacceptable("iat is missing or lies in the future")
        if now >= (issued + STALE if expires is None else expires) + self._leeway:
            raise Unacceptable("expired", expired=True)
        events = claims.get("events")
        if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
            raise Unacceptable("not of a logout")
        if "nonce" in claims:
            raise Unacceptable("a nonce, which only ID tokens have")
        if not any(isinstance(claims.get(name), str) and claims[name] for name in ("sub", "sid")):
            raise Unacceptable("neither sub nor sid")
        return claims

    async def _genuine(self, text: str) -> Token:
        if len(text) > LARGEST:
            raise Unacceptable("too long")
        try:
            token = parse(text)
            if token.claims.get("iss") != self._keys.issuer:
                raise Unacceptable("of another issuer")
            await self._keys.verify(token)
        except (Malformed, Unverified) as error:
            raise Unacceptable(str(error)) from None
        return token

    def _for_us(self, claims: Mapping[str, Any]) -> None:
        audience = values_of(claims.get("aud"))
        if self._client not in audience:
            raise Unacceptable("aud is another client")
        party = claims.get("azp")
        if (len(audience) > 1 or party is not None) and party != self._client:
            raise Unacceptable("azp is another client, or missing beside several aud")


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode())


def _is_hash(given: Any, of: str, algorithm: str) -> bool:
    """Whether it is the left half of the digest (OpenID Connect Core 1.0 §3.1.3.6)."""
    make = hashlib.sha512 if algorithm == "EdDSA" else _HASHES.get(algorithm[-3:])
    if make is None or not isinstance(given, str):
        return False
    digest = make(of.encode("utf-8", "surrogatepass")).digest()
    half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
    return _equal(given, half)
