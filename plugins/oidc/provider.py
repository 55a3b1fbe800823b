"""The provider: where its endpoints are, and our calls there."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeGuard
from urllib.parse import urlencode

from gateway.errors import GatewayError
from gateway.plugin import Context
from gateway.plugin.identity import Unacceptable
from gateway.plugin.oauth import Reply, ask
from gateway.services.jose.source import IssuerKeys
from plugins.oidc.errors import LoginFailed, ProviderUnavailable
from plugins.oidc.settings import OidcSettings
from plugins.oidc.tokens import Tokens

FAILURES: Final = 3
"""Calls that fail in a row before the provider is left alone."""
PAUSE: Final = 1.0
"""Seconds it is left alone for."""
LONGEST: Final = 16 * 1024
"""Characters of an access or refresh token."""
_OURS: Final = frozenset({"invalid_client", "unauthorized_client"})
"""Errors of the configuration, not of the user's grant."""
_USELESS: Final = frozenset({"nonce", "at_hash", "c_hash", "s_hash", "jti", "nbf"})
"""Claims that have served their purpose once they were checked."""


@dataclass(frozen=True, slots=True)
class Granted:
    """What a code or a refresh token was exchanged for."""

    access: str
    expires: float
    """Seconds since 1970; 0 if the provider did not say."""
    refresh: str
    """Empty: the one before goes on."""
    id_token: str
    claims: dict[str, Any] | None
    """Of the ID token and UserInfo; None if there was no ID token."""


class Provider:
    """One provider, as one client sees it."""

    def __init__(self, settings: OidcSettings, context: Context, keys: IssuerKeys) -> None:
        self.keys = keys
        self.tokens = Tokens(keys, settings.client.id, settings.leeway)
        self.error = ""
        """Why the last call failed."""
        self._settings = settings
        self._context = context
        self._failed = 0
        self._until = -1e9

    async def ready(self) -> None:
        """Ask for the discovery document once more, within the cooldown, if it never came."""
        source = self.keys.source
        if source is not None and not source.metadata and source.may_fetch(self._settings.fetch.cooldown):
            await asyncio.shield(source.fetch_once())

    def endpoint(self, name: str) -> str | None:
        """The URL of an endpoint, None if the provider has none. Raises ProviderUnavailable while nothing is known."""
        source = self.keys.source
        metadata = source.metadata if source is not None else {}
        if not metadata:
            raise ProviderUnavailable(reason="no discovery document yet", headers=(("Retry-After", "5"),))
        url = metadata.get(name)
        # A plain http endpoint of an https issuer is a mistake, or an attack.
        safe = ("https://",) if self._settings.issuer.startswith("https://") else ("https://", "http://")
        return url if isinstance(url, str) and url.startswith(safe) and url.isprintable() else None

    def needed(self, name: str) -> str:
        """The same, of an endpoint that every provider must have."""
        url = self.endpoint(name)
        if url is None:
            raise ProviderUnavailable(reason=f"the discovery document has no {name} that can be used")
        return url

    def says_who_it_is(self) -> bool:
        """Its answers to logins carry `iss` (RFC 9207 §3)."""
        source = self.keys.source
        return source is not None and source.metadata.get("authorization_response_iss_parameter_supported") is True

    def login_url(self, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Where a browser is sent. Raises ProviderUnavailable."""
        url = self.needed("authorization_endpoint")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            **self._settings.parameters,
            "response_type": "code",
            "client_id": self._settings.client.id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self._settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{url}{'&' if '?' in url else '?'}{urlencode(asked)}"

    def logout_url(self, id_token: str, back: str) -> str | None:
        """Where a browser is sent to log out there, too (RP-Initiated Logout 1.0 §2); None if that cannot be."""
        try:
            url = self.endpoint("end_session_endpoint")
        except ProviderUnavailable:
            return None
        if url is None:
            return None
        asked = {"client_id": self._settings.client.id, "post_logout_redirect_uri": back}
        if id_token:
            asked["id_token_hint"] = id_token
        return f"{url}{'&' if '?' in url else '?'}{urlencode(asked)}"

    async def exchange(self, code: str, verifier: str, redirect_uri: str, nonce: str) -> Granted:
        """Tokens for a code. Raises LoginFailed, ProviderUnavailable, KeysUnavailable."""
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        reply = await self._token(fields)
        if reply.status != 200:
            raise LoginFailed(
                "The sign-in could not be completed. Please start again.",
                reason=f"the token endpoint answered {reply.status} ({reply.error or 'no code'})",
            )
        try:
            return await self._granted(reply, nonce=nonce, subject=None)
        except Unacceptable as error:
            raise LoginFailed(
                "The sign-in could not be completed. Please start again.", reason=f"the ID token: {error}"
            ) from None

    async def refresh(self, refresh: str, subject: str) -> Granted | None:
        """New tokens; None if the grant has ended. Raises ProviderUnavailable, KeysUnavailable."""
        reply = await self._token({"grant_type": "refresh_token", "refresh_token": refresh})
        if reply.status != 200:
            if reply.error in ("invalid_grant", "invalid_token"):
                return None
            raise self._failure(f"a refresh was answered {reply.status} ({reply.error or 'no code'})")
        try:
            return await self._granted(reply, nonce=None, subject=subject)
        except Unacceptable as error:
            self._context.log.warning("oidc %s: the ID token of a refresh: %s", self._settings.issuer, error)
            return None

    async def revoke(self, refresh: str) -> None:
        """Tell the provider that a refresh token is wanted no more (RFC 7009). Raises GatewayError."""
        url = self.endpoint("revocation_endpoint")
        if url is not None:
            fields = {"token": refresh, "token_type_hint": "refresh_token"}
            await ask(self._context.client(), url, self._settings.client, fields, timeout=self._settings.timeout)

    async def _token(self, fields: Mapping[str, str]) -> Reply:
        url = self.needed("token_endpoint")
        if self._context.clock.now() < self._until:
            raise _unavailable(f"left alone for a moment: {self.error}")
        settings = self._settings
        try:
            reply = await ask(self._context.client(), url, settings.client, fields, timeout=settings.timeout)
        except GatewayError as error:
            raise self._failure(error.reason) from None
        if reply.status >= 500 or reply.status in (408, 429) or reply.error in _OURS:
            raise self._failure(f"the token endpoint answered {reply.status} ({reply.error or 'no code'})")
        self._failed, self.error = 0, ""
        return reply

    def _failure(self, why: str) -> ProviderUnavailable:
        self._failed += 1
        if self._failed >= FAILURES:
            self._until = self._context.clock.now() + PAUSE
        if why != self.error:  # once, not for every request
            self._context.log.warning("oidc %s: %s", self._settings.issuer, why)
        self.error = why
        return _unavailable(why)

    async def _granted(self, reply: Reply, *, nonce: str | None, subject: str | None) -> Granted:
        """Raises Unacceptable, ProviderUnavailable, KeysUnavailable."""
        document, now = reply.document, self._context.clock.time()
        access, refresh = document.get("access_token"), document.get("refresh_token", "")
        kind = document.get("token_type", "Bearer")
        if not _is_token(access) or not isinstance(kind, str) or kind.lower() != "bearer":
            raise Unacceptable("no access token of the bearer kind with it")
        id_token, claims = document.get("id_token", ""), None
        if isinstance(id_token, str) and id_token:
            claims = dict(await self.tokens.id_token(id_token, now, nonce=nonce, access=access))
            if subject is not None and claims["sub"] != subject:
                raise Unacceptable("of another subject than before")  # OpenID Connect Core 1.0 §12.2
            if self._settings.userinfo:
                claims = {**await self._userinfo(access, claims["sub"]), **claims}
            claims = {name: value for name, value in claims.items() if name not in _USELESS}
        elif nonce is not None:
            raise Unacceptable("there is none")
        return Granted(
            access, _end(document.get("expires_in"), now), refresh if _is_token(refresh) else "", id_token or "", claims
        )

    async def _userinfo(self, access: str, subject: str) -> dict[str, Any]:
        """Claims of UserInfo (OpenID Connect Core 1.0 §5.3). Raises Unacceptable, ProviderUnavailable."""
        url = self.needed("userinfo_endpoint")
        headers = {"Authorization": f"Bearer {access}", "Accept": "application/json"}
        try:
            answer = await self._context.client().request(
                "GET", url, headers=headers, timeout=self._settings.timeout, limit=LONGEST * 4
            )
        except GatewayError as error:
            raise self._failure(error.reason) from None
        try:
            found = json.loads(answer.body) if answer.status == 200 else None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise self._failure(f"UserInfo answered {answer.status}, and no claims")
        if found.get("sub") != subject:
            raise Unacceptable("UserInfo is of another subject")  # §5.3.2
        return found


def _is_token(text: Any) -> TypeGuard[str]:
    return isinstance(text, str) and 0 < len(text) <= LONGEST and text.isascii() and text.isprintable()


def _end(seconds: Any, now: float) -> float:
    if isinstance(seconds, str) and seconds.isascii() and seconds.isdecimal() and len(seconds) < 12:
        seconds = int(seconds)  # some providers write it so
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < 1e11:
        return 0.0
    return now + seconds


def _unavailable(why: str) -> ProviderUnavailable:
    return ProviderUnavailable(
        "The sign-in service does not answer. Please try again in a moment.",
        reason=why,
        headers=(("Retry-After", "2"),),
    )
