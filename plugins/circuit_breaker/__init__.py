"""Leaves a target alone that keeps failing, and tries it again with few requests, ever later while it stays ill.

In an upstream's ``attempt`` list each try at a target is judged on its own, and the balancer reads the breaker before
it chooses. In a route's list there is one breaker for the route, which judges what its requests came to after all
attempts. Breakers are each worker's own, a worker learns of a target from what it sent there itself; with `shared` they
open and close together.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal
from weakref import WeakKeyDictionary, WeakValueDictionary

from pydantic import Field, model_validator

from gateway.errors import (
    CircuitOpen,
    ConnectFailed,
    ConnectTimeout,
    FirstByteTimeout,
    GatewayError,
    MalformedAnswer,
    StreamIdle,
    TotalTimeout,
    TruncatedAnswer,
    UpstreamReset,
)
from gateway.http import Exchange, Handler, Request, Response
from gateway.plugin import AdminView, Context, Count, Duration, Gate, Percent, Plugin, Scope, Settings
from gateway.services.metrics import Metrics
from gateway.services.store import OnStoreError
from plugins.circuit_breaker.breaker import Breaker, Event, State
from plugins.circuit_breaker.fleet import Fleet
from plugins.circuit_breaker.webhook import Webhook, WebhookSettings

Kind = Literal["connect", "timeout", "broken"]


class Open(Settings):
    """How long a target is left alone: `base`, then twice as long each time that a probe fails, up to `max`."""

    base: Duration = Field(default=1.0, gt=0, description="The first time: a restart often takes no longer.")
    max: Duration = Field(default=32.0, gt=0, description="The longest time, so that a target that is back is noticed.")
    jitter: Percent = Field(
        default=0.2, description="Up to this share of it is left off by chance, so that gateways do not probe as one."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Open:
        if self.base > self.max:
            raise ValueError("`base` must not be longer than `max`")
        return self


class Slow(Settings):
    """When slowness counts as illness. A slow probe has failed."""

    over: Duration = Field(gt=0, description="An answer whose head takes longer is slow.")
    rate: Percent = Field(default=0.5, gt=0, description="Opens if at least this share of the answers is slow.")


class CircuitBreakerSettings(Settings):
    """Opens when any of the criteria given is met: `failures`, `consecutive`, `error_rate`, `slow`."""

    failures: Annotated[Count, Field(ge=1, le=10_000)] | None = Field(
        default=None, description="Failures within `window` that open it. Unset: 5 if there is no other criterion."
    )
    window: Duration = Field(
        default=60.0, gt=0, description="How far back failures, answers and slow ones are counted."
    )
    consecutive: Annotated[Count, Field(ge=1)] | None = Field(
        default=None, description="Failures in a row that open it, however far apart. Unset: not looked at."
    )
    error_rate: Percent | None = Field(
        default=None,
        gt=0,
        description="Opens if at least this share of the attempts in `window` failed. Unset: not looked at.",
    )
    slow: Slow | None = Field(default=None, description="Opens if answers are slow. Unset: time is not looked at.")
    min_requests: Annotated[Count, Field(ge=1)] = Field(
        default=20, description="Attempts in `window` below which `error_rate` and `slow` say nothing: chance would."
    )
    statuses: tuple[Annotated[Count, Field(ge=400, le=599)], ...] = Field(
        default=(500, 502, 503, 504), description="Answers that are failures; any other is a success."
    )
    errors: tuple[Kind, ...] = Field(
        default=("connect", "timeout", "broken"),
        description="What is a failure besides: no connection, no answer in time, an answer that is cut off or is not "
        "HTTP. A client that leaves, and the gateway's own limits, count for nothing.",
    )
    open: Open = Field(default=Open(), description="How long it stays open.")
    probes: Annotated[Count, Field(ge=1, le=1000)] = Field(
        default=1, description="Requests let through after that: if all succeed it closes, one failure opens it again."
    )
    per: Literal["target", "upstream"] = Field(
        default="target",
        description="Whether each target has its breaker, or the upstream one for all of them. A route's list has one.",
    )
    shared: bool = Field(
        default=False,
        description="Whether workers and replicas tell each other through `stores.shared` when one opens or closes, "
        "and let one of them probe. What each counted stays its own. Needs Redis to reach anybody.",
    )
    on_store_error: OnStoreError = Field(
        default=OnStoreError.LOCAL,
        description="Of `shared`, while the store is away and the open time is over. `local`: each probes for itself. "
        "`allow`: it closes. `deny`: it stays open until the store is back.",
    )
    webhook: WebhookSettings | None = Field(default=None, description="Who is told of changes of state. Unset: nobody.")

    @property
    def most_failures(self) -> int | None:
        """`failures`, or what it stands for."""
        others = (self.consecutive, self.error_rate, self.slow)
        return 5 if self.failures is None and others == (None, None, None) else self.failures


_KINDS: Final[Mapping[type[GatewayError], Kind]] = {
    ConnectFailed: "connect",
    ConnectTimeout: "connect",
    FirstByteTimeout: "timeout",
    TotalTimeout: "timeout",
    StreamIdle: "timeout",
    UpstreamReset: "broken",
    MalformedAnswer: "broken",
    TruncatedAnswer: "broken",
}
"""Errors that say something about the target. Any other, a connection that had idled too long included, does not."""

_PROBED_ELSEWHERE: Final = 1.0
"""Seconds after which a gateway asks again whether another one still probes."""
_LENIENCE: Final = 0.02
"""Seconds by which a loop's timer may be early."""
_LABELS: Final = ("upstream", "plugin", "target")
_MOST: Final = 1000
"""Breakers of a plugin without an upstream that publishes them; there are as many as targets otherwise."""


class CircuitBreaker(Plugin[CircuitBreakerSettings]):
    refuses = True
    on_attempt = True
    on_route = True
    scope = Scope.WORKER

    def __init__(self, settings: CircuitBreakerSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.name = context.route.removeprefix("upstream:") if context.on_attempt else f"route:{context.route}"
        self._one = settings.per == "upstream" or not context.on_attempt
        self._fleet: Fleet | None = None
        self._webhook: Webhook | None = None
        self._statuses = frozenset(settings.statuses)
        self._over = settings.slow.over if settings.slow is not None else math.inf
        # An upstream's targets hold their breakers, so that one for a target that is gone goes with it.
        self._breakers: WeakValueDictionary[str, Breaker] = WeakValueDictionary()
        self._unpublished: dict[str, Breaker] = {}
        self._published = False
        self._transitions = context.metrics.counter(
            "circuit_breaker_transitions_total", "Changes of a circuit breaker's state.", (*_LABELS, "to")
        )
        self._failures = context.metrics.counter(
            "circuit_breaker_failures_total", "Attempts that counted as failures, by reason.", (*_LABELS, "reason")
        )

    async def open(self) -> None:
        if self.settings.webhook is not None:
            self._webhook = Webhook(self.settings.webhook, self.context, self.name)
        if self.settings.shared:
            choice = self.settings.on_store_error
            self._fleet = Fleet(self.context, choice, self._breakers.get, self.breakers, self._note)
            self._fleet.open()
        _shown(self.context.metrics).append(self)
        self.context.report("circuit_breaker", lambda: {"breakers": self.snapshot()})

    async def close(self) -> None:
        for part in (self._fleet, self._webhook):
            if part is not None:
                await part.close()
        shown = _shown(self.context.metrics)
        if self in shown:
            shown.remove(self)
            mine = (self.name, self.context.id)
            if all((each.name, each.context.id) != mine for each in shown):  # else a changed one goes on counting
                self._transitions.remove(*mine)
                self._failures.remove(*mine)

    def gate(self, target: str) -> Gate | None:
        """The breaker of a target, for the balancer."""
        self._published = True
        return self._of(target)

    def _of(self, target: str) -> Breaker:
        key = "*" if self._one else target
        found = self._breakers.get(key)
        if found is None:
            found = Breaker(key, self.settings, self.context.clock, self._changed, shadow=self.shadow)
            self._breakers[key] = found
            if self._fleet is not None:
                self._fleet.learn(found)
            if not self._published and len(self._unpublished) < _MOST:
                self._unpublished[key] = found
        return found

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        attempt = request.attempt
        breaker = self._of(attempt.target if attempt is not None else "-")
        if self._fleet is not None and breaker.due:
            await self._ask(self._fleet, breaker)
        turn = breaker.enter()
        if turn is None:
            seconds = max(1, math.ceil(breaker.wait))
            why = f"the circuit of {breaker.target} is {breaker.state.name.lower().replace('_', '-')}"
            self.refuse(CircuitOpen(headers=(("Retry-After", str(seconds)),), reason=why))
            return await proceed(request)
        now = self.context.clock.now
        began = now()
        try:
            response = await proceed(request)
        except asyncio.CancelledError:
            # Cancelled either by the client's leaving or by the deadline over all attempts, which is the target's.
            if attempt is not None and now() >= attempt.deadline - _LENIENCE:
                self._judge(breaker, turn, "timeout", began)
            else:
                breaker.leave(turn)
            raise
        except BaseException:
            breaker.leave(turn)
            raise
        error = response.error
        if error is None:
            self._judge(breaker, turn, "status" if response.status in self._statuses else "", began)
        elif (kind := _KINDS.get(type(error))) is not None:
            self._judge(breaker, turn, kind, began)
        else:
            breaker.leave(turn)
        return response

    async def _ask(self, fleet: Fleet, breaker: Breaker) -> None:
        """Whether a probe is ours to send. Several requests may ask at once: one of them is told so."""
        turn = breaker.turn
        may = await fleet.may_probe(breaker)
        if breaker.turn != turn or not breaker.due:
            return  # somebody else's answer came meanwhile
        if not may:
            breaker.postpone(min(self.settings.open.base, _PROBED_ELSEWHERE))
        elif fleet.alone and self.settings.on_store_error is OnStoreError.ALLOW:
            breaker.step(Event.RESET, "the store is away, and `on_store_error` is `allow`")

    def _judge(self, breaker: Breaker, turn: int, kind: str, began: float) -> None:
        """``kind`` of failure; none for a success."""
        if kind and kind != "status" and kind not in self.settings.errors:
            breaker.leave(turn)
            return
        if kind:
            self._failures.child(self.name, self.context.id, breaker.target, kind).inc()
        slow = self._over < math.inf and self.context.clock.now() - began > self._over
        breaker.ended(turn, failed=bool(kind), slow=slow)

    def done(self, exchange: Exchange) -> None:
        """An answer that streams was judged by its head; what it is cut off by comes later."""
        response, error, attempt = exchange.response, exchange.error, exchange.request.attempt
        if response is None or response.error is not None or error is None or not exchange.aborted:
            return  # not aborted: something outside has answered for it, and the error was judged in its time
        if attempt is None and self.context.on_attempt:
            return
        kind = _KINDS.get(type(error))
        if kind is not None and kind in self.settings.errors:
            breaker = self._of(attempt.target if attempt is not None else "-")
            self._failures.child(self.name, self.context.id, breaker.target, kind).inc()
            breaker.broke_off()

    def _changed(self, breaker: Breaker, why: str) -> None:
        """It changed by what happened here."""
        self._note(breaker, why)
        if self._fleet is not None:
            self._fleet.tell(breaker)
        if self._webhook is not None:
            said = {"upstream": self.name, "mode": str(self.context.mode), "reason": why, **breaker.snapshot()}
            self._webhook.tell(said)

    def _note(self, breaker: Breaker, why: str) -> None:
        state = breaker.state.name.lower()
        self._transitions.child(self.name, self.context.id, breaker.target, state).inc()
        extra = {"upstream": self.name, "target": breaker.target, "state": state, "mode": str(self.context.mode)}
        what = f"opens for {breaker.wait:.1f}s" if breaker.state is State.OPEN else f"is {state.replace('_', '-')}"
        told = self.context.log.warning if breaker.state is State.OPEN else self.context.log.info
        told("circuit of %s (upstream %s) %s: %s", breaker.target, self.name, what, why, extra=extra)

    # -- for people ----------------------------------------------------------------------------------------------------

    def breakers(self) -> list[Breaker]:
        """Of the targets there are, in the order of their names."""
        return sorted(self._breakers.values(), key=lambda each: each.target)

    def snapshot(self) -> list[dict[str, Any]]:
        """The state of each."""
        return [breaker.snapshot() for breaker in self.breakers()]

    def admin(self) -> Sequence[AdminView]:
        async def show(_query: Mapping[str, str]) -> Any:
            return self.snapshot()

        async def reset(query: Mapping[str, str]) -> Any:
            for breaker in self.breakers():
                if query.get("target", breaker.target) == breaker.target:
                    breaker.step(Event.RESET, "reset by an operator")
            return self.snapshot()

        return (AdminView("breakers", show), AdminView("reset", reset, frozenset({"POST"})))


_open: Final[WeakKeyDictionary[Metrics, list[CircuitBreaker]]] = WeakKeyDictionary()
"""The plugins that a worker's gauge shows, the newest last."""


def _shown(metrics: Metrics) -> list[CircuitBreaker]:
    shown = _open.get(metrics)
    if shown is None:
        shown = _open[metrics] = []
        plugins = shown

        def read() -> Iterator[tuple[tuple[str, ...], float]]:
            # During a reload two plugins may have the same name: the newer one is shown.
            states = {(p.name, p.context.id, b.target): float(b.state) for p in plugins for b in p.breakers()}
            yield from list(states.items())[:_MOST]

        text = "A circuit breaker's state: 0 closed, 1 half-open, 2 open."
        metrics.gauge("circuit_breaker_state", text, _LABELS, rule="max", read=read)
    return shown
