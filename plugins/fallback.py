"""Answers in a target's place when it cannot: from another upstream, or with a fixed answer.

Old answers are a cache's business: put ``cache`` with ``stale_if_error`` inside this one, and what it still has goes
first, as an answer that this plugin never hears of; only what it has not comes here. A store of its own would have to
learn again what a shared cache must know of whose an answer is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from gateway.errors import (
    CircuitOpen,
    ConnectFailed,
    ConnectionReused,
    ConnectTimeout,
    FirstByteTimeout,
    GatewayError,
    MalformedAnswer,
    NoTarget,
    PoolExhausted,
    Retry,
    TotalTimeout,
    UpstreamError,
    UpstreamReset,
)
from gateway.http import Handler, Request, Response
from gateway.plugin import Context, Count, Plugin, Settings, Stage
from gateway.plugin.field import FieldName
from gateway.plugin.fixed import FixedAnswer
from gateway.plugin.settings import expected
from gateway.plugin.upstream import UpstreamName
from gateway.services.metrics import Counter

Cause = Literal["circuit_open", "no_target", "connect", "deadline", "budget", "overloaded", "broken"]

_CAUSES: Final[Mapping[type[GatewayError], Cause]] = {
    CircuitOpen: "circuit_open",
    NoTarget: "no_target",
    ConnectFailed: "connect",
    ConnectTimeout: "connect",
    FirstByteTimeout: "deadline",
    TotalTimeout: "deadline",
    PoolExhausted: "overloaded",
    UpstreamReset: "broken",
    MalformedAnswer: "broken",
    ConnectionReused: "broken",
}
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_IDEMPOTENT: Final = _SAFE | {"PUT", "DELETE"}
_QUIET: Final = 60.0
"""Seconds between two lines in the log, of one plugin."""


class BadStatus(UpstreamError):
    """The target answered with a status that something else is answered for. Nobody gets this; the log says it."""

    code = "bad_status"


class Answer(FixedAnswer):
    """A fixed answer. Give `json` or `body`, or neither for an empty one."""

    status: int = Field(default=503, ge=200, le=599, description="The answer's status.")


class FallbackSettings(Settings):
    """Give `upstream`, `answer`, or both: the answer is then for when the other upstream fails, too."""

    upstream: UpstreamName | None = Field(
        default=None,
        description="Asked in the target's place, with the route's rewriting and deadlines. Not with a request that "
        "the target may have carried out and that must not be repeated, nor with one whose body is gone.",
    )
    answer: Answer | None = Field(default=None, description="Given in the target's place.")
    on: tuple[Cause, ...] = Field(
        default=("circuit_open", "no_target", "connect", "deadline", "budget"),
        description="When: a circuit breaker is open; no target may be tried; no connection; no answer in time; the "
        "retry budget is spent, whatever failed. Also `overloaded`, no place at the target, and `broken`, no whole "
        "answer's head.",
    )
    statuses: tuple[Annotated[Count, Field(ge=400, le=599)], ...] = Field(
        default=(), description="The target's own answers that are as good as none, such as 502."
    )
    codes: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")], ...] = Field(
        default=(), description="Further errors by their `code`, those of other plugins included."
    )
    methods: tuple[Annotated[str, Field(pattern=r"^[A-Z]{1,32}$")], ...] = Field(
        default=(),
        description="Requests that are meant. Empty: all, but an `answer` of success is for safe ones only (GET, "
        "HEAD), for it would tell others that something was done.",
    )
    mark: FieldName | None = Field(
        default="X-Fallback",
        description="A field that says `upstream` or `answer`, so that nobody takes it for the target's. `null`: none.",
    )

    @model_validator(mode="after")
    def _something(self) -> FallbackSettings:
        if self.upstream is None and self.answer is None:
            raise expected("`upstream`, `answer` or both")
        if not self.on and not self.statuses and not self.codes:
            raise expected("something in `on`, `statuses` or `codes`: it would never answer")
        return self


class Fallback(Plugin[FallbackSettings]):
    stage = Stage.ANYWHERE  # outside a cache, whose old answers go first, or around the target alone: both are right
    recovers = True

    def __init__(self, settings: FallbackSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._on = frozenset(settings.on)
        self._statuses = frozenset(settings.statuses)
        self._codes = frozenset(settings.codes)
        self._methods = frozenset(settings.methods)
        self._answer = settings.answer.ready() if settings.answer is not None else None
        fields = self._answer.fields if self._answer is not None else ()
        self._kept = any(name.lower() == b"cache-control" for name, _ in fields)
        """The operator said how long the fixed answer may be kept; else nobody should keep it."""
        self._counter = context.metrics.counter(
            "fallbacks_total",
            "Answers given in a target's place, by why and by what: upstream, answer, or none where neither could.",
            ("route", "plugin", "reason", "outcome"),
        )
        self._told = -_QUIET
        self._untold = 0

    @classmethod
    def check(cls, settings: FallbackSettings) -> list[str]:
        unrepeatable = settings.methods and not _IDEMPOTENT & set(settings.methods)
        if unrepeatable and settings.answer is None:
            return ["methods: none may be repeated, so `upstream` is asked only with what reached no target"]
        return []

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        try:
            response = await proceed(request)
        except GatewayError as error:
            cause = self._cause(request, error)
            if not cause:
                raise
            return await self._instead(request, error, cause)
        cause = self._cause_of(request, response)
        if not cause:
            return response
        failed = BadStatus(reason=f"{request.target or 'the target'} answered {response.status}")
        instead = await self._instead(request, failed, cause, otherwise=response)
        if instead is not response:
            response.body.close()
        return instead

    def _cause(self, request: Request, error: GatewayError) -> str:
        """Why this error is to be answered for; nothing if it is not."""
        if self._methods and request.method not in self._methods:
            return ""
        if "budget" in self._on and request.gave_up == "budget" and isinstance(error, UpstreamError):
            return "budget"
        for kind in type(error).__mro__:
            found = _CAUSES.get(kind)
            if found is not None:
                if found in self._on:
                    return found
                break
        return error.code if error.code in self._codes else ""

    def _cause_of(self, request: Request, response: Response) -> str:
        if response.tunnel is not None or (self._methods and request.method not in self._methods):
            return ""
        if response.status in self._statuses:
            return "status"
        spent = "budget" in self._on and request.gave_up == "budget" and response.status >= 500
        return "budget" if spent else ""

    async def _instead(
        self, request: Request, error: GatewayError, cause: str, *, otherwise: Response | None = None
    ) -> Response:
        """What is answered in the target's place. Raises the error, or gives the target's answer, if nothing can be."""
        why = ""
        if self.settings.upstream is not None:
            if _may_repeat(request, error):
                try:
                    found = await self._elsewhere(request)
                except GatewayError as second:
                    why = f"; {self.settings.upstream} failed, too: {second.code}"
                else:
                    return self._marked(request, found, error, cause, "upstream")
            else:
                why = f"; {self.settings.upstream} is not asked, for the request must not be repeated"
        answer = self._answer
        if answer is not None and (answer.status >= 300 or self._methods or request.method in _SAFE):
            later = next((value for name, value in error.headers if name.lower() == "retry-after"), None)
            further = [] if self._kept else [(b"Cache-Control", b"no-store")]
            if later is not None and answer.status in (429, 503):
                further.append((b"Retry-After", later.encode()))
            made = answer.response(*further)
            return self._marked(request, made, error, cause, "answer", why)
        self._note(error, cause, "none", why)
        if otherwise is None:
            raise error
        return otherwise

    async def _elsewhere(self, request: Request) -> Response:
        name = self.settings.upstream
        assert name is not None, "it was asked for"
        gave_up, request.gave_up = request.gave_up, ""
        try:
            response = await self.context.onward(name)(request)
        except GatewayError:
            request.gave_up = gave_up
            raise
        if response.error is not None:
            response.body.close()
            raise response.error
        if response.status in self._statuses and self.settings.answer is not None:
            response.body.close()
            raise BadStatus(reason=f"{request.target} answered {response.status}")
        return response

    def _marked(
        self, request: Request, response: Response, error: GatewayError, cause: str, by: str, why: str = ""
    ) -> Response:
        if self.settings.mark is not None:
            response.edit_headers()[self.settings.mark] = by
        request.error = error  # the log says what happened, whatever the client got
        self._note(error, cause, by, why)
        return response

    def _note(self, error: GatewayError, cause: str, by: str, why: str) -> None:
        counter: Counter = self._counter.child(self.context.route, self.context.id, cause, by)
        counter.value += 1
        self._untold += 1
        now = self.context.clock.now()
        if now - self._told < _QUIET:
            return
        self._told, count, self._untold = now, self._untold, 0
        what = {"upstream": f"upstream {self.settings.upstream}", "answer": "a fixed answer", "none": "nothing"}[by]
        self.context.log.warning(
            "route %s falls back to %s: %s (%s)%s; %d since the last such line",
            self.context.route,
            what,
            cause,
            error.reason or error.code,
            why,
            count,
            extra={"route": self.context.route, "plugin": self.context.id, "cause": cause, "by": by, "count": count},
        )


def _may_repeat(request: Request, error: GatewayError) -> bool:
    """Whether another upstream may be asked: what a target may have carried out must bear it twice."""
    if not request.body.replayable:
        return False
    return error.retry is Retry.IF_UNSENT or request.repeatable or request.method in _IDEMPOTENT
