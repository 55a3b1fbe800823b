"""Keeps writes that could not be delivered, so that they can be delivered again when somebody says so.

For ordinary requests with somebody waiting: the client is told the truth, an error, and beside it under which
`Sidegate-Delivery-Id` its request is kept. It is a dead letter from the beginning: `gateway inbox replay` sends it
through what stands below, as it came, until the target takes it. What a client repeats by itself meanwhile is then done
twice, unless the target knows an `Idempotency-Key`; so nothing is delivered again without being asked for.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from gateway.errors import GatewayError, PayloadTooLarge, Retry, UpstreamError
from gateway.http import Body, Handler, Principal, Request, Response
from gateway.http.delivery import delivery_of
from gateway.plugin import Context, Count, Duration, Plugin, Size, Stage
from gateway.plugin.delivery import DELIVERY_ID, RESERVED, Deliverer, DeliverySettings
from gateway.plugin.field import FieldName
from gateway.plugin.settings import expected
from gateway.services.queue import Attempt, Draft, Queue, QueueError, State
from gateway.services.queue.message import clean, kept_of

METHODS: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
OUTCOMES: Final = ("kept", "duplicate", "lost", "too_large")
LABEL: Final = 200
"""Characters of what people find an item by."""


def _method(text: str) -> str:
    if text not in METHODS:
        raise expected(f"one of {', '.join(sorted(METHODS))}: any other changes nothing, and can be asked again")
    return text


class DeadLetterSettings(DeliverySettings):
    """What is kept, and how it is delivered once it is replayed. Payloads are encrypted if `queue.keys` are set."""

    methods: tuple[Annotated[str, AfterValidator(_method)], ...] = Field(
        default=("POST", "PUT", "PATCH", "DELETE"), min_length=1, description="Requests that are kept."
    )
    statuses: tuple[Annotated[Count, Field(ge=400, le=599)], ...] = Field(
        default=(502, 503, 504),
        description="The target's own answers after which a request is kept. No answer at all always is a reason: no "
        "connection, none in time, an open circuit, no target.",
    )
    max_body: Size = Field(
        default=1_000_000,
        gt=0,
        le=64_000_000,
        description="Largest body that is kept; it is held meanwhile. A larger one streams by, and cannot be kept.",
    )
    key: FieldName | None = Field(
        default="Idempotency-Key",
        description="By which field a client's repetition is known: of several that fail the first is kept. "
        "`null`: none.",
    )
    window: Duration = Field(default=86_400.0, gt=0, description="For how long after the first.")
    drop: tuple[FieldName, ...] = Field(
        default=("Authorization", "Cookie", "Proxy-Authorization", "X-API-Key"),
        description="Fields that are not kept: credentials have no place on a disk, and are stale by then.",
    )


class DeadLetter(Plugin[DeadLetterSettings]):
    stage = Stage.RECOVER
    recovers = True
    buffers_body = True
    durable = True

    def __init__(self, settings: DeadLetterSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._methods = frozenset(settings.methods)
        self._statuses = frozenset(settings.statuses)
        self._without = frozenset([name.lower() for name in settings.drop])
        self._queue: Queue | None = None
        self._deliverer = Deliverer(context, settings)
        family = context.metrics.counter(
            "dead_letter_requests_total",
            "Requests that could not be delivered: kept, kept before, lost as the queue failed, or too large to keep.",
            ("route", "plugin", "outcome"),
        )
        self._counts = {name: family.child(context.route, context.id, name) for name in OUTCOMES}

    @classmethod
    def check(cls, settings: DeadLetterSettings) -> Sequence[str]:
        held = {name.lower() for name in settings.drop}
        return [f"drop: {name} is kept on disk" for name in ("Authorization", "Cookie") if name.lower() not in held]

    async def open(self) -> None:
        self._queue = await self.context.queue()
        self._deliverer.open(self._queue)
        self.context.report("dead_letter", self._deliverer.snapshot)

    async def close(self) -> None:
        await self._deliverer.close()

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        # What another plugin delivers it keeps itself, and its fields are what the target knows it by.
        if request.method not in self._methods or request.upgrade or delivery_of(request) is not None:
            return await proceed(request)
        RESERVED.take_out(request)
        try:
            body: bytes | None = await request.body.read(self.settings.max_body)
        except PayloadTooLarge:
            body = None
        # What stands below may change the request; what is kept goes through all of that again.
        before = request.fork(body=Body(body)) if body is not None else None
        began = self.context.clock.now()
        try:
            response = await proceed(request)
        except GatewayError as error:
            if not isinstance(error, UpstreamError):
                raise
            known = await self._keep(before, request, self._attempt(began, 0, error))
            raise _naming(error, known) from error
        if response.status in self._statuses and response.tunnel is None:
            known = await self._keep(before, request, self._attempt(began, response.status))
            if known:
                response.edit_headers()[DELIVERY_ID] = known
        return response

    def _attempt(self, began: float, status: int, error: GatewayError | None = None) -> Attempt:
        clock = self.context.clock
        seconds = clock.now() - began
        told = error.reason if error is not None else ""
        # Whether the target may have acted on it decides whether a replay may do it twice.
        unsure = error is None or error.retry is not Retry.IF_UNSENT
        return Attempt(
            1,
            clock.time() - seconds,
            seconds,
            status,
            error.code if error is not None else "",
            self.context.masking.text(f"{told}; the target may have acted on it".lstrip("; ") if unsure else told),
        )

    async def _keep(self, before: Request | None, request: Request, attempt: Attempt) -> str:
        """The id under which it is kept; empty if it could not be."""
        queue = self._queue
        if before is None or queue is None:
            self._counts["too_large"].value += 1
            return ""
        try:
            receipt = await queue.put(self._draft(before, request.principal, attempt))
        except QueueError as error:
            self._counts["lost"].value += 1
            self.context.log.error(
                "a request that could not be delivered was not kept either: %s",
                error,
                extra={"route": self.context.route, "plugin": self.context.id, "request_id": request.id},
            )
            return ""
        self._counts["duplicate" if receipt.duplicate else "kept"].value += 1
        return receipt.id

    def _draft(self, request: Request, caller: Principal | None, attempt: Attempt) -> Draft:
        """``caller``: as far as anybody knows by now, who may have found it out below this plugin."""
        kept = kept_of(request, request.body.whole or b"", self.context.clock.time(), without=self._without)
        key = request.headers.get(self.settings.key, "") if self.settings.key is not None else ""
        principal = caller.id if caller is not None else ""
        kept.event_id = key if key.isascii() and key.isprintable() else ""
        labels: dict[str, Any] = {
            "route": self.context.route,
            "method": request.method,
            "host": request.host,
            "path": request.path,
            "request_id": request.id,
        }
        return Draft(
            self.context.topic,
            kept.pack(),
            labels={name: clean(value[:LABEL]) for name, value in labels.items() if value},
            subject=clean(principal) or None,
            dedup=clean(f"{principal}|{request.method}|{request.path}|{key}") if key else None,
            window=self.settings.window,
            state=State.DEAD,
            last=attempt,
        )


def _naming(error: GatewayError, known: str) -> GatewayError:
    """The same error, whose answer says under which id the request is kept."""
    if not known:
        return error
    made = copy.copy(error)  # others may have been given the same one
    made.headers = (*error.headers, (DELIVERY_ID, known))
    return made
