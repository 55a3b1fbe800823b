"""Lets in whoever brings a JSON Web Token (RFC 7519) of an issuer that is trusted here.

A token is judged once: its signature by a key of the issuer that its `iss` names, with an algorithm that this issuer is
known to use, then its claims. It is remembered until it expires or its key is withdrawn; meeting it again is a look-up.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

from gateway.errors import GatewayError, Unauthorized
from gateway.http import Principal, Request, ReservedFields
from gateway.plugin import Authenticator, Context, Scope
from plugins.jwt.claims import Unacceptable, check, header_value, principal_of
from plugins.jwt.keys import FAMILIES, Key
from plugins.jwt.places import Ambiguous, take_out, token_of
from plugins.jwt.settings import Issuer, JwtSettings
from plugins.jwt.source import Keys, KeysUnavailable
from plugins.jwt.token import Malformed, Token, parse

__all__ = ["Ambiguous", "InvalidToken", "Jwt", "JwtSettings", "KeysUnavailable"]

PATIENCE: Final = 3.0
"""Seconds that a start waits for the first keys."""
MEAN_SIZE: Final = 4096
"""Characters a remembered token may have on average; with longer ones fewer are remembered."""


class InvalidToken(Unauthorized):
    """The token does not hold here: forged, of another issuer, for another audience, expired (RFC 6750 §3.1)."""

    code, title = "invalid_token", "Invalid token"


class _Known:
    """A token that was verified."""

    __slots__ = ("dress", "key", "principal", "until")

    def __init__(self, principal: Principal, until: float, key: Key, dress: Sequence[tuple[str, str]]) -> None:
        self.principal = principal
        self.until = until
        """Seconds since 1970."""
        self.key = key
        self.dress = dress
        """Header fields for the target."""


class _Remembered:
    """Verified tokens, the least recently met dropped first; bounded in number and in size."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._room = most * MEAN_SIZE
        self._by_text: OrderedDict[str, _Known] = OrderedDict()
        self.get = self._by_text.get
        self.met = self._by_text.move_to_end

    def __len__(self) -> int:
        return len(self._by_text)

    def add(self, text: str, known: _Known) -> None:
        if len(text) > self._room or text in self._by_text:
            return
        self._by_text[text] = known
        self._room -= len(text)
        while len(self._by_text) > self._most or self._room < 0:
            self._room += len(self._by_text.popitem(last=False)[0])

    def drop(self, text: str) -> None:
        if self._by_text.pop(text, None) is not None:
            self._room += len(text)

    def forget(self, keys: frozenset[Key]) -> None:
        """Drop what one of these keys signed."""
        for text in [text for text, known in self._by_text.items() if known.key in keys]:
            self.drop(text)


class Jwt(Authenticator[JwtSettings]):
    scope = Scope.NONE  # keys and remembered tokens may differ between workers for seconds, and both stay right

    def __init__(self, settings: JwtSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._remembered = _Remembered(settings.remember)
        self._issuers: dict[str, tuple[Issuer, Keys]] = {
            each.issuer: (each, Keys(each, context, self._remembered.forget)) for each in settings.issuers
        }
        self._header = settings.from_.header
        self._only_header = settings.from_.cookie is None and settings.from_.query is None
        self._ours = ReservedFields(settings.claims_to_headers) if settings.claims_to_headers else None
        self._adorns = settings.hide or bool(settings.claims_to_headers)
        self._time = context.clock.time
        realm = settings.realm or context.route
        self._challenge = f'Bearer realm="{realm}"'
        tokens = context.metrics.counter(
            "jwt_tokens_total", "Tokens by what became of them.", ("route", "plugin", "outcome")
        )
        self._again, self._verified, self._refused = (
            tokens.child(context.route, context.id, outcome) for outcome in ("remembered", "verified", "refused")
        )

    async def open(self) -> None:
        for rules, keys in self._issuers.values():
            self.context.report(f"jwt {rules.issuer}", keys.state)
        await asyncio.gather(*(keys.open(PATIENCE) for _, keys in self._issuers.values()))

    async def close(self) -> None:
        for _, keys in self._issuers.values():
            await keys.close()

    @classmethod
    def check(cls, settings: JwtSettings) -> Sequence[str]:
        found = []
        prefixes = [each.principal.prefix for each in settings.issuers]
        if len(set(prefixes)) != len(prefixes):
            found.append(
                "several issuers without a `principal.prefix` of their own: the same `sub` of two issuers is taken for"
                " the same caller"
            )
        for each in settings.issuers:
            urls = [each.jwks.url if each.jwks is not None else None]
            if each.discovery is not False:
                urls.append(each.issuer if each.discovery is True else each.discovery)
            if any(url is not None and _is_open(url) for url in urls):
                found.append(f"keys of {each.issuer} are fetched without TLS: whoever is on the way can replace them")
        return found

    def challenge(self) -> str:
        return self._challenge

    def cleanse(self, request: Request) -> None:
        """What the target will believe of the caller comes from here or from nowhere."""
        if self._ours is not None:
            self._ours.take_out(request)

    async def authenticate(self, request: Request) -> Principal | None:
        text: str | None = None
        if self._only_header:
            lines = request.headers.getall(self._header, ())  # type: ignore[arg-type]
            if len(lines) == 1:
                text = lines[0]
                known = self._remembered.get(text)
                if known is not None and self._time() < known.until:
                    self._again.value += 1
                    self._remembered.met(text)
                    return self._adorn(request, known) if self._adorns else known.principal
        return await self._judge(request, text)

    async def _judge(self, request: Request, remember_as: str | None) -> Principal | None:
        """``remember_as`` is the whole field where the token stands in one; otherwise the token is."""
        try:
            token = token_of(request, self.settings.from_)
            if token is None:
                return None
            name = remember_as if remember_as is not None else token
            known = self._remembered.get(name)
            if known is not None and self._time() < known.until:
                self._again.value += 1
            else:
                self._remembered.drop(name)
                known = await self._verify(token)
                self._remembered.add(name, known)
                self._verified.value += 1
        except GatewayError as error:
            self._refused.value += 1
            if isinstance(error, Ambiguous):
                error.headers = (("WWW-Authenticate", f'{self._challenge}, error="invalid_request"'),)
            raise
        return self._adorn(request, known)

    async def _verify(self, text: str) -> _Known:
        """Raises InvalidToken, KeysUnavailable."""
        if len(text) > self.settings.max_size:
            raise self._invalid("longer than max_size")
        try:
            token = parse(text)
        except Malformed as error:
            raise self._invalid(str(error)) from None
        name = token.claims.get("iss")
        rules, keys = self._issuers.get(name, (None, None)) if isinstance(name, str) else (None, None)
        if rules is None or keys is None:
            raise self._invalid("iss is nobody who is trusted here")
        if token.algorithm not in rules.algorithms:
            family = "" if token.algorithm in FAMILIES else ", nor is it known"
            raise self._invalid(f"alg is not one that the issuer uses{family}")
        key = await self._signer(token, keys)
        try:
            until = check(token, rules, self._time())
            principal = principal_of(token.claims, rules.principal)
        except Unacceptable as error:
            raise self._invalid(str(error), expired=error.expired) from None
        return _Known(principal, until, key, self._dress(token.claims))

    async def _signer(self, token: Token, keys: Keys) -> Key:
        candidates = await keys.find(token.kid, token.algorithm)
        for key in candidates:
            if key.verifies(token.algorithm, token.signed, token.signature):
                return key
        raise self._invalid("the signature does not hold" if candidates else "no key of this kid and alg")

    def _dress(self, claims: dict[str, Any]) -> Sequence[tuple[str, str]]:
        named = self.settings.claims_to_headers.items()
        found = ((name, header_value(claims, paths)) for name, paths in named)
        return [(name, value) for name, value in found if value is not None]

    def _adorn(self, request: Request, known: _Known) -> Principal:
        if self.settings.hide:
            take_out(request, self.settings.from_)
        if known.dress:
            headers = request.edit_headers()
            for name, value in known.dress:
                headers[name] = value
        return known.principal

    def _invalid(self, reason: str, *, expired: bool = False) -> InvalidToken:
        # Of all that may be wrong only the end of its time is the sender's business; the rest helps who forges.
        said = "The token has expired" if expired else "The token is not valid here"
        challenge = f'{self._challenge}, error="invalid_token", error_description="{said}"'
        return InvalidToken(f"{said}.", reason=reason, headers=(("WWW-Authenticate", challenge),))


def _is_open(url: str) -> bool:
    host = url.removeprefix("http://").partition("/")[0].rpartition("@")[2]
    local = host.startswith(("localhost", "127.", "[::1]"))
    return url.startswith("http://") and not local
