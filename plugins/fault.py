"""Delays and aborts a share of requests on purpose, to see on a game day how callers bear it."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from pydantic import Field, model_validator

from gateway.errors import GatewayError, Source
from gateway.http import Handler, Request, Response
from gateway.plugin import Context, Duration, Percent, Plugin, Settings, Stage
from gateway.plugin.moment import Moment

LONGEST_DELAY: Final = 300.0
"""Seconds: a fault must not hold requests for longer than any client waits."""


class InjectedFault(GatewayError):
    """Nothing is wrong: the operator asked for this failure."""

    code, status, title, source = "fault_injected", 503, "Injected fault", Source.POLICY


class Delay(Settings):
    """Requests that wait before they go on. The client may leave meanwhile, and nothing is sent then."""

    duration: Duration = Field(gt=0, le=LONGEST_DELAY, description="How long they wait, at most 5m.")
    jitter: Duration = Field(
        default=0.0, le=LONGEST_DELAY, description="Up to so much more, evenly spread. Unset: all wait the same."
    )
    share: Percent = Field(default=1.0, description="How many of the requests are meant, at random.")


class Abort(Settings):
    """Requests that fail without reaching the target."""

    status: int = Field(default=503, ge=400, le=599, description="What they are answered.")
    share: Percent = Field(default=1.0, description="How many of the requests are meant, at random.")


class FaultSettings(Settings):
    """`delay`, `abort` or both; a request that is meant by both waits first. Narrow it with `when:`."""

    delay: Delay | None = Field(default=None, description="Unset: nobody waits.")
    abort: Abort | None = Field(default=None, description="Unset: nothing fails.")
    until: Moment | None = Field(
        default=None,
        description="When it stops by itself, a date or a time with its zone, so that no game day outlives its day. "
        "Unset: when it is taken out of the configuration.",
    )

    @model_validator(mode="after")
    def _does_something(self) -> FaultSettings:
        if self.delay is None and self.abort is None:
            raise ValueError("`delay`, `abort` or both are needed")
        return self


class Fault(Plugin[FaultSettings]):
    stage = Stage.ANYWHERE
    refuses = True

    def __init__(self, settings: FaultSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._random = random.Random()  # noqa: S311 - chooses victims, hides nothing
        self._time = context.clock.time
        self._until = settings.until.timestamp() if settings.until is not None else float("inf")
        faults = context.metrics.counter("faults_total", "Faults injected on purpose.", ("route", "plugin", "kind"))
        self._delayed, self._aborted = (faults.child(context.route, context.id, kind) for kind in ("delay", "abort"))

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        if self._time() < self._until:
            await self._disturb()
        return await proceed(request)

    async def _disturb(self) -> None:
        delay, abort = self.settings.delay, self.settings.abort
        if delay is not None and self._random.random() < delay.share and not self.shadow:
            self._delayed.value += 1
            await asyncio.sleep(delay.duration + self._random.random() * delay.jitter)
        if abort is not None and self._random.random() < abort.share:
            if not self.shadow:
                self._aborted.value += 1
            error = InjectedFault("This failure was injected on purpose.")
            error.status = abort.status
            self.refuse(error)
