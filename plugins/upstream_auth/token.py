"""A token of the gateway's own: fetched when first needed, renewed in time, the same for all requests."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from gateway.errors import GatewayError, Source
from gateway.plugin import Context
from gateway.plugin.oauth import ask
from plugins.upstream_auth.settings import OAuth2

UNSAID: Final = 300.0
"""Seconds that a token is used whose answer says nothing of its end (RFC 6749 §5.1 only recommends it)."""
PAUSES: Final = (1.0, 30.0)
"""Seconds between tries that fail: the first, and the longest; each is twice the one before."""

YOUNGEST: Final = 10.0
"""Seconds: a target that takes no token at all must not have one fetched for each request."""


class TokenUnavailable(GatewayError):
    """The authorization server gives no token for the target, and no old one holds."""

    code, status, title, source = "upstream_token_unavailable", 503, "Service unavailable", Source.UPSTREAM


class Token:
    """The token and how it is kept fresh. One call is under way at most, however many requests wait for it."""

    def __init__(self, settings: OAuth2, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._now = context.clock.now
        self._value = ""
        self._got_at = 0.0
        self._until = 0.0
        self._renew_at = 0.0
        self._call: asyncio.Task[None] | None = None
        self._again = 0.0
        self._pause = PAUSES[0]
        self._error = ""

    async def value(self) -> str:
        """A token that holds. Raises TokenUnavailable."""
        now = self._now()
        if now < self._renew_at:
            return self._value
        call = self._fetch(now)
        if now < self._until:  # the old one serves while the new one is on its way
            return self._value
        if call is not None:
            await asyncio.shield(call)  # who leaves must not take it from the others
        if self._now() >= self._until:
            raise TokenUnavailable(reason=self._error or "no token yet")
        return self._value

    def rejected(self, value: str) -> bool:
        """The target did not take this token, which may have been revoked. Whether another one is worth a try."""
        if value != self._value:
            return True  # renewed meanwhile
        if self._now() < self._got_at + YOUNGEST:
            return False
        self._until = self._renew_at = 0.0
        return True

    def state(self) -> dict[str, Any]:
        """For operators."""
        left = self._until - self._now()
        found: dict[str, Any] = {"ok": left > 0 or not self._error, "expires_in": max(0, int(left))}
        return {**found, "error": self._error} if self._error else found

    async def close(self) -> None:
        """Idempotent."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)

    def _fetch(self, now: float) -> asyncio.Task[None] | None:
        """The call under way, a new one, or None while a failed one is not tried again."""
        if self._call is None and now >= self._again:
            self._call = self._context.spawn(self._renew(), "a token for an upstream")
        return self._call

    async def _renew(self) -> None:
        try:
            await self._ask()
        except GatewayError as error:
            self._error = error.reason
            self._again = self._now() + self._pause
            self._pause = min(self._pause * 2, PAUSES[1])
            self._context.log.warning("no token for %s: %s", self._context.route, error.reason)
        finally:
            self._call = None

    async def _ask(self) -> None:
        """Raises GatewayError."""
        settings = self._settings
        fields = {"grant_type": "client_credentials", **settings.parameters}
        if settings.scopes:
            fields["scope"] = " ".join(settings.scopes)
        reply = await ask(self._context.client(), settings.token_url, settings.client, fields, timeout=settings.timeout)
        token, kind = reply.document.get("access_token"), reply.document.get("token_type", "Bearer")
        if reply.status != 200 or not isinstance(token, str) or not token.isprintable() or " " in token or not token:
            raise TokenUnavailable(reason=f"the token endpoint said {reply.status} {reply.error}".rstrip())
        if not isinstance(kind, str) or kind.lower() != "bearer":
            raise TokenUnavailable(reason="the token endpoint gives tokens that are not Bearer")
        lifetime = reply.document.get("expires_in", UNSAID)
        if isinstance(lifetime, bool) or not isinstance(lifetime, int | float) or not 0 < lifetime < 1e9:
            lifetime = UNSAID
        now = self._now()
        self._value, self._error, self._pause, self._again = token, "", PAUSES[0], 0.0
        self._got_at, self._until = now, now + lifetime
        # A lifetime shorter than the margin would have it renewed for every request.
        self._renew_at = self._until - min(settings.refresh_before, lifetime / 2)
