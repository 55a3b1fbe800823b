"""A login: how it begins, in as many tabs as there are, and how it is finished by who began it.

Each has its own state, nonce and PKCE verifier in a cookie of its own, encrypted. So a callback is worth nothing in
another browser (login CSRF, stolen links), a code nothing without the verifier, an ID token nothing in another login.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.errors import GatewayError
from gateway.http import Request, Response
from gateway.http.query import parameters
from gateway.plugin import Context
from gateway.plugin.claims import find
from gateway.plugin.identity import Unacceptable, fits, mismatch, principal_of
from gateway.services.clock import Clock
from plugins.oidc.cookies import MOST_LOGINS, Cookies, Given, TooLarge, decoded
from plugins.oidc.errors import LoginFailed, NotAllowed
from plugins.oidc.keeper import Keeper
from plugins.oidc.provider import Granted
from plugins.oidc.session import Session
from plugins.oidc.settings import OidcSettings, Place
from plugins.oidc.visitor import is_local

AGAIN: Final = "The sign-in could not be completed. Please go back to the application and start again."


class Attempt(msgspec.Struct, frozen=True):
    """A login under way, as its cookie holds it."""

    state: str
    nonce: str
    verifier: str
    back: str
    redirect_uri: str
    rules: str
    """Who may come in, by the route that sent the browser away."""
    began: float


class Login:
    """Begins and finishes logins."""

    def __init__(self, settings: OidcSettings, context: Context, keeper: Keeper, rules: str) -> None:
        self._settings = settings
        self._rules = rules
        self._context = context
        self._keeper = keeper
        self._cookies: Cookies = keeper.cookies
        self._clock: Clock = context.clock
        self.callback = f"{settings.path.rstrip('/')}/callback"
        logins = context.metrics.counter(
            "oidc_logins_total", "Logins by how they ended.", ("route", "plugin", "outcome")
        )
        self._begun, self._done, self._failed, self._denied = (
            logins.child(context.route, context.id, outcome) for outcome in ("begun", "finished", "failed", "denied")
        )

    def origin(self, request: Request) -> str:
        """What the user's browser calls us."""
        return self._settings.public_url or f"{request.scheme}://{request.host}"

    def secure(self, request: Request) -> bool:
        """The browser came over TLS, as far as we know."""
        return self.origin(request).startswith("https://")

    async def begin(self, request: Request, given: Given, back: str) -> tuple[tuple[str, str], ...]:
        """Header fields that send a browser to the provider. Raises ProviderUnavailable."""
        await self._keeper.provider.ready()
        now = self._clock.time()
        # By its time, so that the oldest can be told; by chance, so that two tabs differ.
        login = f"{int(now):x}{secrets.token_hex(4)}"
        attempt = Attempt(
            f"{login}.{secrets.token_urlsafe(24)}",
            secrets.token_urlsafe(24),
            secrets.token_urlsafe(48),
            back if is_local(back) and not back.startswith(self._settings.path.rstrip("/") + "/") else "/",
            self.origin(request) + self.callback,
            self._rules,
            now,
        )
        url = self._keeper.provider.login_url(attempt.redirect_uri, attempt.state, attempt.nonce, attempt.verifier)
        secure = self.secure(request)
        sealed = self._keeper.sealed.seal(attempt)
        lines = [self._cookies.login(login, sealed, self._settings.login_timeout, secure=secure)]
        oldest = sorted(each for each in given.logins if each.isalnum())
        lines += self._cookies.without_logins(oldest[: max(0, len(oldest) - MOST_LOGINS + 1)], secure=secure)
        self._begun.inc()
        return (("Location", url), ("Cache-Control", "no-store"), *(("Set-Cookie", line) for line in lines))

    async def finish(self, request: Request) -> Response:
        """The provider has sent the browser back. Raises GatewayError."""
        secure = self.secure(request)
        given = self._cookies.take(request, secure=secure)
        state = _one(request.query, "state")
        login = state.partition(".")[0]
        try:
            attempt = self._attempt(given, login, state)
            granted = await self._granted(request, attempt)
            session = self._session(granted, self._keeper.rules.get(attempt.rules, self._settings))
            lines = await self._begin_session(given, session, secure=secure)
        except GatewayError as error:
            (self._denied if isinstance(error, NotAllowed) else self._failed).inc()
            self._context.refused(error)
            if login in given.logins:
                gone = [("Set-Cookie", line) for line in self._cookies.without_logins([login], secure=secure)]
                error.headers = (*error.headers, *gone)
            raise
        self._done.inc()
        lines += self._cookies.without_logins([login], secure=secure)
        headers = [("Location", attempt.back), ("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer")]
        return Response(303, headers=[*headers, *(("Set-Cookie", line) for line in lines)])

    def _attempt(self, given: Given, login: str, state: str) -> Attempt:
        """The login that was begun in this browser. Raises LoginFailed."""
        attempt = self._keeper.sealed.open(decoded(given.logins.get(login, "")), Attempt)
        if not isinstance(attempt, Attempt):
            raise LoginFailed(AGAIN, reason="no login of this state was begun in this browser")
        if not hmac.compare_digest(attempt.state.encode(), state.encode("utf-8", "surrogateescape")):
            raise LoginFailed(AGAIN, reason="the state is of another login")
        if self._clock.time() - attempt.began > self._settings.login_timeout:
            raise LoginFailed(AGAIN, reason="the login took too long")
        return attempt

    async def _granted(self, request: Request, attempt: Attempt) -> Granted:
        """Raises LoginFailed, ProviderUnavailable, KeysUnavailable, StoreUnavailable."""
        query, keeper = request.query, self._keeper
        if self.origin(request) + self.callback != attempt.redirect_uri:
            raise LoginFailed(AGAIN, reason="begun on another host")
        # Whose answer it is: with several providers one could pass off another's (RFC 9207 §2.4).
        issuers = parameters(query, "iss")
        if issuers != [self._settings.issuer] and (issuers or keeper.provider.says_who_it_is()):
            raise LoginFailed(AGAIN, reason="an answer of another issuer")
        if not await keeper.records.once(attempt.state, self._settings.login_timeout):
            raise LoginFailed(AGAIN, reason="this login was finished before")
        if refused := _one(query, "error"):
            said = refused[:64] if refused.isascii() and refused.isprintable() else "?"
            if refused == "access_denied":
                raise NotAllowed("The sign-in was cancelled, or is not allowed for you.", reason=f"provider: {said}")
            raise LoginFailed(AGAIN, reason=f"provider: {said}")
        code = _one(query, "code")
        if not code or len(code) > 4096:
            raise LoginFailed(AGAIN, reason="no code")
        return await keeper.provider.exchange(code, attempt.verifier, attempt.redirect_uri, attempt.nonce)

    def _session(self, granted: Granted, rules: OidcSettings) -> Session:
        """Raises NotAllowed, LoginFailed."""
        claims, now = granted.claims, self._clock.time()
        assert claims is not None, "a login has an ID token"
        if why := barred(rules, claims):
            raise NotAllowed("You are signed in, but have no access here.", reason=why)
        try:
            principal_of(claims, rules.principal)
        except Unacceptable as error:
            raise LoginFailed(AGAIN, reason=str(error)) from None
        sid = claims.get("sid")
        return Session(
            id=secrets.token_urlsafe(24),  # never one that the browser came with: session fixation
            subject=claims["sub"],
            sid=sid if isinstance(sid, str) and len(sid) <= 512 else "",
            issued=float(claims["iat"]),
            began=now,
            seen=now,
            claims=claims,
            access=granted.access,
            access_expires=granted.expires,
            refreshed=now,
            refresh=granted.refresh,
            id_token=granted.id_token,
        )

    async def _begin_session(self, given: Given, session: Session, *, secure: bool) -> list[str]:
        """``Set-Cookie`` lines. Raises StoreUnavailable, LoginFailed."""
        before = await self._keeper.peek(given.session) if given.session else None
        # Of the same user another tab may be using it; of another nobody should any more.
        if before is not None and before.handle.subject != session.subject:
            await self._keeper.end(before.handle)
        sealed = await self._keeper.begin(session)
        try:
            return self._cookies.session(sealed, given, self._settings.session.max_age, secure=secure)
        except TooLarge as error:
            keep = Place.SHARED.value
            self._context.log.error("oidc: a session of %s does not fit into cookies: `store: %s`", error, keep)
            raise LoginFailed(AGAIN, reason="the session does not fit into cookies") from None


def barred(settings: OidcSettings, claims: Mapping[str, Any]) -> str:
    """Why somebody with these claims may not come in; empty if they may."""
    if settings.groups and not any(fits(find(claims, path), settings.groups) for path in settings.groups_claim):
        return "in none of the groups"
    path = mismatch(claims, settings.match)
    return f"claim {path} does not match" if path is not None else ""


def _one(query: str, name: str) -> str:
    """A parameter that must not stand twice: two readers could read two things."""
    found = parameters(query, name)
    return found[0] if len(found) == 1 else ""
