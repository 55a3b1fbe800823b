"""An OpenID provider over real HTTP: signs in whom a test says, checks PKCE, rotates refresh tokens, and can misbehave.

    from gateway.testing.provider import provider

    async with provider() as idp:
        idp.user = {"sub": "ada", "groups": ["staff"]}
        ...  # a plugin's `issuer` is idp.url, its client idp.client

A refresh token that comes twice ends all that were made from it (RFC 9700 §4.14.2), as real providers do.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlencode

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from multidict import MultiMapping

EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
_KEYS: Final[dict[str, rsa.RSAPrivateKey]] = {}
"""Made once: each takes some 50 ms."""


def signing_key(kid: str) -> rsa.RSAPrivateKey:
    """The private key of this name; the same for every provider of a process."""
    if kid not in _KEYS:
        _KEYS[kid] = rsa.generate_private_key(65537, 2048)
    return _KEYS[kid]


@dataclass
class Grant:
    """What a user let a client do; the family of all tokens made from it."""

    client: str
    user: dict[str, Any]
    nonce: str | None
    sid: str
    scope: str
    redirect_uri: str = ""
    challenge: str = ""
    revoked: bool = False
    current: str = ""
    """The refresh token that may be used next."""


@dataclass
class Provider:
    """Made by `provider`. Change any attribute while it runs."""

    url: str = ""
    """The issuer."""
    path: str = ""
    """What the issuer has behind the host, such as ``/realms/shop``."""
    client: dict[str, str] = field(default_factory=lambda: {"id": "shop", "secret": "a secret of the shop's"})
    user: dict[str, Any] = field(default_factory=lambda: {"sub": "ada"})
    kids: list[str] = field(default_factory=lambda: ["one"])
    """Keys that are published; the first signs."""
    now: Callable[[], float] = time.time
    expires_in: int = 300
    """Seconds that access tokens and ID tokens live."""
    rotates: bool = True
    """Each refresh gives a new refresh token, and an old one ends the family."""
    refreshes: bool = True
    """Refresh tokens are given at all."""
    down: bool = False
    """Everything answers 503."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """Changes to the discovery document; None takes a member out."""
    id_token: Callable[[dict[str, Any]], dict[str, Any] | str] = lambda claims: claims
    """What becomes of the claims of an ID token before it is signed; text is sent as it is."""
    shape: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
    """What becomes of the claims of an access token made by `token`."""
    hold: asyncio.Event | None = None
    """Token calls wait for it."""
    calls: Counter[str] = field(default_factory=Counter)
    """By path."""
    grants: dict[str, Grant] = field(default_factory=dict)
    """By code, then by access and refresh token."""
    revocations: list[str] = field(default_factory=list)
    reuses: int = 0
    """Refresh tokens that came a second time."""

    # -- what a test asks of it ----------------------------------------------------------------------------------------

    def token(self, **claims: Any) -> str:
        """An access token, signed; None takes a claim out."""
        now = int(self.now())
        usual = {"iss": self.url, "sub": "ada", "aud": "orders", "iat": now, "exp": now + self.expires_in, **claims}
        return self.sign({key: value for key, value in self.shape(usual).items() if value is not None})

    def logout_token(self, typ: str = "logout+jwt", **claims: Any) -> str:
        """A logout token (OpenID Connect Back-Channel Logout 1.0 §2.4); None takes a claim out."""
        now = int(self.now())
        usual = {
            "iss": self.url,
            "aud": self.client["id"],
            "iat": now,
            "exp": now + 120,
            "jti": secrets.token_hex(8),
            "events": {EVENT: {}},
            **claims,
        }
        return self.sign({key: value for key, value in usual.items() if value is not None}, typ=typ)

    def sign(self, claims: dict[str, Any], *, kid: str = "", typ: str = "JWT") -> str:
        """A token with these claims."""
        kid = kid or self.kids[0]
        return jwt.encode(claims, signing_key(kid), "RS256", {"kid": kid, "typ": typ})

    def opaque(self, **members: Any) -> str:
        """A token that only introspection knows, with these members of its answer."""
        made = secrets.token_urlsafe(24)
        now = int(self.now())
        user = {"iss": self.url, "sub": "ada", "exp": now + self.expires_in, "scope": "read", **members}
        self.grants[made] = Grant("", {key: value for key, value in user.items() if value is not None}, None, "", "")
        return made

    # -- endpoints -----------------------------------------------------------------------------------------------------

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        path = "/" + request.path.removeprefix(self.path).lstrip("/")
        self.calls[path] += 1
        if self.down:
            raise web.HTTPServiceUnavailable
        answers = {
            "/.well-known/openid-configuration": self._discovery,
            "/jwks": self._jwks,
            "/authorize": self._authorize,
            "/token": self._token,
            "/introspect": self._introspect,
            "/revoke": self._revoke,
            "/userinfo": self._userinfo,
        }
        answer = answers.get(path)
        if answer is None:
            raise web.HTTPNotFound
        return await answer(request)

    async def _discovery(self, _request: web.Request) -> web.Response:
        root = self.url.rstrip("/")
        document = {
            "issuer": self.url,
            "jwks_uri": f"{root}/jwks",
            "authorization_endpoint": f"{root}/authorize",
            "token_endpoint": f"{root}/token",
            "introspection_endpoint": f"{root}/introspect",
            "revocation_endpoint": f"{root}/revoke",
            "userinfo_endpoint": f"{root}/userinfo",
            "end_session_endpoint": f"{root}/end_session",
            "authorization_response_iss_parameter_supported": True,
            "code_challenge_methods_supported": ["S256"],
            **self.metadata,
        }
        return web.json_response({key: value for key, value in document.items() if value is not None})

    async def _jwks(self, _request: web.Request) -> web.Response:
        public = {kid: signing_key(kid).public_key() for kid in self.kids}
        return web.json_response(
            {"keys": [{**RSAAlgorithm.to_jwk(key, as_dict=True), "kid": kid} for kid, key in public.items()]}
        )

    async def _authorize(self, request: web.Request) -> web.Response:
        """The user has consented already."""
        asked = request.query
        if asked.get("client_id") != self.client["id"] or asked.get("response_type") != "code":
            raise web.HTTPBadRequest(text="another client")
        if asked.get("code_challenge_method") != "S256" or not asked.get("code_challenge"):
            raise web.HTTPBadRequest(text="no PKCE")
        code = secrets.token_urlsafe(16)
        self.grants[code] = Grant(
            self.client["id"],
            dict(self.user),
            asked.get("nonce"),
            secrets.token_hex(8),
            asked.get("scope", ""),
            asked["redirect_uri"],
            asked["code_challenge"],
        )
        answer = urlencode({"code": code, "state": asked.get("state", ""), "iss": self.url})
        raise web.HTTPFound(f"{asked['redirect_uri']}?{answer}")

    async def _form(self, request: web.Request) -> dict[str, str]:
        """The form of a client that is who it says it is."""
        form = {key: str(value) for key, value in (await request.post()).items()}
        header = request.headers.get("Authorization", "")
        if header.startswith("Basic "):
            who, _, secret = base64.b64decode(header[6:]).decode().partition(":")
            who, secret = unquote(who), unquote(secret)
        else:
            who, secret = form.get("client_id", ""), form.get("client_secret", "")
        if (who, secret) != (self.client["id"], self.client.get("secret", "")):
            raise web.HTTPUnauthorized(text='{"error": "invalid_client"}', content_type="application/json")
        return form

    async def _token(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        if self.hold is not None:
            await self.hold.wait()
        if form.get("grant_type") == "authorization_code":
            grant = self.grants.pop(form.get("code", ""), None)  # once
            made = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
            proven = grant is not None and grant.challenge == made.rstrip(b"=").decode()
            if grant is None or not proven or grant.redirect_uri != form.get("redirect_uri"):
                return _refused("invalid_grant")
        else:
            grant = self.grants.get(form.get("refresh_token", ""))
            if grant is not None and self.rotates and grant.current != form["refresh_token"]:
                self.reuses += 1
                grant.revoked = True
            if grant is None or grant.revoked:
                return _refused("invalid_grant")
        return web.json_response(self._tokens(grant, first="code" in form))

    def _tokens(self, grant: Grant, *, first: bool) -> dict[str, Any]:
        now = int(self.now())
        access = secrets.token_urlsafe(24)
        claims = {
            "iss": self.url,
            "aud": grant.client,
            "iat": now,
            "exp": now + self.expires_in,
            "sid": grant.sid,
            "at_hash": base64.urlsafe_b64encode(hashlib.sha256(access.encode()).digest()[:16]).rstrip(b"=").decode(),
            **grant.user,
        }
        if first and grant.nonce is not None:
            claims["nonce"] = grant.nonce
        shaped = self.id_token(claims)
        self.grants[access] = grant
        answer: dict[str, Any] = {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "id_token": shaped if isinstance(shaped, str) else self.sign(shaped),
        }
        if self.refreshes and (self.rotates or not grant.current):
            grant.current = secrets.token_urlsafe(24)
            self.grants[grant.current] = grant
            answer["refresh_token"] = grant.current
        return answer

    async def _introspect(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        if self.hold is not None:
            await self.hold.wait()
        grant = self.grants.get(form.get("token", ""))
        if grant is None or grant.revoked or grant.user.get("exp", self.now() + 1) <= self.now():
            return web.json_response({"active": False})
        return web.json_response({"active": True, **grant.user})

    async def _revoke(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        self.revocations.append(form.get("token", ""))
        if (grant := self.grants.get(form.get("token", ""))) is not None:
            grant.revoked = True
        return web.Response()

    async def _userinfo(self, request: web.Request) -> web.Response:
        grant = self.grants.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if grant is None or grant.revoked:
            raise web.HTTPUnauthorized
        return web.json_response({**grant.user, "email": f"{grant.user['sub']}@example.com"})


class Jar:
    """Cookies, kept as a browser does for one host."""

    def __init__(self) -> None:
        self.cookies: dict[str, str] = {}

    def take(self, headers: MultiMapping[str]) -> None:
        """Do what an answer's ``Set-Cookie`` lines say."""
        for line in headers.getall("Set-Cookie", ()):
            pair, *attributes = (part.strip() for part in line.split(";"))
            name, _, value = pair.partition("=")
            if "Max-Age=0" in attributes:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value

    @property
    def header(self) -> str:
        """The value of ``Cookie``."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())


def _refused(code: str) -> web.Response:
    return web.json_response({"error": code}, status=400)


@contextlib.asynccontextmanager
async def provider(**attributes: Any) -> AsyncIterator[Provider]:
    """A provider on a free port."""
    made = Provider(**attributes)
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", made.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address: Any = runner.addresses[0]
        made.url = f"http://{address[0]}:{address[1]}{made.path}"
        yield made
    finally:
        await runner.cleanup()
