"""Delivering kept requests: what operators say of it, and the one that does it for a plugin.

A plugin that keeps requests (`Plugin.durable`) puts them into the queue under `Context.topic` as `KeptRequest`; a
`Deliverer` takes them from there and sends them through what stands behind the plugin, in one process of each gateway.
At least once: a target may see a delivery again, with the same `EVENT_ID`, and must know it by that.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
from typing import Annotated, Any, Final

from pydantic import Field, model_validator

from gateway.errors import (
    CircuitOpen,
    ConnectFailed,
    ConnectTimeout,
    Draining,
    FirstByteTimeout,
    GatewayError,
    NoTarget,
    PoolExhausted,
    Source,
    TotalTimeout,
)
from gateway.http import Request, Response
from gateway.http.delivery import Delivery, note_delivery
from gateway.http.reserved import ReservedFields
from gateway.plugin.context import Context
from gateway.plugin.settings import Count, Duration, Settings, expected
from gateway.plugin.statuses import Statuses, statuses_of
from gateway.services.queue import Item, Queue
from gateway.services.queue.delivery import (
    NOT_IN_FORCE,
    Delivered,
    Failed,
    Hopeless,
    Outcome,
    Pump,
    Schedule,
    Terms,
    Throttle,
    Untried,
    Watch,
)
from gateway.services.queue.message import Unreadable, unpack
from gateway.services.shared import Hold

EVENT_ID: Final = "Sidegate-Event-Id"
"""By what the target can know an event again: the sender's id if there is one, else the item's."""
DELIVERY_ID: Final = "Sidegate-Delivery-Id"
"""The item's id in the queue, by which people find it."""
ATTEMPT: Final = "Sidegate-Attempt"
"""1 for the first try; goes on over replays."""
RECEIVED_AT: Final = "Sidegate-Received-At"
"""When it was accepted (RFC 3339, UTC)."""
RESERVED: Final = ReservedFields([EVENT_ID, DELIVERY_ID, ATTEMPT, RECEIVED_AT])
"""What a delivery carries; from clients they are taken out."""

ILL: Final = frozenset({429, 502, 503, 504})
"""Answers that speak of the service and not of this request."""
EXCERPT: Final = 2000
"""Bytes of an answer that says no, of which what may be shown is kept with the attempt."""
DRAINED: Final = 64 * 1024
"""Bytes of an answer that are read so that its connection can be used again."""
PATIENCE: Final = 10.0
"""Seconds that deliveries under way have to end when their plugin closes."""

_UNSENT: Final = (NoTarget, CircuitOpen, PoolExhausted, Draining)
_UNWELL: Final = (ConnectFailed, ConnectTimeout, FirstByteTimeout, TotalTimeout)


class RetrySettings(Settings):
    """When a delivery that failed is tried again."""

    base: Duration = Field(
        default=1.0,
        gt=0,
        description="The wait before the first retry is drawn from 0 to this; it doubles each time (full jitter).",
    )
    max: Duration = Field(default=3600.0, gt=0, description="Longest wait, for `Retry-After` too.")
    max_age: Duration = Field(
        default=259_200.0,
        gt=0,
        description="From acceptance to the last try; then it is a dead letter. 72h outlast a weekend.",
    )
    attempts: Annotated[Count, Field(ge=1, le=10_000)] | None = Field(
        default=None, description="Most tries. Unset: as many as `max_age` allows."
    )
    schedule: tuple[Annotated[Duration, Field(gt=0)], ...] = Field(
        default=(),
        max_length=100,
        description="Waits one by one in place of `base` and `max`, such as `[5s, 5m, 30m, 2h, 5h, 10h]`; each up to "
        "10 % longer by chance. After the last one it is a dead letter.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> RetrySettings:
        if self.base > self.max:
            raise expected("`base` no longer than `max`")
        return self


class DeliverySettings(Settings):
    """How kept requests are delivered."""

    retry: RetrySettings = Field(default=RetrySettings(), description="When a delivery that failed is tried again.")
    success: tuple[Statuses, ...] = Field(
        default=("2xx",), min_length=1, description="Answers that mean it was delivered."
    )
    dead_on: tuple[Statuses, ...] = Field(
        default=(400, 410, 413, 415, 422),
        description="Answers after which no further try is made: it is a dead letter at once. 401, 403 and 404 are not "
        "among them, as a deployment that went wrong says those too.",
    )
    concurrency: Annotated[Count, Field(ge=1, le=1000)] = Field(
        default=10,
        description="Deliveries to the upstream at once, of one gateway. Routes that lead to one upstream share it; of "
        "several settings the least holds.",
    )
    rate: Annotated[float, Field(gt=0, le=100_000)] | None = Field(
        default=None, description="Most deliveries a second to the upstream, likewise shared. Unset: any."
    )
    recovery: Duration = Field(
        default=30.0,
        description="After the upstream was ill, the time in which concurrency and rate grow back to what is allowed.",
    )
    deadline: Duration = Field(
        default=60.0, ge=0.1, le=3600, description="How long one try may take, its answer's body included."
    )
    keep: Duration = Field(
        default=0.0, description="How long what was delivered is kept, to be looked at and replayed. 0: not at all."
    )
    hold_on_dead: bool = Field(
        default=False,
        description="With an order: whether what follows a dead letter waits until that was replayed or purged.",
    )
    lease: Duration = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="After a gateway died, the time until its deliveries under way are made again. Renewed while it "
        "lives.",
    )

    @model_validator(mode="after")
    def _apart(self) -> DeliverySettings:
        both = statuses_of(self.success) & statuses_of(self.dead_on)
        if both:
            raise expected(f"{min(both)} in `success` or in `dead_on`, not in both")
        return self

    def terms(self) -> Terms:
        """The same for `Pump`."""
        retry = self.retry
        return Terms(
            Schedule(retry.base, retry.max, retry.max_age, retry.attempts, retry.schedule),
            lease=self.lease,
            keep=self.keep,
            hold=self.hold_on_dead,
            gateway=socket.gethostname(),
        )


class Deliverer:
    """Delivers what one plugin has kept, from `open` to `close`, if this process is the one to do it."""

    def __init__(self, context: Context, settings: DeliverySettings) -> None:
        self.context = context
        self.settings = settings
        self._success = statuses_of(settings.success)
        self._dead = statuses_of(settings.dead_on)
        self._watch = Watch(context.metrics, context.route, context.id)
        self._pump: Pump | None = None
        self._hold: Hold[Throttle] | None = None
        self._upstream = ""
        self._left_at: float | None = None
        """When the plugin was seen not to be in force any more."""

    def open(self, queue: Queue) -> None:
        """Begin, as soon as the plugin is in force."""
        if not self.context.ports.owner:
            return
        self._pump = Pump(
            queue,
            self.context.topic,
            self.deliver,
            terms=self.settings.terms(),
            throttle=self._throttle,
            hindrance=self._hindrance,
            clock=self.context.clock,
            watch=self._watch,
        )
        self._pump.start()

    async def close(self) -> None:
        """See off what is under way. Idempotent."""
        pump, self._pump = self._pump, None
        if pump is not None:
            # Plugins close one after the other; their deliveries all end from the moment that they are not in force.
            passed = self.context.clock.now() - self._left_at if self._left_at is not None else 0.0
            await pump.close(max(0.0, PATIENCE - passed))
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.thing.forget(self)
            await hold.release()

    def snapshot(self) -> dict[str, Any]:
        """How it goes, for people."""
        pump, hold = self._pump, self._hold
        if pump is None:
            return {"delivers": False}
        return {
            "delivers": True,
            "paused": pump.why,
            "in_flight": pump.in_flight,
            **({"upstream": self._upstream, "throttle": hold.thing.snapshot()} if hold is not None else {}),
        }

    # -- where to ----------------------------------------------------------------------------------------------

    def _hindrance(self) -> str:
        destination = self.context.destination()
        if destination is None:
            if self._left_at is None:
                self._left_at = self.context.clock.now()
            if (
                self._hold is not None
            ):  # kept, as what is under way counts; but what this one says of it holds no longer
                self._hold.thing.forget(self)
            return NOT_IN_FORCE
        if self._left_at is not None:
            self._left_at = None
            self._limit()
        return destination.hindrance()

    def _limit(self) -> None:
        settings = self.settings
        if self._hold is not None:
            longest = settings.terms().schedule.longest
            self._hold.thing.limit(self, settings.concurrency, settings.rate, settings.recovery, longest)

    def _let_go(self) -> None:
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.thing.forget(self)
            _ = self.context.spawn(hold.release(), f"delivery: {self.context.topic} leads elsewhere")

    def _throttle(self) -> Throttle:
        destination = self.context.destination()
        upstream = destination.upstream if destination is not None else self._upstream
        if self._hold is None or upstream != self._upstream:
            self._let_go()
            context = self.context
            # A route without an upstream, whose plugins answer, has a throttle of its own.
            key = ("delivery", upstream) if upstream else ("delivery", "", context.topic)
            self._hold, self._upstream = context.shared.hold(key, lambda: Throttle(context.clock)), upstream
            self._limit()
        return self._hold.thing

    # -- one try -----------------------------------------------------------------------------------------------

    async def deliver(self, item: Item) -> Outcome:
        """One try at an item."""
        try:
            kept = unpack(item.payload or b"")
        except Unreadable as error:
            return Hopeless(error="unreadable", detail=str(error))
        request = kept.request()
        note_delivery(request, Delivery(item.id, item.attempts + 1, item.topic))
        self._dress(request, item, kept.event_id, kept.arrived)
        told = {"sidegate.delivery": item.id, "sidegate.delivery.attempt": item.attempts + 1}
        name = f"deliver {self.context.route}"
        with self.context.tracing.work(name, kept.trace, route=self.context.route, attributes=told) as work:
            request.trace = work.traceparent
            outcome = await self._try(request)
            work.error = outcome.error if isinstance(outcome, Failed | Hopeless) else ""
            return outcome

    async def _try(self, request: Request) -> Outcome:
        try:
            async with asyncio.timeout(self.settings.deadline):
                return await self._exchange(request)
        except LookupError:
            return Untried(NOT_IN_FORCE)
        except TimeoutError:
            return Failed(error="delivery_timeout", detail="no whole answer within `deadline`", ill=True)
        except GatewayError as error:  # the answer's body broke off
            return Failed(error=error.code, detail=error.reason)

    def _dress(self, request: Request, item: Item, event_id: str, arrived: float) -> None:
        RESERVED.take_out(request)
        headers = request.edit_headers()
        headers[EVENT_ID] = event_id or item.id
        headers[DELIVERY_ID] = item.id
        headers[ATTEMPT] = str(item.attempts + 1)
        moment = dt.datetime.fromtimestamp(arrived, dt.UTC)
        headers[RECEIVED_AT] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    async def _exchange(self, request: Request) -> Outcome:
        response = await self.context.behind(request)
        try:
            if response.tunnel is not None:
                return Failed(response.status, "upgraded", "the target switched protocols")
            shown = await drained(response)
        finally:
            response.body.close()
            if response.tunnel is not None:
                response.tunnel.close()
        if response.error is not None:
            return self._refused(response, response.error)
        return self._judged(response, shown)

    def _judged(self, response: Response, shown: bytes) -> Outcome:
        """What the target's answer means; ``shown`` is the beginning of its body."""
        status = response.status
        if status in self._success:
            return Delivered(status)
        kind = response.headers.get("Content-Type", "")
        detail = self.context.masking.body(shown, kind, self.context.route) if shown else ""
        if status in self._dead:
            return Hopeless(status, detail=detail)
        return Failed(status, detail=detail, after=self._after(response), ill=status in ILL)

    def _refused(self, response: Response, error: GatewayError) -> Outcome:
        """No answer of the target: a plugin behind, or the gateway, says no."""
        after = self._after(response)
        if isinstance(error, _UNSENT):
            return Untried(error.code, after or 0.0)
        if error.source is Source.UPSTREAM:
            return Failed(0, error.code, error.reason, ill=isinstance(error, _UNWELL))
        if response.status in self._dead:
            return Hopeless(response.status, error.code, error.reason)
        return Failed(response.status, error.code, error.reason, after=after)

    def _after(self, response: Response) -> float | None:
        """Seconds that an answer asks to wait (RFC 9110 §10.2.3); None if it does not say, or not clearly."""
        text = response.headers.get("Retry-After", "").strip()
        if text.isascii() and text.isdigit():
            return float(text[:9])
        if not text:
            return None
        from email.utils import parsedate_to_datetime  # noqa: PLC0415 - seldom needed, and it is not light

        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - self.context.clock.time())
        except (ValueError, OverflowError):
            return None


async def drained(response: Response) -> bytes:
    """The beginning of an answer's body, which is read so that its connection can be used again."""
    if response.body.whole is not None:
        return response.body.whole[:EXCERPT]
    held, read = b"", 0
    async for chunk in response.body:
        if len(held) < EXCERPT:
            held = (held + chunk)[:EXCERPT]
        read += len(chunk)
        if read > DRAINED:
            break
    return held
