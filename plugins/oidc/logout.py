"""Logouts: of the user here and at the provider, and of the provider's telling (back-channel)."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

from gateway.errors import GatewayError
from gateway.http import Request, Response
from gateway.http.query import parameters
from gateway.plugin import Context
from gateway.plugin.identity import Unacceptable
from plugins.oidc.cookies import Given
from plugins.oidc.errors import CrossSiteLogout, InvalidLogoutToken
from plugins.oidc.keeper import Keeper, Seen
from plugins.oidc.login import Login
from plugins.oidc.settings import OidcSettings
from plugins.oidc.visitor import cross_site, is_local, navigates

LARGEST = 70 * 1024
"""Bytes of a form with a logout token."""


class Logout:
    """Answers for the two endpoints."""

    def __init__(self, settings: OidcSettings, context: Context, keeper: Keeper, login: Login) -> None:
        self._settings = settings
        self._context = context
        self._keeper = keeper
        self._login = login
        logouts = context.metrics.counter(
            "oidc_logouts_total", "Logouts by who asked.", ("route", "plugin", "initiator")
        )
        self._by_user, self._by_provider = (logouts.child(context.route, context.id, by) for by in ("user", "provider"))

    async def user(self, request: Request) -> Response:
        """The user's own. Raises CrossSiteLogout, StoreUnavailable."""
        if cross_site(request, self._login.origin(request)):
            error = CrossSiteLogout("A page of another site asked for this.", reason="cross-site")
            self._context.refused(error)
            raise error
        secure = self._login.secure(request)
        given = self._keeper.cookies.take(request, secure=secure)
        gone = [("Set-Cookie", line) for line in self._keeper.cookies.without_session(given, secure=secure)]
        try:
            id_token = await self._end(given)
        except GatewayError as error:  # the browser at least forgets it
            error.headers = (*error.headers, *gone)
            raise
        self._by_user.inc()
        target = self._target(request, id_token)
        headers = [("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer"), *gone]
        if navigates(request) or "Sec-Fetch-Mode" not in request.headers:
            return Response(303, headers=[("Location", target), *headers])
        # A script cannot follow to another origin; its page can.
        body = json.dumps({"location": target}).encode()
        return Response(200, headers=[("Content-Type", "application/json"), *headers], body=body)

    async def _end(self, given: Given) -> str:
        """End the session of these cookies, if there is one; its ID token. Raises StoreUnavailable."""
        seen = await self._seen(given)
        if seen is None or seen.session is None:
            return ""
        await self._keeper.end(seen.session)
        if self._settings.logout.revoke and seen.session.refresh:
            _ = self._context.spawn(self._revoke(seen.session.refresh), "revoke a refresh token")
        return seen.session.id_token

    async def _seen(self, given: Given) -> Seen | None:
        return await self._keeper.peek(given.session) if given.session else None

    async def _revoke(self, refresh: str) -> None:
        try:
            await self._keeper.provider.revoke(refresh)
        except GatewayError as error:
            self._context.log.info("oidc: a refresh token was not revoked: %s", error.reason)

    def _target(self, request: Request, id_token: str) -> str:
        """Where the browser goes: to the provider, or to a page of ours."""
        settings = self._settings.logout
        if settings.provider:
            url = self._keeper.provider.logout_url(id_token, self._login.origin(request) + settings.return_to)
            if url is not None:
                return url
        asked = parameters(request.query, "return")
        return asked[0] if len(asked) == 1 and is_local(asked[0]) else settings.return_to

    async def provider(self, request: Request) -> Response:
        """The provider's (Back-Channel Logout 1.0 §2.5).

        Raises InvalidLogoutToken, StoreUnavailable, KeysUnavailable.
        """
        form = (await request.body.read(LARGEST)).decode("utf-8", "replace")
        try:
            found = [value for name, value in parse_qsl(form, max_num_fields=20) if name == "logout_token"]
        except ValueError:
            found = []
        try:
            if len(found) != 1:
                raise Unacceptable("no logout token, or several")
            claims = await self._keeper.provider.tokens.logout_token(found[0], self._context.clock.time())
        except Unacceptable as error:
            refusal = InvalidLogoutToken("The logout token does not hold.", reason=str(error))
            self._context.refused(refusal)
            raise refusal from None
        # With both, the session that is meant is the subject's of that sid (§2.4); a sub alone means all of them.
        subject, sid = (claims[name] if isinstance(claims.get(name), str) else "" for name in ("sub", "sid"))
        # By the token's own time: one that is sent again later ends no session that was begun since.
        until = float(claims["iat"])
        if sid:
            await self._keeper.end_all("sid", sid, until)
        if subject:
            await self._keeper.end_all("lone" if sid else "sub", subject, until)
        self._by_provider.inc()
        return Response(200, headers={"Cache-Control": "no-store"})
