"""Verifies signatures of requests, and signs what leaves: HTTP Message Signatures with digests (RFC 9421, RFC 9530).

In a route's list it says who calls (`verify`), and signs answers to clients (`answers`). In an upstream's `attempt`
list it signs requests to the target (`sign`), where path and host are those that go on the wire.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import http_sf

from gateway.errors import GatewayError, PayloadTooLarge, Unauthorized
from gateway.http import Handler, Principal, Request, Response
from gateway.plugin import Authenticator, Context, Scope, Stage
from gateway.services.store import Degrading, KeyPrefix, MemoryStore
from plugins.http_signature.component import Component, Unusable, View
from plugins.http_signature.digest import drop_stale, make_digest, matches
from plugins.http_signature.error import DigestMismatch, SignatureInvalid
from plugins.http_signature.key import Key
from plugins.http_signature.settings import HttpSignatureSettings, VerifySettings
from plugins.http_signature.signing import ANSWER, REQUEST, Signer
from plugins.http_signature.verifying import Rules, Signature, signatures_of, verify

__all__ = ["HttpSignature", "HttpSignatureSettings"]

_CONTENT_DIGEST = Component("content-digest")


class HttpSignature(Authenticator[HttpSignatureSettings]):
    stage = Stage.AUTHENTICATE
    on_attempt = True
    on_route = True
    buffers_body = True
    scope = Scope.FLEET

    def __init__(self, settings: HttpSignatureSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._verify = settings.verify
        self._rules = _rules(settings.verify) if settings.verify is not None else None
        self._structured = {name.lower(): kind for name, kind in settings.structured.items()}
        self._signer = Signer(settings.sign, REQUEST, self._structured) if settings.sign is not None else None
        self._answers = Signer(settings.answers, ANSWER, self._structured) if settings.answers is not None else None
        self._prefix = KeyPrefix("http_signature", context.route, context.id)
        self._nonces: Degrading | None = None
        self._time = context.clock.time
        self._accept = _accept(settings.verify) if settings.verify is not None else ""
        counts = context.metrics.counter(
            "http_signature_messages_total",
            "Messages by what became of their signature.",
            ("route", "plugin", "outcome"),
        )
        names = ("verified", "missing", "invalid", "replayed", "signed", "unsigned")
        self._counts = {name: counts.child(context.route, context.id, name) for name in names}

    @classmethod
    def alone(cls, settings: HttpSignatureSettings) -> str:
        return "answers" if settings.answers is not None else ""

    async def open(self) -> None:
        if self.context.on_attempt != (self.settings.sign is not None):
            raise ValueError("`sign` stands in an upstream's `attempt` list, `verify` and `answers` in a route's")
        if self._verify is not None and self._verify.nonce != "off":
            store, ports = self.context.store(), self.context.ports
            if isinstance(store, MemoryStore) and ports.workers * ports.replicas > 1:
                raise RuntimeError("nonces must be one for all workers and replicas: name a Redis in `stores.shared`")
            self._nonces = Degrading(store, self._verify.on_store_error)

    # -- requests of clients --------------------------------------------------------------------------------------

    def challenge(self) -> str:
        """No scheme is registered for signatures, and a 401 must have a challenge; `Accept-Signature` says the rest."""
        return "Signature"

    async def authenticate(self, request: Request) -> Principal | None:
        settings, rules = self._verify, self._rules
        if settings is None or rules is None:
            return None
        if "Signature-Input" not in request.headers and "Signature" not in request.headers:
            self._counts["missing"].value += 1
            return None
        try:
            return await self._known(request, settings, rules)
        except Unusable as error:
            self._counts["invalid"].value += 1
            raise self._invalid(str(error)) from None

    async def _known(self, request: Request, settings: VerifySettings, rules: Rules) -> Principal | None:
        """Raises Unusable, DigestMismatch, PayloadTooLarge, StoreUnavailable."""
        if await self._read_body(request, settings):
            rules = replace(rules, required=[*rules.required, _CONTENT_DIGEST])
        view = view_of(request)
        why: Unusable | None = None
        candidates = signatures_of(request.headers, self.settings.most, settings.tag)
        for signature in candidates:
            try:
                key = verify(signature, view, rules, self._time(), self._structured)
            except Unusable as error:
                why = error
                continue
            await self._once(signature, key, settings)
            self._counts["verified"].value += 1
            expires = signature.parameters.get("expires")
            claims = {"keyid": key.id, "alg": key.algorithm, "label": signature.label} | (
                {"tag": settings.tag} if settings.tag is not None else {}
            )
            return replace(key.principal, claims=claims, expires=float(expires) if expires is not None else None)
        raise why or Unusable("no signature that is meant for us")

    async def _read_body(self, request: Request, settings: VerifySettings) -> bool:
        """Verify the digests of a body; whether one must be covered.

        The digest comes first and the signature over it second: RFC 9530 §2 makes no order, and a body that is not read
        cannot be judged.
        """
        body = request.body
        there = bool(body.whole) or (body.whole is None and body.length != 0)
        names = ["Content-Digest", *(("Repr-Digest",) if request.method in ("POST", "PUT") else ())]
        given = {name: request.headers.getall(name, ()) for name in names}
        if not there and not any(given.values()):
            return False
        data = await body.read(settings.max_body)
        for name, lines in given.items():
            if not lines:
                continue
            found = matches(", ".join(lines), data)
            if found is False:
                raise DigestMismatch(f"{name} is not that of the body.")
            if found is None and name == "Content-Digest":
                raise Unusable("no digest by an algorithm that is taken")
        return bool(data) and settings.body == "required"

    async def _once(self, signature: Signature, key: Key, settings: VerifySettings) -> None:
        """A nonce is taken once, as long as its signature could hold. Raises Unusable, StoreUnavailable."""
        nonce = signature.parameters.get("nonce")
        if self._nonces is None or not nonce:
            return
        seen = hashlib.sha256(f"{len(key.id)}:{key.id}:{nonce}".encode()).hexdigest()
        lasts = settings.max_age + 2 * settings.skew + 1
        name = self._prefix.key(seen)
        outcome = await self._nonces.attempt(lambda store: store.set(name, b"1", ttl=lasts, if_absent=True))
        if outcome is not None and not outcome.result:
            self._counts["replayed"].value += 1
            raise Unusable("the nonce was there before")

    def _invalid(self, reason: str) -> SignatureInvalid:
        return SignatureInvalid(headers=self._asking(), reason=reason)

    def _asking(self) -> tuple[tuple[str, str], ...]:
        return ("WWW-Authenticate", self.challenge()), ("Accept-Signature", self._accept)

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        if self._signer is not None:
            try:
                await self._sign(self._signer, request)
            except PayloadTooLarge as error:
                self.refuse(error)
            return await proceed(request)
        if self._rules is not None:
            try:
                principal = await self.authenticate(request)
            except GatewayError as error:
                self.refuse(error)
            else:
                if principal is None:
                    self.refuse(Unauthorized(headers=self._asking(), reason="no signature"))
                else:
                    request.principal = principal
        if self._answers is None:
            return await proceed(request)
        asked = view_of(request)  # as it came: what is inside may change it
        response = await proceed(request)
        await self._sign_answer(self._answers, response, asked)
        return response

    # -- what leaves ----------------------------------------------------------------------------------------------

    async def _sign(self, signer: Signer, request: Request) -> None:
        """Sign a request to the target. Raises PayloadTooLarge for a body that is larger than what is held."""
        attempt = request.attempt
        headers = request.edit_headers()
        if signer.covers_body:
            data = await request.body.read(signer.settings.max_body)
            drop_stale(headers, data, whole=request.method in ("POST", "PUT"))
            if data:
                headers["Content-Digest"] = make_digest(data, signer.settings.digest)
        view = view_of(request)
        if attempt is not None:
            path, _, query = attempt.path.partition("?")
            scheme = attempt.target.partition("://")[0] if "://" in attempt.target else view.scheme
            view = replace(view, path=path, query=query, authority=attempt.host or view.authority, scheme=scheme)
        signer.sign(view, headers, self._time())
        self._counts["signed"].value += 1

    async def _sign_answer(self, signer: Signer, response: Response, asked: View) -> None:
        if response.tunnel is not None or response.status < 200:
            return
        headers = response.edit_headers()
        # HEAD and 304 speak of a body that is not there: what they say of it is the target's to say.
        bodiless = asked.method == "HEAD" or response.status in (204, 304)
        if signer.covers_body and not bodiless:
            try:
                data = await response.body.read(signer.settings.max_body)
            except PayloadTooLarge:
                self._counts["unsigned"].value += 1
                return
            drop_stale(headers, data, whole=response.status == 200)
            headers["Content-Digest"] = make_digest(data, signer.settings.digest)
        signer.sign(View(headers=headers, status=response.status, request=asked), headers, self._time())
        self._counts["signed"].value += 1


def view_of(request: Request) -> View:
    """A request of a client as its signatures see it. The path is in normal form (`gateway.http.path`)."""
    trailers = request.body.trailers if request.body.complete else None
    return View(
        request.headers, request.method, request.scheme, request.host, request.path, request.query, trailers=trailers
    )


def _rules(settings: VerifySettings) -> Rules:
    return Rules(
        settings.by_id(),
        settings.required(),
        settings.max_age,
        settings.skew,
        settings.tag,
        settings.require_expires,
        settings.nonce == "required",
    )


def _accept(settings: VerifySettings) -> str:
    """What is asked for (RFC 9421 §5.1): components, and parameters as flags."""
    parameters: dict[str, Any] = {"created": True}
    if settings.require_expires:
        parameters["expires"] = True
    if settings.nonce == "required":
        parameters["nonce"] = True
    if settings.tag is not None:
        parameters["tag"] = settings.tag
    components = [*settings.required(), *((_CONTENT_DIGEST,) if settings.body == "required" else ())]
    listed: list[Any] = [(each.name, dict(each.parameters)) for each in components]
    return str(http_sf.ser({"sig1": (listed, parameters)}))
