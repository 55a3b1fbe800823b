"""Carries out a request with an `Idempotency-Key` once: a repetition gets the first one's answer.

Follows draft-ietf-httpapi-idempotency-key-header: 400 without a key where one is required, 409 while the first request
is under way, 422 for another request under the same key. The request goes on when its client leaves, so that the
outcome is there when the client comes back for it. What failed before a byte was sent frees the key; what the target
may have acted on is remembered, and is not tried a second time unless the operator says that this is safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from gateway.errors import Draining, GatewayError, PayloadTooLarge, Retry, Source, StoreUnavailable, TotalTimeout
from gateway.http import Handler, Request, Response
from gateway.http.fields import KINDS, Kind
from gateway.plugin import Context, Plugin, Scope, Stage
from gateway.services.seal import Seal
from gateway.services.store import Degrading, KeyPrefix, MemoryStore
from plugins.idempotency.error import AnswerNotKept, KeyInFlight, KeyInvalid, KeyMissing, KeyReused, OutcomeUnknown
from plugins.idempotency.keeper import Claim, Keeper
from plugins.idempotency.key import caller_of, fingerprint, parse_key, subject, whose
from plugins.idempotency.record import (
    DONE,
    IN_FLIGHT,
    UNKEPT,
    UNKNOWN,
    Answer,
    pack_answer,
    split,
    unpack_answer,
)
from plugins.idempotency.settings import IdempotencySettings, doubts

__all__ = ["Idempotency", "IdempotencySettings"]

OUTCOMES: Final = (
    "new",
    "replayed",
    "in_flight",
    "reused",
    "missing",
    "invalid",
    "unknown",
    "not_kept",
    "too_large",
    "without_key",
    "without_store",
)
_NEVER_KEPT: Final = frozenset(
    {Kind.HOP, Kind.CONNECTION, Kind.CONTENT_LENGTH, Kind.TRANSFER_ENCODING, Kind.UPGRADE, Kind.TRAILER, Kind.DATE}
)


class Idempotency(Plugin[IdempotencySettings]):
    stage = Stage.RECOVER  # behind authentication and limits, inside `compression`: what is kept is not compressed
    refuses = True
    buffers_body = True
    scope = Scope.FLEET
    exact = True

    def __init__(self, settings: IdempotencySettings, context: Context) -> None:
        super().__init__(settings, context)
        self._prefix = KeyPrefix("idempotency", context.route, context.id)
        self._methods = frozenset(settings.methods)
        self._caller = caller_of(settings.caller)
        self._kept = settings.kept()
        self._dropped = frozenset(name.lower().encode() for name in (*settings.drop, "Idempotent-Replayed"))
        secrets = [each.get_secret_value() for each in settings.secrets]
        self._seal = Seal(secrets) if secrets else None
        self._keeper: Keeper | None = None
        family = context.metrics.counter(
            "idempotency_requests_total",
            "Requests that a key could protect, by what it did.",
            ("route", "plugin", "outcome"),
        )
        self._counts = {name: family.child(context.route, context.id, name) for name in OUTCOMES}

    @classmethod
    def check(cls, settings: IdempotencySettings) -> Sequence[str]:
        return doubts(settings)

    async def open(self) -> None:
        store = self.context.store()
        if isinstance(store, MemoryStore) and self.context.ports.workers * self.context.ports.replicas > 1:
            # `gateway check` says so before; a worker must not begin to carry things out twice.
            raise RuntimeError("keys must be one for all workers and replicas: name a Redis in `stores.shared`")
        degrading = Degrading(store, self.settings.on_store_error)
        self._keeper = Keeper(self.settings, self.context, degrading)

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.close()

    async def erase(self, subject: str) -> int:
        return await self._keep.erase(self._prefix.beginning(whose(subject)))

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        if request.method not in self._methods or request.upgrade:
            return await proceed(request)
        key = self._key(request)
        if key is None:
            return await proceed(request)
        try:
            body = await request.body.read(self.settings.max_body)
        except PayloadTooLarge as error:
            self._count("too_large")
            self.refuse(error)
            return await proceed(request)
        owner = subject(self._caller(request), key)
        mark = fingerprint(request, body, self.settings.fingerprint, owner)
        principal = request.principal
        kept_under = whose(principal.id) + owner if principal is not None else owner
        claim = Claim(self._prefix.key(kept_under), mark, self.context.clock.now())
        if self.settings.backend_honours_key:
            request.repeatable = True
        try:
            held = await self._keep.begin(claim)
        except StoreUnavailable as error:
            self._let_go(claim)
            self._count("without_store")
            self.refuse(error)
            return await proceed(request)
        except asyncio.CancelledError:  # the client has left, and nothing was sent
            self._let_go(claim)
            raise
        if held is None:
            self._let_go(claim)
            self._count("without_store")
            return await proceed(request)
        if held:
            return self._known(held, mark) or await proceed(request)
        self._count("new")
        return await self._first(request, proceed, claim)

    # -- the key -----------------------------------------------------------------------------------------------

    def _key(self, request: Request) -> str | None:
        settings = self.settings
        lines = request.headers.getall(settings.header, ())
        if not lines:
            if settings.required:
                self._count("missing")
                self.refuse(KeyMissing(f"Send {settings.header} with this request."))
            else:
                self._count("without_key")
            return None
        try:
            return parse_key(lines, bare=settings.bare_keys, longest=settings.max_key)
        except ValueError as error:
            self._count("invalid")
            self.refuse(KeyInvalid(str(error)))
            return None

    def _known(self, held: bytes, mark: bytes) -> Response | None:
        """What a repetition gets; None if it is to go on, which in shadow mode it always is."""
        kept = split(held)
        if kept.fingerprint != mark:
            self._count("reused")
            self.refuse(KeyReused("This key was used with another request."))
        elif kept.state == IN_FLIGHT:
            self._count("in_flight")
            self.refuse(KeyInFlight("Come back for the answer in a moment.", headers=(("Retry-After", "1"),)))
        elif kept.state == DONE and (answer := unpack_answer(kept.rest, self._seal)) is not None:
            self._count("replayed")
            return None if self.shadow else answer.response()
        elif kept.state == UNKNOWN:
            self._count("unknown")
            self.refuse(OutcomeUnknown("Find out whether it was carried out before you try again with another key."))
        else:
            self._count("not_kept")
            status = {"answered": int(kept.rest)} if kept.state == UNKEPT else None
            self.refuse(AnswerNotKept("It was carried out, and its answer is gone.", extensions=status))
        return None

    def _let_go(self, claim: Claim) -> None:
        """It is not known whether the store has taken it, and nobody waits."""
        _ = self.context.spawn(self._keep.free(claim), "idempotency: free a key")

    # -- the first request -------------------------------------------------------------------------------------

    async def _first(self, request: Request, proceed: Handler, claim: Claim) -> Response:
        """Carry it out in a task of its own, which goes on if the client leaves."""
        work = self.context.spawn(self._carry_out(request, proceed, claim), "idempotency: a first request")
        try:
            ended: Response | GatewayError = await asyncio.shield(work)
        except asyncio.CancelledError:
            if work.cancelled():
                raise Draining(reason="the gateway closed while the request was under way") from None
            work.add_done_callback(_discard)
            raise
        if isinstance(ended, GatewayError):
            raise ended
        return ended

    async def _carry_out(self, request: Request, proceed: Handler, claim: Claim) -> Response | GatewayError:
        """The answer, or the error instead of one; by then the store knows how it ended."""

        async def onward(twin: Request) -> Response:
            try:
                return await proceed(twin)
            finally:  # for the log and metrics of the exchange
                request.target, request.attempts, request.upstream = twin.target, twin.attempts, twin.upstream

        response: Response | None = None
        state, rest = UNKNOWN, b""
        try:
            async with asyncio.timeout(self.settings.deadline):
                response = await self.context.detached(request, onward, self.settings.deadline)
                state, rest = await self._outcome(response)
        except TimeoutError:
            ended: Response | GatewayError = TotalTimeout(reason="the request went on for longer than `deadline`")
        except GatewayError as error:  # the answer's body broke off
            ended = error
        except BaseException:  # the gateway is closing
            await self._keep.end(claim, UNKNOWN)
            raise
        else:
            ended = response
        if ended is not response and response is not None:
            response.body.close()
        await (self._keep.end(claim, state, rest) if state else self._keep.free(claim))
        return ended

    async def _outcome(self, response: Response) -> tuple[bytes, bytes]:
        """The state to write down and what it has to say; no state: the key is free again.

        Raises the GatewayError that cuts the answer's body short.
        """
        error = response.error
        if error is not None:
            return (UNKNOWN if _perhaps_seen(error) else b""), b""
        if response.status not in self._kept:
            return (UNKNOWN if response.status in self.settings.unknown else b""), b""
        body = await self._held(response)
        if body is None:
            return UNKEPT, b"%d" % response.status
        kept = [(name, value) for name, value in response.fields if self._is_kept(name)]
        return DONE, pack_answer(Answer(response.status, kept, body), self._seal)

    async def _held(self, response: Response) -> bytes | None:
        """The answer's body, if it can be kept. An event stream is passed on as it comes."""
        if response.tunnel is not None:
            return None
        if response.body.whole is None and response.headers.get("Content-Type", "").startswith("text/event-stream"):
            return None
        try:
            return await response.body.read(self.settings.max_answer)
        except PayloadTooLarge:
            return None

    def _is_kept(self, name: bytes) -> bool:
        return KINDS[name] not in _NEVER_KEPT and name.lower() not in self._dropped

    @property
    def _keep(self) -> Keeper:
        assert self._keeper is not None, "it was opened"
        return self._keeper

    def _count(self, outcome: str) -> None:
        self._counts[outcome].value += 1


def _perhaps_seen(error: GatewayError) -> bool:
    """Whether the target may have acted on a request that ended so.

    A refusal inside, and what failed before a byte was sent, are none of that. Of a request that was tried several
    times the last attempt speaks: the forwarder goes on only after what was not sent, or may be sent twice.
    """
    return error.source in (Source.UPSTREAM, Source.INTERNAL) and error.retry is not Retry.IF_UNSENT


def _discard(work: asyncio.Task[Response | GatewayError]) -> None:
    """Nobody waits for the answer any more."""
    if not work.cancelled() and work.exception() is None and isinstance(ended := work.result(), Response):
        ended.body.close()
