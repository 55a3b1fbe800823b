"""Lets through only webhooks that their provider signed, and each event once.

Presets for the providers are data (see the table); any other scheme can be written in the same words. The signature is
checked on the bytes as they came. An event id is remembered once its exchange ended in 2xx: after that it is
acknowledged and goes no further, before that every try of the sender goes through. Why a request was refused stands in
the access log; the sender only hears 401. Handshakes of providers are answered here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from gateway.errors import GatewayError, KeysUnavailable, PayloadTooLarge, Source, StoreUnavailable
from gateway.http import Exchange, Handler, Principal, Request, Response
from gateway.http.event import Event, note_event
from gateway.plugin import Command, Context, Plugin, Scope, Stage
from gateway.services.store import Degrading, KeyPrefix, MemoryStore
from plugins.webhook_signature.command import COMMAND
from plugins.webhook_signature.fetched import FetchedKeys
from plugins.webhook_signature.handshake import Handshake, answered
from plugins.webhook_signature.replay import DELIVERED, Claim, Memory
from plugins.webhook_signature.settings import WebhookSignatureSettings, doubts
from plugins.webhook_signature.table import table
from plugins.webhook_signature.verifier import Keys, Unverified, Verified, Verifier, Why

__all__ = ["WebhookSignature", "WebhookSignatureSettings"]

OUTCOMES: Final = (
    "verified",
    "replayed",
    "in_flight",
    "handshake",
    *Why,
    "too_large",
    "without_keys",
    "without_store",
)


class WebhookUnverified(GatewayError):
    """A webhook without a signature that holds: the access log's `reason` says what is wrong with it."""

    code, status, title, source = "webhook_unverified", 401, "Unauthorized", Source.POLICY


class WebhookInFlight(GatewayError):
    """The same event is being delivered at this moment; the sender may come again to learn how it went."""

    code, status, title, source = "webhook_in_flight", 503, "Event being delivered", Source.POLICY


_CHALLENGE: Final = (("WWW-Authenticate", "Webhook-Signature"),)
_AGAIN: Final = (("Retry-After", "5"),)


class WebhookSignature(Plugin[WebhookSignatureSettings]):
    stage = Stage.VERIFY
    refuses = True
    buffers_body = True
    scope = Scope.FLEET
    exact = True

    def __init__(self, settings: WebhookSignatureSettings, context: Context) -> None:
        super().__init__(settings, context)
        scheme = settings.effective()
        self._provider = settings.provider or context.id
        self._principal = Principal(f"webhook:{self._provider}")
        self._verifier = Verifier(scheme, public=settings.url, values=settings.values)
        self._keys: Keys = settings.keys()
        self._fetched = None if self._keys else FetchedKeys(scheme, context, settings.credentials)
        self._handshakes = [Handshake(each) for each in scheme.challenges] if settings.handshakes else []
        self._prefix = KeyPrefix("webhook_signature", context.route, context.id)
        self._by_body = settings.replay is not None and settings.replay.by_body
        self._memory: Memory | None = None
        family = context.metrics.counter(
            "webhook_requests_total", "Webhooks by what became of their verification.", ("route", "plugin", "outcome")
        )
        self._counts = {str(name): family.child(context.route, context.id, str(name)) for name in OUTCOMES}
        self._verified = self._counts["verified"]

    @classmethod
    def check(cls, settings: WebhookSignatureSettings) -> Sequence[str]:
        return doubts(settings)

    @classmethod
    def scope_of(cls, settings: WebhookSignatureSettings) -> Scope:
        return Scope.NONE if settings.replay is None else cls.scope

    @classmethod
    def reference(cls) -> str:
        return table()

    @classmethod
    def commands(cls) -> Sequence[Command]:
        return (COMMAND,)

    async def open(self) -> None:
        replay = self.settings.replay
        if replay is None:
            return
        store = self.context.store()
        if isinstance(store, MemoryStore) and self.context.ports.workers * self.context.ports.replicas > 1:
            # `gateway check` says so before; two workers must not each deliver an event.
            raise RuntimeError("event ids must be one for all workers and replicas: name a Redis in `stores.shared`")
        degrading = Degrading(store, replay.on_store_error)
        self._memory = Memory(self.context, degrading, ttl=replay.ttl, lease=replay.lease)

    async def close(self) -> None:
        if self._memory is not None:
            await self._memory.close()

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        try:
            body = await request.body.read(self.settings.max_body)
        except PayloadTooLarge as error:
            self._refuse("too_large", error)
            return await proceed(request)
        if self._handshakes and not self.shadow:
            first = self._keys[0] if self._keys else None
            found = answered(self._handshakes, self._verifier.look(request, body), first, verified=False)  # type: ignore[arg-type]
            if found is not None:
                return self._shaken(found)
        try:
            keys = self._keys if self._fetched is None else await self._fetched.find(request)
            verified = self._verifier.verify(request, body, self.context.clock.time(), keys)
        except Unverified as error:
            self._refuse(error.why, WebhookUnverified(reason=f"{error.why}: {error}", headers=_CHALLENGE))
            return await proceed(request)
        except KeysUnavailable as error:
            self._refuse("without_keys", error)
            return await proceed(request)
        return await self._accepted(request, proceed, body, verified)

    # -- a webhook whose signature holds -----------------------------------------------------------------------

    async def _accepted(self, request: Request, proceed: Handler, body: bytes, verified: Verified) -> Response:
        if self._handshakes and not self.shadow:
            found = answered(self._handshakes, self._verifier.look(request, body), verified.key, verified=True)
            if found is not None:
                return self._shaken(found)
        if request.principal is None:
            request.principal = self._principal
        note_event(request, Event(self._provider, verified.id, verified.time))
        subject = verified.id
        if subject is None and self._by_body:
            subject = "body:" + hashlib.sha256(body).hexdigest()
        if self._memory is None or subject is None:
            self._verified.value += 1
            return await proceed(request)
        return await self._once(request, proceed, self._memory, self._prefix.key(subject))

    async def _once(self, request: Request, proceed: Handler, memory: Memory, key: bytes) -> Response:
        try:
            claim = await memory.begin(key)
        except StoreUnavailable as error:
            self._refuse("without_store", error)
            return await proceed(request)
        if claim == DELIVERED:
            return await self._replayed(request, proceed)
        if claim is None or isinstance(claim, bytes):
            if claim is not None:
                reason = "in_flight: the same event is being delivered"
                self._refuse("in_flight", WebhookInFlight(reason=reason, headers=_AGAIN))
            else:
                self._verified.value += 1
            return await proceed(request)
        self._verified.value += 1
        held: Claim = claim
        request.when_done(lambda exchange: _ended(memory, held, exchange))
        return await proceed(request)

    async def _replayed(self, request: Request, proceed: Handler) -> Response:
        self._counts["replayed"].value += 1
        self.context.log.info(
            "replay: an event on %s was delivered before and is %s",
            self.context.route,
            "acknowledged" if not self.shadow else "let through (shadow)",
            extra={"route": self.context.route, "plugin": self.context.id, "request_id": request.id},
        )
        replay = self.settings.replay
        if self.shadow or replay is None:
            return await proceed(request)
        return Response(replay.status)

    def _shaken(self, answer: Response) -> Response:
        self._counts["handshake"].value += 1
        return answer

    def _refuse(self, by: str, error: GatewayError) -> None:
        self._counts[by].value += 1
        self.refuse(error)


def _ended(memory: Memory, claim: Claim, exchange: Exchange) -> None:
    """The sender takes 2xx for delivered, and nothing else."""
    if 200 <= exchange.status < 300 and not exchange.aborted and exchange.error is None:
        memory.end(claim)
    else:
        memory.free(claim)
