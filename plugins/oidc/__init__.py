"""Logs users in at an OpenID provider: browsers are sent there and come back with a session, programs are told to.

Authorization code with PKCE (OpenID Connect Core 1.0 §3.1, RFC 7636, RFC 9700). What the target gets is the request
without our cookies, and claims as header fields.

| a request | a browser that shows a page | a program |
|---|---|---|
| with a session | passes | passes |
| with one that must be refreshed | passes once that is done | passes once that is done |
| without one | 302 to the provider, and back to where it was | 401 `login_required` |
| of somebody who may not come in | 403 | 403 |
| while provider or store are away, and needed | 503 | 503 |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from gateway.errors import GatewayError, KeysUnavailable
from gateway.http import Handler, Principal, Request, ReservedFields, Response
from gateway.http.query import parameters
from gateway.plugin import AdminView, Authenticator, Context, Endpoint, Scope
from gateway.plugin.identity import Unacceptable, dress, principal_of
from gateway.plugin.issuer import in_the_open
from gateway.plugin.settings import identity
from gateway.services.shared import Hold
from plugins.oidc.cookies import Cookies, Given, TooLarge
from plugins.oidc.errors import LoginRequired, NotAllowed
from plugins.oidc.keeper import Keeper, Seen
from plugins.oidc.login import Login, barred
from plugins.oidc.logout import Logout
from plugins.oidc.session import Session
from plugins.oidc.settings import OidcSettings, Unauthenticated
from plugins.oidc.visitor import navigates, return_path

__all__ = ["Oidc", "OidcSettings"]

REWRITE: Final = 0.1
"""Share of the idle time after which a cookie is told anew that it is in use."""


class _Visit:
    """What one request came with, and what its answer must carry."""

    __slots__ = ("given", "lines")

    def __init__(self, given: Given) -> None:
        self.given = given
        self.lines: list[str] = []
        """``Set-Cookie``."""


class Oidc(Authenticator[OidcSettings]):
    scope = Scope.FLEET
    exact = True  # a session that another worker does not know to be ended is not ended
    buffers_body = True  # the form of a back-channel logout, at its own endpoint

    def __init__(self, settings: OidcSettings, context: Context) -> None:
        super().__init__(settings, context)
        names = list(settings.claims_to_headers)
        # `Authorization` is another authenticator's to read; with a session it is written over.
        if settings.pass_access_token is not None and settings.pass_access_token.lower() != "authorization":
            names.append(settings.pass_access_token)
        self._ours = ReservedFields(names) if names else None
        self._cookies = Cookies(settings.cookie.name, settings.cookie.same_site)
        self._shelf = f"oidc {settings.cookie.name}"
        self._tls = settings.public_url.startswith("https://") if settings.public_url is not None else None
        self._passes = settings.unauthenticated is Unauthenticated.PASS
        self._time = context.clock.time
        self._hold: Hold[Keeper] | None = None
        self._login: Login | None = None
        self._logout: Logout | None = None
        path = settings.path.rstrip("/")
        self._rules = f"{context.route}/{context.id}"
        self._paths = {name: f"{path}/{name}" for name in ("callback", "login", "logout", "backchannel-logout")}
        realm = settings.realm or context.route
        # What differs between routes of one client: who may come in, and what the target is told.
        apart: dict[str, Any] = {"groups": (), "groups_claim": (), "match": {}, "claims_to_headers": {}}
        told = {"pass_access_token": None, "realm": None, "unauthenticated": Unauthenticated.LOGIN}
        self._client = identity(settings.model_copy(update={**apart, **told}))
        # An authentication scheme that browsers leave alone: with the form to log in by.
        self._challenge = f'Cookie realm="{realm}", form-action="{self._paths["login"]}"'

    async def open(self) -> None:
        settings, store = self.settings, self.context.store()
        self._hold = self.context.shared.hold(
            ("oidc", self._client, store), lambda: Keeper(settings, self.context, store)
        )
        keeper = self._hold.thing
        self._login = Login(settings, self.context, keeper, self._rules)
        keeper.rules[self._rules] = settings
        self._logout = Logout(settings, self.context, keeper, self._login)
        self.context.report(f"oidc {settings.issuer}", keeper.state)
        await keeper.open()

    async def close(self) -> None:
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.thing.rules.pop(self._rules, None)
            await hold.release()

    @classmethod
    def check(cls, settings: OidcSettings) -> Sequence[str]:
        found = []
        if any(in_the_open(url) for url in (settings.issuer, settings.discovery or settings.issuer)):
            found.append(f"{settings.issuer} is spoken to without TLS: whoever is on the way can log in as anybody")
        if settings.public_url is not None and in_the_open(settings.public_url):
            found.append("public_url without TLS: sessions can be read on the way, and browsers keep them less safely")
        return found

    def endpoints(self) -> Sequence[Endpoint]:
        get, post = frozenset({"GET"}), frozenset({"POST"})
        answers = (
            ("callback", self._at_callback, get),
            ("login", self._at_login, get),
            ("logout", self._at_logout, get | post),
            ("backchannel-logout", self._at_backchannel, post),
        )
        return [Endpoint(self._paths[name], answer, methods, self._client) for name, answer, methods in answers]

    def admin(self) -> Sequence[AdminView]:
        return [AdminView("end-sessions", self._end_sessions, frozenset({"POST"}))]

    async def _end_sessions(self, query: Mapping[str, str]) -> dict[str, Any]:
        """``?sub=…``: end all sessions of a user that were begun until now."""
        subject = query.get("sub", "")
        if not subject or self._hold is None:
            return {"ended": False, "error": "give `sub`, the subject whose sessions are to end"}
        # A little ahead: what marks are compared with is the provider's clock.
        until = self._time() + self.settings.leeway
        await self._hold.thing.end_all("sub", subject, until)
        return {"ended": True, "sub": subject}

    # -- a request -----------------------------------------------------------------------------------------------------

    def challenge(self) -> str:
        return self._challenge

    def _secure(self, request: Request) -> bool:
        return self._tls if self._tls is not None else request.scheme == "https"

    def cleanse(self, request: Request) -> None:
        """Our cookies and fields are out before anybody else looks at the request."""
        if self._ours is not None:
            self._ours.take_out(request)
        if request.extras is None:
            request.extras = {}
        # Another entry of the same list may have taken them out before, and not be the one that is asked.
        given = request.extras.get(self._shelf)
        if given is None:
            given = request.extras[self._shelf] = self._cookies.take(request, secure=self._secure(request))
        request.extras[self] = _Visit(given)

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        if not self._passes:
            return await super().__call__(request, proceed)
        self.cleanse(request)
        try:
            request.principal = await self.authenticate(request)
        except GatewayError as error:
            self.refuse(error)
        response = await proceed(request)
        self.dress(request, response)
        return response

    async def authenticate(self, request: Request) -> Principal | None:
        visit: _Visit = (request.extras or {})[self]
        seen = await self._found(visit.given)
        if seen is None or seen.session is None:
            if not self._passes:
                raise await self._login_required(request, visit)
            visit.lines = self._cookies.without_session(visit.given, secure=self._secure(request))
            return None
        session = seen.session
        if why := barred(self.settings, session.claims):
            raise NotAllowed("You are signed in, but have no access here.", reason=why)
        if seen.principal is None or seen.principal[0] is not session:
            seen.principal = (session, self._principal(session))
        self._keep_told(request, visit, seen)
        self._adorn(request, session)
        return seen.principal[1]

    def _principal(self, session: Session) -> Principal:
        """Raises NotAllowed."""
        try:
            principal = principal_of(session.claims, self.settings.principal)
        except Unacceptable as error:  # the rules may have changed since the login
            raise NotAllowed("You are signed in, but have no access here.", reason=str(error)) from None
        # The session is what lets in: its end counts, not that of the ID token.
        return replace(principal, expires=session.began + self.settings.session.max_age)

    async def _found(self, given: Given) -> Seen | None:
        if not given.session or self._hold is None:
            return None
        return await self._hold.thing.find(given.session)

    async def _login_required(self, request: Request, visit: _Visit) -> LoginRequired:
        """The answer to who has no session: to the provider, or 401. Raises ProviderUnavailable."""
        visit.lines = self._cookies.without_session(visit.given, secure=self._secure(request))
        gone = tuple(("Set-Cookie", line) for line in visit.lines)
        if self.settings.unauthenticated is Unauthenticated.LOGIN and navigates(request) and self._login is not None:
            error = LoginRequired("You are being sent to sign in.", reason="no session")
            error.status = 303 if request.method == "POST" else 302
            back = return_path(request, self._login.origin(request))
            error.headers = (*await self._login.begin(request, visit.given, back), *gone)
            return error
        said = "The session has ended." if gone else ""
        headers = (("WWW-Authenticate", self._challenge), *gone)
        return LoginRequired(said, reason="no session", headers=headers, extensions={"login": self._paths["login"]})

    def _keep_told(self, request: Request, visit: _Visit, seen: Seen) -> None:
        """A session that lives in cookies changes with them."""
        keeper, session, told = self._hold, seen.session, seen.told
        if keeper is None or keeper.thing.in_store or session is None or told is None:
            return
        idle, now = self.settings.session.idle, self._time()
        if session.generation == told.generation and (idle is None or now - told.seen < idle * REWRITE):
            return
        fresh = msgspec.structs.replace(session, seen=now)
        left = session.began + self.settings.session.max_age - now
        sealed, secure = keeper.thing.sealed.seal(fresh), self._secure(request)
        try:
            visit.lines = self._cookies.session(sealed, visit.given, left, secure=secure)
        except TooLarge as error:
            # What the cookie holds leads to the refreshed one in the store, for as long as that is kept.
            seen.told = session
            self.context.log.warning("oidc: a session of %s does not fit into cookies", error)

    def _adorn(self, request: Request, session: Session) -> None:
        fields = list(dress(session.claims, self.settings.claims_to_headers))
        name = self.settings.pass_access_token
        if name is not None and (not session.access_expires or self._time() < session.access_expires):
            bearer = name.lower() == "authorization"
            fields.append((name, f"Bearer {session.access}" if bearer else session.access))
        if fields:
            headers = request.edit_headers()
            for name, value in fields:
                headers[name] = value

    def dress(self, request: Request, response: Response) -> None:
        """Renewed cookies go with the answer, which no shared cache may then keep."""
        visit = (request.extras or {}).get(self)
        if not isinstance(visit, _Visit) or not visit.lines:
            return
        headers = response.edit_headers()
        for line in visit.lines:
            headers.add("Set-Cookie", line)
        if not any(word in headers.get("Cache-Control", "") for word in ("private", "no-store")):
            headers.popall("Cache-Control", None)
            headers["Cache-Control"] = "private, no-cache"

    # -- our own pages -------------------------------------------------------------------------------------------------

    async def _at_callback(self, request: Request) -> Response:
        return await self._opened()[0].finish(request)

    async def _at_login(self, request: Request) -> Response:
        """For pages that begin a login themselves, after a 401 of a script."""
        login = self._opened()[0]
        given = self._cookies.take(request, secure=self._secure(request))
        asked = parameters(request.query, "return")
        back = asked[0] if len(asked) == 1 else "/"
        return Response(302, headers=list(await login.begin(request, given, back)))

    async def _at_logout(self, request: Request) -> Response:
        return await self._opened()[1].user(request)

    async def _at_backchannel(self, request: Request) -> Response:
        return await self._opened()[1].provider(request)

    def _opened(self) -> tuple[Login, Logout]:
        if self._login is None or self._logout is None:
            raise KeysUnavailable(reason="not open")
        return self._login, self._logout
