"""Lets in whoever brings a JSON Web Token (RFC 7519) of an issuer that is trusted here.

A token is judged once: its signature by a key of the issuer that its `iss` names, with an algorithm that this issuer is
known to use, then its claims. It is remembered until it expires or its key is withdrawn; meeting it again is a look-up.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from gateway.errors import GatewayError
from gateway.http import Principal, Request, ReservedFields
from gateway.plugin import Authenticator, Command, Context, Endpoint, Scope
from gateway.plugin.bearer import Ambiguous, Refusals, take_out, token_of
from gateway.plugin.identity import Unacceptable, dress, principal_of
from gateway.plugin.issuer import in_the_open
from gateway.services.jose.keys import Key, KeySet
from gateway.services.jose.source import IssuerKeys, Unverified
from gateway.services.jose.token import Malformed, parse
from plugins.jwt.claims import check
from plugins.jwt.command import COMMAND
from plugins.jwt.settings import Issuer, JwtSettings

__all__ = ["Jwt", "JwtSettings"]

PATIENCE: Final = 3.0
"""Seconds that a start waits for the first keys."""
MEAN_SIZE: Final = 4096
"""Characters a remembered token may have on average; with longer ones fewer are remembered."""


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
        self._keys = context.metrics.gauge(
            "jwt_keys", "Keys of an issuer that can be used now.", ("route", "plugin", "issuer"), rule="max"
        )
        self._issuers = {each.issuer: (each, self._keys_of(each)) for each in settings.issuers}
        self._header = settings.from_.header
        self._only_header = settings.from_.cookie is None and settings.from_.query is None
        self._ours = ReservedFields(settings.claims_to_headers) if settings.claims_to_headers else None
        self._adorns = settings.hide or bool(settings.claims_to_headers)
        self._time = context.clock.time
        self._refusals = Refusals(settings.realm or context.route, settings.resource)
        tokens = context.metrics.counter(
            "jwt_tokens_total", "Tokens by what became of them.", ("route", "plugin", "outcome")
        )
        self._again, self._verified, self._refused = (
            tokens.child(context.route, context.id, outcome) for outcome in ("remembered", "verified", "refused")
        )

    def _keys_of(self, rules: Issuer) -> IssuerKeys:
        count = self._keys.child(self.context.route, self.context.id, rules.issuer)

        def changed(made: KeySet, gone: frozenset[Key]) -> None:
            count.set(len(made.keys))
            if gone:
                self._remembered.forget(gone)

        static = rules.static_keys()
        count.set(len(static.keys) if static is not None else 0)
        return IssuerKeys(
            self.context,
            rules.issuer,
            rules.algorithms,
            rules.fetch,
            static=static,
            jwks=rules.jwks.url if rules.jwks is not None else None,
            discovery=rules.discovery if isinstance(rules.discovery, str) else None,
            changed=changed,
        )

    async def open(self) -> None:
        for rules, keys in self._issuers.values():
            self.context.report(f"jwt {rules.issuer}", keys.state)
        await asyncio.gather(*(keys.open(PATIENCE) for _, keys in self._issuers.values()))

    async def close(self) -> None:
        for _, keys in self._issuers.values():
            await keys.close()

    def endpoints(self) -> Sequence[Endpoint]:
        resource = self.settings.resource
        if resource is None or not resource.serve:
            return ()
        return (resource.endpoint(list(self._issuers), self.settings.from_),)

    @classmethod
    def commands(cls) -> Sequence[Command]:
        return (COMMAND,)

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
            if any(url is not None and in_the_open(url) for url in urls):
                found.append(f"keys of {each.issuer} are fetched without TLS: whoever is on the way can replace them")
        return found

    def challenge(self) -> str:
        return self._refusals.challenge

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
                self._refusals.ambiguous(error)
            raise
        return self._adorn(request, known)

    async def _verify(self, text: str) -> _Known:
        """Raises InvalidToken, KeysUnavailable."""
        invalid = self._refusals.invalid
        if len(text) > self.settings.max_size:
            raise invalid("longer than max_size")
        try:
            token = parse(text)
        except Malformed as error:
            raise invalid(str(error)) from None
        name = token.claims.get("iss")
        rules, keys = self._issuers.get(name, (None, None)) if isinstance(name, str) else (None, None)
        if rules is None or keys is None:
            raise invalid("iss is nobody who is trusted here")
        try:
            key = await keys.verify(token)
            until = check(token, rules, self._time())
            principal = principal_of(token.claims, rules.principal)
        except Unverified as error:
            raise invalid(str(error)) from None
        except Unacceptable as error:
            raise invalid(str(error), expired=error.expired) from None
        return _Known(principal, until, key, dress(token.claims, self.settings.claims_to_headers))

    def _adorn(self, request: Request, known: _Known) -> Principal:
        if self.settings.hide:
            take_out(request, self.settings.from_)
        if known.dress:
            headers = request.edit_headers()
            for name, value in known.dress:
                headers[name] = value
        return known.principal
