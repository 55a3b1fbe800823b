"""Lets in whoever brings a token that its issuer, when asked, says is active (RFC 7662).

For opaque tokens, and for those that must be revocable at once. An answer is remembered until the token expires, no
longer than `max_age`; a refusal for a moment only. However many requests bring the same new token, one call is made.

| the endpoint | a token that is remembered | a new one |
|---|---|---|
| answers | passes | is asked about |
| is away | passes; with `on_error: remembered` even after `max_age`, until the token expires | 503 |
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from enum import StrEnum
from hashlib import blake2b
from typing import Annotated, Any, Final

from pydantic import Field, model_validator

from gateway.errors import GatewayError, Source
from gateway.http import Principal, Request, ReservedFields
from gateway.plugin import Authenticator, Context, Count, Duration, Endpoint, Off, Scope, Settings, Size
from gateway.plugin.bearer import Ambiguous, Places, ProtectedResource, Refusals, take_out, token_of
from gateway.plugin.field import FieldName
from gateway.plugin.identity import (
    PrincipalClaims,
    Several,
    Unacceptable,
    Wanted,
    dress,
    fits,
    mismatch,
    moment,
    principal_of,
)
from gateway.plugin.issuer import Url, in_the_open
from gateway.plugin.oauth import OAuthClient, ask

FAILURES: Final = 3
"""Calls that fail in a row before the endpoint is left alone for `pause`."""


class IntrospectionUnavailable(GatewayError):
    """The issuer could not be asked, so nobody can say whether the token is good."""

    code, status, title, source = "introspection_unavailable", 503, "Service unavailable", Source.POLICY


class OnError(StrEnum):
    """What becomes of a token while its issuer cannot be asked."""

    DENY = "deny"
    REMEMBERED = "remembered"


class Remembering(Settings):
    """How long answers hold."""

    max_age: Annotated[Duration | None, Off] = Field(
        default=300.0,
        gt=0,
        description="Longest time until a token is asked about again: how long one that was revoked may still be good. "
        "Off: until it expires; one that does not say when is then asked about each time.",
    )
    refused: Duration = Field(
        default=10.0, le=3600, description="How long it is remembered that a token is not active. 0 asks each time."
    )
    tokens: Count = Field(
        default=10_000, ge=1, le=1_000_000, description="Active tokens that are remembered, about 2 KB each."
    )


class IntrospectionSettings(Settings):
    """The issuer is asked as a client of its own, never with the caller's credentials."""

    endpoint: Url = Field(description="The introspection endpoint.")
    client: OAuthClient = Field(description="Who asks, and how it proves that.")
    issuer: str | None = Field(
        default=None, max_length=2048, description="What `iss` must be if the answer has one; unset: anything."
    )
    audience: Several = Field(
        default=(), description="`aud` must name one of these. Unset: the issuer is trusted to know whom it answers."
    )
    match: Mapping[str, Wanted] = Field(
        default={}, description="Further members that the answer must have, with one of these values."
    )
    from_: Places = Field(default=Places(), alias="from", description="Where tokens are looked for.")
    hide: bool = Field(default=False, description="Take the token out before the target sees it.")
    principal: PrincipalClaims = Field(
        default=PrincipalClaims(id=("sub", "username", "client_id")), description="The caller's description."
    )
    claims_to_headers: Mapping[FieldName, Several] = Field(
        default={},
        description="Fields to write for the target, each from a member of the answer. What clients send under these "
        "names is always taken out.",
    )
    realm: str | None = Field(
        default=None,
        max_length=128,
        pattern=r'^[^"\\\x00-\x1f\x7f]*$',
        description="Named in the challenge. The route's name if not given.",
    )
    resource: ProtectedResource | None = Field(
        default=None, description="Tell clients where tokens for this are to be had (RFC 9728)."
    )
    remember: Remembering = Field(default=Remembering(), description="How long answers hold.")
    on_error: OnError = Field(
        default=OnError.DENY,
        description="While the endpoint is away: `deny` answers 503 to all tokens that would be asked about; "
        "`remembered` lets those go on that were active when last asked about, until they expire. Nobody else is ever "
        "let in.",
    )
    timeout: Duration = Field(default=5.0, gt=0, le=60, description="For one call, whole.")
    pause: Duration = Field(
        default=1.0, le=60, description="How long the endpoint is left alone after three calls in a row that failed."
    )
    concurrency: Count = Field(
        default=100, ge=1, le=10_000, description="Calls under way at once; a token beyond gets 503."
    )
    leeway: Duration = Field(default=0.0, le=300, description="By how much clocks may differ.")
    max_size: Size = Field(default=16_384, ge=16, le=65_536, description="Longest token that is asked about.")

    @model_validator(mode="after")
    def _named(self) -> IntrospectionSettings:
        told = self.resource is None or not self.resource.serve or bool(self.resource.authorization_servers)
        if not told and (self.issuer is None or not self.issuer.startswith(("https://", "http://"))):
            raise ValueError("`resource.authorization_servers`, or an `issuer` that is a URL")
        return self


class _Known:
    """What was said of a token."""

    __slots__ = ("dress", "expires", "principal", "until")

    def __init__(
        self, principal: Principal | None, until: float, expires: float, fields: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.principal = principal
        """None: not active."""
        self.until = until
        """When to ask again, seconds since 1970."""
        self.expires = expires
        """When it is good no longer, whoever is away."""
        self.dress = fields


class _Memory:
    """Answers by the token's digest, the least recently met dropped first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_digest: OrderedDict[bytes, _Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_digest)

    def get(self, digest: bytes) -> _Known | None:
        known = self._by_digest.get(digest)
        if known is not None:
            self._by_digest.move_to_end(digest)
        return known

    def put(self, digest: bytes, known: _Known) -> None:
        self._by_digest[digest] = known
        self._by_digest.move_to_end(digest)
        while len(self._by_digest) > self._most:
            self._by_digest.popitem(last=False)

    def drop(self, digest: bytes) -> None:
        self._by_digest.pop(digest, None)


class Introspection(Authenticator[IntrospectionSettings]):
    scope = Scope.NONE  # what workers remember may differ for max_age, as it may from what the issuer knows

    def __init__(self, settings: IntrospectionSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._active = _Memory(settings.remember.tokens)
        # Apart: who invents tokens must not push out those that are good.
        self._inactive = _Memory(settings.remember.tokens)
        self._asking: dict[bytes, asyncio.Task[_Known]] = {}
        self._salt = os.urandom(16)
        self._failed = 0
        self._error = ""
        self._until = -1e9
        """When to ask again after failures, on the clock."""
        self._ours = ReservedFields(settings.claims_to_headers) if settings.claims_to_headers else None
        self._refusals = Refusals(settings.realm or context.route, settings.resource)
        self._time = context.clock.time
        tokens = context.metrics.counter(
            "introspection_tokens_total", "Tokens by what became of them.", ("route", "plugin", "outcome")
        )
        self._again, self._good, self._bad, self._unknown = (
            tokens.child(context.route, context.id, outcome)
            for outcome in ("remembered", "active", "refused", "unavailable")
        )

    async def open(self) -> None:
        self.context.report(f"introspection {self.settings.endpoint}", self.state)

    async def close(self) -> None:
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def state(self) -> dict[str, Any]:
        """For operators."""
        found = {"endpoint": self.settings.endpoint, "ok": not self._error, "remembered": len(self._active)}
        return {**found, "error": self._error} if self._error else found

    def endpoints(self) -> Sequence[Endpoint]:
        resource = self.settings.resource
        if resource is None or not resource.serve:
            return ()
        return (resource.endpoint([self.settings.issuer or ""], self.settings.from_),)

    @classmethod
    def check(cls, settings: IntrospectionSettings) -> Sequence[str]:
        if in_the_open(settings.endpoint):
            return [f"{settings.endpoint} is asked without TLS: whoever is on the way reads tokens and answers for it"]
        return ()

    def challenge(self) -> str:
        return self._refusals.challenge

    def cleanse(self, request: Request) -> None:
        if self._ours is not None:
            self._ours.take_out(request)

    async def authenticate(self, request: Request) -> Principal | None:
        try:
            token = token_of(request, self.settings.from_)
        except Ambiguous as error:
            raise self._refusals.ambiguous(error) from None
        if token is None:
            return None
        if len(token) > self.settings.max_size:
            self._bad.value += 1
            raise self._refusals.invalid("longer than max_size")
        # Not the token: memory is read by more than those who may act for its owner (dumps, swap).
        digest = blake2b(token.encode("utf-8", "surrogateescape"), digest_size=24, key=self._salt).digest()
        known = self._remembered(digest)
        if known is not None:
            self._again.value += 1
        else:
            known = await self._fresh(digest, token)
        if known.principal is None:
            self._bad.value += 1
            raise self._refusals.invalid("not active, or not for us")
        self._adorn(request, known)
        return known.principal

    def _remembered(self, digest: bytes) -> _Known | None:
        known, now = self._active.get(digest) or self._inactive.get(digest), self._time()
        return known if known is not None and now < known.until else None

    def _adorn(self, request: Request, known: _Known) -> None:
        if self.settings.hide:
            take_out(request, self.settings.from_)
        if known.dress:
            headers = request.edit_headers()
            for name, value in known.dress:
                headers[name] = value

    # -- asking --------------------------------------------------------------------------------------------------------

    async def _fresh(self, digest: bytes, token: str) -> _Known:
        """What the issuer says now, asked once for all who wait. Raises IntrospectionUnavailable."""
        task = self._asking.get(digest)
        try:
            if task is None:
                task = self._begin(digest, token)
            return await asyncio.shield(task)  # a client that leaves does not end it for the others
        except IntrospectionUnavailable as error:
            old = self._active.get(digest)
            if self.settings.on_error is OnError.REMEMBERED and old is not None and self._time() < old.expires:
                self._again.value += 1
                return old
            self._unknown.value += 1
            raise IntrospectionUnavailable(reason=error.reason, headers=error.headers) from None

    def _begin(self, digest: bytes, token: str) -> asyncio.Task[_Known]:
        if self.context.clock.now() < self._until:
            raise _unavailable(f"left alone for a moment: {self._error}")
        if len(self._asking) >= self.settings.concurrency:
            raise _unavailable("too many calls are under way")
        task = asyncio.get_running_loop().create_task(self._ask(digest, token), name="introspection")
        self._asking[digest] = task
        task.add_done_callback(lambda ended: self._ended(digest, ended))
        return task

    def _ended(self, digest: bytes, task: asyncio.Task[_Known]) -> None:
        self._asking.pop(digest, None)
        if not task.cancelled():
            task.exception()  # seen, even if all who waited have left

    async def _ask(self, digest: bytes, token: str) -> _Known:
        settings = self.settings
        try:
            fields = {"token": token, "token_type_hint": "access_token"}
            reply = await ask(
                self.context.client(), settings.endpoint, settings.client, fields, timeout=settings.timeout
            )
        except GatewayError as error:
            raise self._failure(error.reason) from None
        if reply.status == 400:
            # Of this token only (some endpoints say so of what is no token of theirs): no sign that it is away.
            self.context.log.debug("introspection at %s: 400 (%s)", settings.endpoint, reply.error or "no code")
            raise _unavailable("the endpoint answered 400")
        active = reply.document.get("active")
        if reply.status != 200 or not isinstance(active, bool):
            said = f" ({reply.error})" if reply.error else ""
            raise self._failure(f"the endpoint answered {reply.status}{said}, and not whether the token is active")
        self._failed, self._error = 0, ""
        known = self._judged(reply.document) if active else self._refused()
        good, other = (self._active, self._inactive) if known.principal is not None else (self._inactive, self._active)
        other.drop(digest)
        good.put(digest, known)
        if known.principal is not None:
            self._good.value += 1
        return known

    def _failure(self, why: str) -> IntrospectionUnavailable:
        self._failed += 1
        if self._failed >= FAILURES:
            self._until = self.context.clock.now() + self.settings.pause
        if why != self._error:  # once, not for every request
            self.context.log.warning("introspection at %s: %s", self.settings.endpoint, why)
        self._error = why
        return _unavailable(why)

    def _refused(self) -> _Known:
        until = self._time() + self.settings.remember.refused
        return _Known(None, until, until)

    def _judged(self, claims: Mapping[str, Any]) -> _Known:
        """What an active token is worth here."""
        settings, now = self.settings, self._time()
        try:
            expires = moment(claims, "exp")
            begins = moment(claims, "nbf")
            if expires is not None and now >= expires + settings.leeway:
                raise Unacceptable("expired")
            if begins is not None and now < begins - settings.leeway:
                raise Unacceptable("not valid yet (nbf)")
            if settings.issuer is not None and claims.get("iss", settings.issuer) != settings.issuer:
                raise Unacceptable("of another issuer")
            if settings.audience and not fits(claims.get("aud"), settings.audience):
                raise Unacceptable("aud names somebody else, or nobody")
            if (path := mismatch(claims, settings.match)) is not None:
                raise Unacceptable(f"{path} does not match")
            principal = principal_of(claims, settings.principal)
        except Unacceptable as error:
            self.context.log.debug("a token that is active and not taken here: %s", error)
            return self._refused()
        longest = settings.remember.max_age
        end = now + (longest or 0.0) if expires is None else expires + settings.leeway
        until = end if longest is None else min(end, now + longest)
        return _Known(principal, until, end, dress(claims, settings.claims_to_headers))


def _unavailable(why: str) -> IntrospectionUnavailable:
    return IntrospectionUnavailable(reason=why, headers=(("Retry-After", "1"),))
