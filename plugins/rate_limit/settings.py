"""What operators write: limits, whom they are counted by, and what happens at the edges."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from gateway.plugin import Count, Duration, Name, Settings
from gateway.plugin.settings import expected, format_duration
from gateway.plugin.subject import OnMissingKey, SubjectKey
from gateway.services.store import OnStoreError
from plugins.rate_limit.algorithm import FIXED, SLIDING, gcra_numbers

DEFAULT: Final = "default"


class Algorithm(StrEnum):
    """How a limit is counted."""

    GCRA = "gcra"
    SLIDING_WINDOW = "sliding_window"
    FIXED_WINDOW = "fixed_window"


class Limit(Settings):
    """One limit. Given several, a request must fit them all and is then charged to them all, else to none."""

    rate: Annotated[Count, Field(ge=1, le=1_000_000_000)] = Field(
        description="Requests (or units of `cost`) let through in each `period`, sustained."
    )
    period: Duration = Field(ge=0.001, description="What `rate` is counted over, from 1ms.")
    burst: Annotated[Count, Field(ge=1, le=1_000_000_000)] | None = Field(
        default=None,
        description="Of `gcra`: how many may come at once after a rest. Unset: as many as `rate`. A window has none.",
    )
    algorithm: Algorithm = Field(
        default=Algorithm.GCRA,
        description="`gcra`: a bucket of `burst` that refills evenly, so nobody waits for a window's end. "
        "`sliding_window`: the window before counts in part, taken as even. `fixed_window`: from the clock's full "
        "period on, days from midnight UTC; up to twice `rate` may pass around its edge.",
    )
    name: Name | None = Field(
        default=None, description="Its name in header fields, metrics and log. Unset: such as `100-per-1m`."
    )

    @model_validator(mode="after")
    def _whole(self) -> Limit:
        if self.algorithm is not Algorithm.GCRA and self.burst is not None:
            raise expected("`burst` with `algorithm: gcra` only: a window lets its whole rate come at once")
        try:
            self.numbers()
        except ValueError:
            raise expected("a rate, period and burst that can be counted exactly; a shorter period, rounder") from None
        return self

    @property
    def most(self) -> int:
        """What may come at once."""
        return self.burst or self.rate

    @property
    def label(self) -> str:
        """Its name, or what it says."""
        return self.name or f"{self.rate}-per-{format_duration(self.period)}"

    @property
    def micros(self) -> int:
        """The period in µs."""
        return round(self.period * 1_000_000)

    def numbers(self) -> tuple[int, int, int, int]:
        """What the script takes. Raises ValueError."""
        if self.algorithm is Algorithm.GCRA:
            return gcra_numbers(self.rate, self.micros, self.most)
        return FIXED if self.algorithm is Algorithm.FIXED_WINDOW else SLIDING, self.micros, self.rate, 0


def _network(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return ipaddress.ip_network(value)
        except ValueError:
            raise expected("a network without host bits such as 10.0.0.0/8, or an address") from None
    return value


Network = Annotated[
    ipaddress.IPv4Network | ipaddress.IPv6Network,
    BeforeValidator(_network),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "title": "network", "examples": ["10.0.0.0/8"]}),
]


class Exempt(Settings):
    """Who is neither limited nor counted."""

    clients: tuple[Network, ...] = Field(default=(), description="Networks of clients, such as internal services'.")
    principals: tuple[str, ...] = Field(default=(), description="Ids of principals, as their authenticator gives them.")

    def holds(self, address: str) -> bool:
        """Whether the client's address is in one of the networks."""
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self.clients)


Plan = Annotated[tuple[Limit, ...], Field(max_length=8)]
Cost = Annotated[Count, Field(ge=0, le=1_000_000)]


class RateLimitSettings(Settings):
    """`limits` are everybody's; `plans` differ by the principal's rate class. In `mode: shadow` clients are told
    nothing: a limit that is not in force is not announced.
    """

    key: SubjectKey = Field(
        default="client_ip",
        description="Whom requests are counted by: `client_ip`, `principal`, `tenant`, `api_key` (the claim `key` that "
        "`api_key` sets, else the principal), `claim:NAME`, `header:NAME`, `path`, `route` (all together), or a "
        "template of several such as `{tenant}:{header.X-Device}`, missing if any part of it is.",
    )
    limits: Plan = Field(default=(), description="Limits of everybody whose rate class has no plan; at most eight.")
    plans: Mapping[Name, Plan] = Field(
        default={},
        description="Limits by the principal's rate class; `default` is the same as `limits`, an empty list no limit.",
    )
    cost: Cost | Mapping[str, Cost] = Field(
        default=1,
        description="What a request is charged: a number, or by method such as `{POST: 5, default: 1}`. 0: nothing.",
    )
    exempt: Exempt = Field(default=Exempt(), description="Who is neither limited nor counted.")
    ipv6_prefix: Annotated[Count, Field(ge=32, le=128)] = Field(
        default=64, description="Bits of an IPv6 address that count as one client: 64 is what one household gets."
    )
    on_missing_key: OnMissingKey = Field(
        default=OnMissingKey.IP,
        description="For a request without its key. `ip`: counted by client address. `skip`: not limited. `deny`: 403.",
    )
    on_store_error: OnStoreError = Field(
        default=OnStoreError.LOCAL,
        description="While the store is away. `local`: counted here, limits divided by workers and replicas. "
        "`allow`: not limited. `deny`: 503.",
    )
    headers: bool = Field(
        default=True,
        description="Whether answers carry `RateLimit-Policy` and `RateLimit`. A 429 has `Retry-After` in any case.",
    )
    legacy_headers: bool = Field(
        default=False,
        description="Also `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds) of the limit with the least left.",
    )

    @model_validator(mode="after")
    def _whole(self) -> RateLimitSettings:
        if self.limits and DEFAULT in self.plans:
            raise expected("`limits` or `plans.default`, not both")
        if not self.limits and DEFAULT not in self.plans:
            raise expected("`limits`, or `plans` with `default`: what holds for those without a rate class")
        if isinstance(self.cost, Mapping) and any(name != DEFAULT and name != name.upper() for name in self.cost):
            raise expected("`cost` by methods in upper case, and `default`")
        for limit in (limit for plan in (self.limits, *self.plans.values()) for limit in plan):
            if limit.most < max(self.costs):
                raise expected(f"a `cost` that fits limit {limit.label!r}: nothing could ever pass")
        return self

    @property
    def costs(self) -> frozenset[int]:
        """All that a request may cost."""
        return frozenset({1, *self.cost.values()} if isinstance(self.cost, Mapping) else {self.cost})

    @property
    def everybody(self) -> tuple[Limit, ...]:
        """The limits of those without a plan."""
        return self.limits or self.plans[DEFAULT]


# -- limits that cannot bind -------------------------------------------------------------------------------------------


def idle(limits: Sequence[Limit]) -> Iterator[tuple[Limit, Limit]]:
    """Each limit that can never refuse, with another of the same list that always refuses before."""
    for index, limit in enumerate(limits):
        for place, other in enumerate(limits):
            # Of two that bind each other the later is the one too many.
            if place != index and _covers(other, limit) and (place < index or not _covers(limit, other)):
                yield limit, other
                break


def _covers(other: Limit, limit: Limit) -> bool:
    """Whether whatever ``other`` lets through fits ``limit``."""
    if other.algorithm is limit.algorithm is Algorithm.FIXED_WINDOW and limit.micros % other.micros == 0:
        return other.rate * (limit.micros // other.micros) <= limit.rate
    if other.algorithm is limit.algorithm and other.algorithm is not Algorithm.GCRA and other.micros == limit.micros:
        return other.rate <= limit.rate
    # Over any time t: at most burst + rate * t; two windows' worth may meet at an edge.
    gcra = other.algorithm is Algorithm.GCRA
    burst = other.most if gcra else 2 * other.rate
    if limit.algorithm is Algorithm.GCRA:
        return burst <= limit.most and other.rate * limit.micros <= limit.rate * other.micros
    # A sliding window may take a burst at the end of the one before for spread, and count it beside the next.
    slides = 2 if limit.algorithm is Algorithm.SLIDING_WINDOW else 1
    return slides * burst + other.rate * limit.micros / other.micros <= limit.rate
