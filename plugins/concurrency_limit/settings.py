"""What operators write: the limit, who waits, who goes first, and whether the limit finds itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.plugin import Count, Duration, Name, Percent, Settings
from gateway.plugin.settings import expected
from gateway.plugin.subject import OnMissingKey, SubjectKey

Places = Annotated[Count, Field(ge=1, le=100_000)]


class Queue(Settings):
    """Requests without a place wait for one. The oldest goes first while the line moves; once the oldest has waited for
    half its time, the newest does: in a jam those at the front will be late whatever happens, and serving them first
    would make everybody late.
    """

    size: Annotated[Count, Field(ge=0, le=100_000)] = Field(
        default=0,
        description="How many wait at most, for each key or target. 0: nobody, who finds no place is refused.",
    )
    timeout: Duration = Field(default=1.0, gt=0, le=300.0, description="How long one waits at most, up to 5m.")


class Adaptive(Settings):
    """The limit follows latency (the gradient of Envoy's adaptive concurrency): after each `window` it is multiplied by
    how much slower than `baseline` answers are, and grows by its square root, so that it feels for more.

    The baseline is what answers take while at most `min` are under way: by itself at quiet times, else by a probe, for
    which the limit falls to `min` for a moment. In `mode: shadow` nobody is held back, so the baseline is the fastest
    window there was.
    """

    min: Places = Field(default=4, description="The limit never falls below. Enough to measure the target at rest by.")
    max: Places = Field(default=1000, description="The limit never grows beyond.")
    window: Duration = Field(default=1.0, ge=0.01, description="How long answers are collected for one step.")
    samples: Annotated[Count, Field(ge=1, le=1000)] = Field(
        default=10, description="Answers that a step or a probe needs; a window lasts until it has them."
    )
    quantile: Percent = Field(default=0.5, gt=0, lt=1, description="Of latencies, which stands for a window.")
    tolerance: Percent = Field(
        default=0.25, description="So much slower than the baseline is not yet slow. More: higher limits, longer times."
    )
    probe: Duration = Field(
        default=60.0, ge=0.1, description="After so long without a quiet time the baseline is probed, less up to 15%."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Adaptive:
        if self.min > self.max:
            raise expected("`min` not above `max`")
        return self


class Priority(Settings):
    """The lower a class, the sooner it is refused. The class of a request is what a trusted proxy says in `header`,
    else what its principal's rate class stands for, else its route's, else `default`.
    """

    classes: Annotated[tuple[Name, ...], Field(min_length=2, max_length=8)] = Field(
        default=("critical", "normal", "background"), description="The highest first."
    )
    default: Name = Field(default="normal", description="The class of requests of which nothing is said.")
    header: Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$")] | None = Field(
        default=None,
        description="Holds the name of a class. Believed of `trusted_proxies` only: clients would all be critical.",
    )
    rate_classes: Mapping[str, Name] = Field(default={}, description="Class by the principal's rate class.")
    routes: Mapping[str, Name] = Field(default={}, description="Class by route, for a limit that several routes share.")
    reserve: Percent = Field(
        default=0.1,
        description="Share of the limit that each class leaves to those above: with three classes and 10% the lowest "
        "gets 80% of it.",
    )

    @model_validator(mode="after")
    def _known(self) -> Priority:
        if len(set(self.classes)) != len(self.classes):
            raise expected("`classes` with no name twice")
        for name in (self.default, *self.rate_classes.values(), *self.routes.values()):
            if name not in self.classes:
                raise expected(f"one of {', '.join(self.classes)} where a class is named")
        if self.reserve * (len(self.classes) - 1) >= 1:
            raise expected("a `reserve` that leaves something to the lowest class")
        return self


class ConcurrencyLimitSettings(Settings):
    """In a route's list it limits the route, in an upstream's `attempt` list each target; with `key` each caller. It is
    each worker's own: with four workers four times as many are under way.
    """

    limit: Places | None = Field(
        default=None, description="Requests under way at once. With `adaptive`, where it begins (unset: 20)."
    )
    adaptive: Adaptive | None = Field(default=None, description="Unset: the limit is fixed.")
    key: SubjectKey | None = Field(
        default=None,
        description="Whom requests are counted by, in the words of `rate_limit`: `principal`, `client_ip`, "
        "`header:NAME` … Whoever is over it is told 429. Unset: all together (503).",
    )
    ipv6_prefix: Annotated[Count, Field(ge=32, le=128)] = Field(
        default=64, description="Bits of an IPv6 address that count as one client: 64 is what one household gets."
    )
    on_missing_key: OnMissingKey = Field(
        default=OnMissingKey.IP,
        description="For a request without its key. `ip`: counted by client address. `skip`: not limited. `deny`: 403.",
    )
    queue: Queue = Field(default=Queue(), description="Who waits for a place.")
    priority: Priority | None = Field(default=None, description="Unset: all are equal.")
    hold: Literal["end", "head"] = Field(
        default="end",
        description="How long a request has its place. `end`: until the target has sent the last byte, of a stream and "
        "of a WebSocket, too. `head`: until the answer's head, for targets that streams cost nothing.",
    )

    @model_validator(mode="after")
    def _whole(self) -> ConcurrencyLimitSettings:
        if self.limit is None and self.adaptive is None:
            raise expected("`limit`, or `adaptive`")
        if self.adaptive is not None and self.key is not None:
            raise expected("`adaptive` without `key`: latency is the target's, not a caller's")
        return self

    @property
    def first(self) -> int:
        """The limit to begin with."""
        begin = 20 if self.limit is None else self.limit
        return begin if self.adaptive is None else max(self.adaptive.min, min(self.adaptive.max, begin))
