"""Keeps pages of other sites from acting as their visitor: by what browsers say of a request, and by signed tokens.

Browsers say where a request comes from (`Sec-Fetch-Site`, else `Origin`, else `Referer`), and that is enough for all
that are still maintained. The signed double-submit token (OWASP) is for those who must not rely on it.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Final
from urllib.parse import parse_qsl

from pydantic import Field, model_validator

from gateway.errors import Forbidden
from gateway.http import Handler, Request, Response
from gateway.http.cookies import cookies
from gateway.plugin import Context, Duration, Plugin, Secret, Settings, Stage
from gateway.plugin.field import FieldName
from gateway.plugin.origin import Origin, origin_matcher

LARGEST_FORM: Final = 1_000_000
"""Bytes of a form in which a token is looked for."""
_AMBIENT: Final = ("basic", "negotiate", "ntlm", "digest")
"""Authentication schemes whose credentials browsers add by themselves."""
CookieName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class CrossSite(Forbidden):
    """A browser sent this on behalf of another site's page."""

    code, title = "cross_site_request", "Cross-site request refused"


class InvalidCsrfToken(Forbidden):
    """The token is missing, not the one in the cookie, not ours, of another session, or too old."""

    code, title = "invalid_csrf_token", "CSRF token not valid"


class TokenSettings(Settings):
    """The signed double-submit cookie: pages read it and say it back in a header or form field."""

    keys: tuple[Secret, ...] = Field(
        min_length=1, max_length=8, description="Secrets that sign tokens, newest first: all verify, the first signs."
    )
    cookie: CookieName = Field(
        default="__Host-csrf", description="Where the token is kept. `__Host-` keeps subdomains from writing it."
    )
    header: FieldName = Field(default="X-CSRF-Token", description="Where pages' scripts say it back.")
    field: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.\[\]-]{1,64}$",
        description="A field of `application/x-www-form-urlencoded` bodies up to 1MB where forms say it back. "
        "Unset: bodies are not looked at.",
    )
    session: CookieName | None = Field(
        default=None,
        description="The cookie of the service's session, which a token is bound to: a new session needs a new token. "
        "Unset: the principal, where there is one.",
    )
    max_age: Duration = Field(default=43200.0, gt=0, description="How long a token holds; a working day by default.")


class CsrfSettings(Settings):
    """The defaults suit a service that serves its own pages; name further origins that may act as their visitor."""

    origins: tuple[Origin, ...] = Field(
        default=(), description="Origins beside the service's own whose pages may send these requests, as for `cors`."
    )
    methods: tuple[str, ...] = Field(
        default=("POST", "PUT", "PATCH", "DELETE"),
        description="Methods that are looked at: what they ask for changes something. Upgrades, such as to WebSocket, "
        "are looked at with any method.",
    )
    same_site: bool = Field(
        default=False, description="Trust pages of the same site, too: all subdomains of the registered domain."
    )
    unknown: Annotated[str, Field(pattern=r"^(allow|without_credentials|refuse)$")] = Field(
        default="without_credentials",
        description="Requests that do not say where they come from, as programs' do not: `allow` them, `refuse` them, "
        "or let pass those that carry nothing a browser adds by itself (cookies, `Authorization: Basic`).",
    )
    token: TokenSettings | None = Field(default=None, description="Ask for a signed token as well.")

    @model_validator(mode="after")
    def _nobody_means_everybody(self) -> CsrfSettings:
        if "*" in self.origins or "null" in self.origins:
            raise ValueError("`*` and `null` in `origins` would be every page's; leave the plugin out instead")
        return self


class Csrf(Plugin[CsrfSettings]):
    stage = Stage.AUTHORIZE
    refuses = True
    buffers_body = True

    def __init__(self, settings: CsrfSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._methods = frozenset(settings.methods)
        self._trusted = origin_matcher(settings.origins)
        token = settings.token
        self._token = Token(token) if token is not None else None
        self._time = context.clock.time

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        # A WebSocket is opened with a GET that carries cookies, and CORS keeps no other site's page from reading it.
        # Scripts cannot add a field to that, so no token is asked for.
        changes = request.method in self._methods
        if changes or request.upgrade:
            why = self._foreign(request)
            if why:
                self.refuse(CrossSite(reason=why))
            if changes and self._token is not None:
                why = await self._token.mistake(request, self._time())
                if why:
                    self.refuse(InvalidCsrfToken(reason=why))
        fresh = self._token.fresh(request, self._time()) if self._token is not None else None
        response = await proceed(request)
        if fresh is not None and response.tunnel is None:
            headers = response.edit_headers()
            headers.add("Set-Cookie", fresh)
            if not any(word in headers.get("Cache-Control", "") for word in ("private", "no-store")):
                headers.add("Cache-Control", "private")  # a token is for one visitor
        return response

    def _foreign(self, request: Request) -> str:
        """Why it is not a page of ours that sends it; empty if it is."""
        headers = request.headers
        origins = headers.getall("Origin", ())
        if len(origins) > 1:
            return "more than one Origin"
        origin = origins[0] if origins else ""
        if origin and origin != "null" and self._trusted(origin):
            return ""
        site = headers.get("Sec-Fetch-Site", "")
        if site in ("same-origin", "none") or (site == "same-site" and self.settings.same_site):
            return ""
        if site:
            return f"Sec-Fetch-Site is {site[:16]!r}"
        if origin:
            return "" if _own(origin, request) else "Origin is another"
        referer = headers.get("Referer", "")
        if referer:
            scheme, _, rest = referer.partition("://")
            origin = f"{scheme}://{rest.partition('/')[0].partition('?')[0]}"
            return "" if self._trusted(origin) or _own(origin, request) else "Referer is of another origin"
        return self._unknown(request)

    def _unknown(self, request: Request) -> str:
        known = self.settings.unknown
        if known == "allow":
            return ""
        scheme = request.headers.get("Authorization", "").partition(" ")[0].lower()
        ambient = "Cookie" in request.headers or scheme in _AMBIENT
        return "does not say where it comes from" if known == "refuse" or ambient else ""

    @classmethod
    def check(cls, settings: CsrfSettings) -> Sequence[str]:
        token = settings.token
        if token is not None and any(len(key.get_secret_value()) < 16 for key in token.keys):
            return ("a key of `token.keys` has fewer than 16 characters: whoever guesses it can make tokens",)
        return ()


def _own(origin: str, request: Request) -> bool:
    """Of the host that was asked, and not from plain http if we were asked over TLS."""
    scheme, _, host = origin.lower().partition("://")
    asked = request.host.lower()
    default = {"http": ":80", "https": ":443"}.get(scheme, "")
    same = host.removesuffix(default) == asked.removesuffix(default) if default else host == asked
    return same and bool(host) and not (request.scheme == "https" and scheme != "https")


class Token:
    """Makes and verifies ``<time>.<nonce>.<signature>``, which is bound to a session."""

    def __init__(self, settings: TokenSettings) -> None:
        self._settings = settings
        self._keys = [sha256(b"sidegate csrf\0" + key.get_secret_value().encode()).digest() for key in settings.keys]
        secure = "; Secure" if settings.cookie.startswith("__") else ""
        self._attributes = f"; Path=/; SameSite=Lax{secure}; Max-Age={int(settings.max_age)}"

    def fresh(self, request: Request, now: float) -> str | None:
        """A ``Set-Cookie`` for who has no token that holds for half its time yet."""
        held = cookies(request, self._settings.cookie)
        if len(held) == 1 and not self._wrong(held[0], request, now + self._settings.max_age / 2):
            return None
        stem = f"{int(now)}.{secrets.token_urlsafe(16)}"
        secure = "; Secure" if request.scheme == "https" and "Secure" not in self._attributes else ""
        value = f"{stem}.{self._sign(self._keys[0], stem, self._bound_to(request))}"
        return f"{self._settings.cookie}={value}{self._attributes}{secure}"

    async def mistake(self, request: Request, now: float) -> str:
        """Why the request's token does not hold; empty if it does."""
        held = cookies(request, self._settings.cookie)
        if len(held) != 1:
            return "two cookies of the token's name" if held else "no cookie with a token"
        said = await self._said(request)
        if said is None:
            return "no token said back"
        if not hmac.compare_digest(said.encode("utf-8", "surrogateescape"), held[0].encode("utf-8", "surrogateescape")):
            return "the token is not the cookie's"
        return self._wrong(said, request, now)

    def _wrong(self, token: str, request: Request, now: float) -> str:
        stem, _, signature = token.rpartition(".")
        made, _, _ = stem.partition(".")
        bound = self._bound_to(request)
        given = signature.encode("utf-8", "surrogateescape")
        if not any(hmac.compare_digest(given, self._sign(key, stem, bound).encode()) for key in self._keys):
            return "not signed by us, or for another session"
        return "" if now <= int(made) + self._settings.max_age else "the token is too old"

    def _sign(self, key: bytes, stem: str, bound: str) -> str:
        text = f"{stem}\0{bound}".encode("utf-8", "surrogateescape")
        return hmac.new(key, text, sha256).hexdigest()

    def _bound_to(self, request: Request) -> str:
        name = self._settings.session
        if name is not None:
            return "\0".join(cookies(request, name))
        return request.principal.id if request.principal is not None else ""

    async def _said(self, request: Request) -> str | None:
        lines = request.headers.getall(self._settings.header, ())
        if lines:
            return lines[0] if len(lines) == 1 else None
        name = self._settings.field
        media = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if name is None or media != "application/x-www-form-urlencoded":
            return None
        form = (await request.body.read(LARGEST_FORM)).decode("utf-8", "replace")
        try:
            found = [value for key, value in parse_qsl(form, max_num_fields=1000) if key == name]
        except ValueError:
            return None
        return found[0] if len(found) == 1 else None
