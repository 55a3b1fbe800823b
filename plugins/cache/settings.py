"""What operators write. With nothing at all the cache does what the origin says, as RFC 9111 has it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field, model_validator

from gateway.plugin import Count, Duration, Percent, Secret, Settings, Size
from gateway.plugin.field import FieldName
from gateway.plugin.settings import expected
from plugins.cache.freshness import Override, Rules, SetCookie
from plugins.cache.purge import Declared

_METHOD: Final = re.compile(r"[A-Z][A-Z-]{0,31}")
UNSAFE_TO_KEEP: Final = frozenset({"PUT", "DELETE", "PATCH", "CONNECT", "TRACE", "OPTIONS"})


class Partition(StrEnum):
    """Among whom stored answers are shared."""

    AUTO = "auto"
    NONE = "none"
    PRINCIPAL = "principal"
    TENANT = "tenant"


class Tier(StrEnum):
    """Where answers are kept."""

    MEMORY = "memory"
    SHARED = "shared"


def _method(text: str) -> str:
    if not _METHOD.fullmatch(text) or text in UNSAFE_TO_KEEP:
        raise expected("GET, HEAD, or a method in upper case whose requests change nothing, such as POST of a search")
    return text


def _status(value: int) -> int:
    if not 200 <= value <= 599 or value in (206, 304):
        raise expected("a final status from 200 to 599; 206 and 304 are never kept")
    return value


Method = Annotated[str, AfterValidator(_method)]
Status = Annotated[Count, AfterValidator(_status)]


class Query(Settings):
    """Which parameters of the query tell answers apart. Names may hold `*`."""

    only: tuple[str, ...] | None = Field(default=None, description="Only these count. Unset: all but those ignored.")
    ignore: tuple[str, ...] = Field(default=(), description="These do not count, such as `utm_*`.")
    sort: bool = Field(default=False, description="Whether the order of parameters means nothing to the backend.")

    @model_validator(mode="after")
    def _one(self) -> Query:
        if self.only is not None and self.ignore:
            raise expected("`only` or `ignore`, not both")
        return self


class Key(Settings):
    """What answers are told apart by, beside what `Vary` names. Path and host always are."""

    scheme: bool = Field(default=True, description="Whether answers over http and https are kept apart.")
    query: Query = Field(default=Query(), description="Which parameters of the query count; all of them by default.")
    headers: tuple[FieldName, ...] = Field(
        default=(), max_length=16, description="Fields of the request whose values count though `Vary` is silent."
    )
    cookies: tuple[str, ...] = Field(
        default=(), max_length=16, description="Cookies whose values count, such as one that holds the language."
    )


class Invalidation(Settings):
    """What an answer to one request makes out of date, for backends that send no cache groups."""

    on: str = Field(
        description="Method and path of a successful request, such as `POST /messages` or `PUT /users/{id}`; `*` as "
        "method stands for every unsafe one."
    )
    purge: tuple[str, ...] = Field(
        min_length=1,
        max_length=32,
        description="Paths to purge, with parameters of `on`; a `*` at the end stands for whatever follows.",
    )
    soft: bool = Field(default=False, description="Make stale instead of removing.")

    @model_validator(mode="after")
    def _readable(self) -> Invalidation:
        try:
            self.declared()
        except ValueError as error:
            raise expected(str(error)) from None
        return self

    def declared(self) -> Declared:
        """As requests are compared with it. Raises ValueError."""
        return Declared(self.on, self.purge, soft=self.soft)


class CacheSettings(Settings):
    """Everything may be left out: then the origin's header fields decide."""

    memory: Size = Field(default=64 * 1024 * 1024, ge=1_000_000, description="Most that each worker keeps in memory.")
    max_object: Size = Field(default=1_000_000, ge=1, description="The largest body that is kept; larger ones stream.")
    max_variants: Annotated[Count, Field(ge=1, le=1000)] = Field(
        default=32, description="Answers of one URL that `Vary` tells apart; the oldest goes when there are more."
    )
    tiers: tuple[Tier, ...] = Field(
        default=(Tier.MEMORY,),
        min_length=1,
        description="`memory`: in each worker, and each fetches for itself, since it needs the bytes in any case: what "
        "expires is asked for once a worker. `shared`: in `stores.shared`, for all workers and replicas, of which one "
        "fetches. Both: memory first.",
    )
    seal: tuple[Secret, ...] = Field(
        default=(),
        description="Keys, newest first, under which answers in the shared store are encrypted; 16 bytes at least.",
    )
    methods: tuple[Method, ...] = Field(
        default=("GET", "HEAD"),
        description="Methods that are answered from the cache. One with a body is told apart by that body, up to "
        "`max_request`.",
    )
    max_request: Size = Field(
        default=65536, description="Most of a request's body that is held for its digest; larger ones pass by."
    )
    statuses: tuple[Status, ...] | None = Field(
        default=None, description="Only answers with these are kept. Unset: whatever the standard lets be kept."
    )
    ttl: Duration | Mapping[str, Duration] | None = Field(
        default=None,
        description="How long answers hold that do not say so: one for the usual successes, or by status such as "
        "`{200: 5m, 404: 10s}`. Unset: a tenth of the time since `Last-Modified`, else not kept.",
    )
    override: Override = Field(
        default=Override.OFF,
        description="`lifetime`: `ttl` also replaces what the origin says. `all`: `Cache-Control` and `Expires` are "
        "not read at all, `no-store` and `private` included. What `Authorization` forbids stays forbidden.",
    )
    negative_ttl: Duration = Field(
        default=0.0, description="As `ttl` for 404, 405, 410, 414 and 501. 0: only if the origin says so."
    )
    max_ttl: Duration = Field(default=30 * 86400.0, gt=0, description="The longest that anything is called fresh.")
    heuristic: Percent = Field(
        default=0.1, description="Share of the time since `Last-Modified` for which an answer without more holds."
    )
    heuristic_max: Duration = Field(default=86400.0, description="The longest time that is so assumed.")
    set_cookie: SetCookie = Field(
        default=SetCookie.REFUSE,
        description="Answers with `Set-Cookie`. `refuse`: not kept. `strip`: kept without. `keep`: kept with it, so "
        "that everybody gets the same cookie.",
    )
    targets: tuple[FieldName, ...] = Field(
        default=("Sidegate-Cache-Control", "CDN-Cache-Control"),
        max_length=8,
        description="Fields that are heeded instead of `Cache-Control`, first one first (RFC 9213). The first, which "
        "is ours alone, does not reach clients. `Surrogate-Control`, which is older, may be added; it is not heeded "
        "by default, because services mean the CDN in front by it, which they can purge.",
    )
    stale_while_revalidate: Duration = Field(
        default=0.0, description="How long stale answers serve while a new one is fetched, unless the origin says."
    )
    stale_if_error: Duration = Field(
        default=0.0, description="How long stale answers serve when the target fails or answers 5xx, unless it says."
    )
    disconnected: Duration = Field(
        default=60.0,
        description="How long stale answers serve while no target can be reached at all (RFC 9111 §4.2.4). 0: never.",
    )
    early_refresh: Annotated[float, Field(ge=0, le=10)] = Field(
        default=1.0,
        description="How eagerly an answer in use is fetched anew shortly before it is stale (XFetch's beta). 0: off.",
    )
    pass_memory: Duration = Field(
        default=10.0,
        description="How long a URL whose answer could not be kept is passed on without waiting for each other.",
    )
    wait_elsewhere: Duration = Field(
        default=2.0,
        description="With the tier `shared`: how long a fetch of the same by another worker or replica is waited for, "
        "before a second one begins. 0: not at all.",
    )
    fetch_timeout: Duration = Field(
        default=60.0, gt=0, description="Most that a fetch may take to its head, all attempts included."
    )
    partition: Partition = Field(
        default=Partition.AUTO,
        description="`auto`: each caller, or tenant, that a plugin before this one has named gets answers of its own, "
        "and with credentials for other roles or scopes others. "
        "`principal`, `tenant`: the same, and nobody else is answered from the cache. `none`: all share.",
    )
    authenticated: bool = Field(
        default=False,
        description="Whether answers to requests with `Authorization` are kept, in the caller's part, though they do "
        "not say that they may be (RFC 9111 §3.5). Needs a `partition`.",
    )
    key: Key = Field(default=Key(), description="What answers are told apart by.")
    request_directives: bool = Field(
        default=True,
        description="Whether a client's `Cache-Control` is heeded. Off, nobody can go past the cache at will.",
    )
    invalidate: tuple[Invalidation, ...] = Field(
        default=(), max_length=256, description="What successful requests make out of date, declared by hand."
    )
    status_header: bool = Field(default=True, description="Whether answers carry `Cache-Status` (RFC 9211).")

    @model_validator(mode="after")
    def _whole(self) -> CacheSettings:
        if self.max_object > self.memory // 4:
            raise expected("`max_object` of at most a quarter of `memory`")
        if self.override is not Override.OFF and self.ttl is None and not self.negative_ttl:
            raise expected("`ttl` with `override`")
        if self.authenticated and self.partition is Partition.NONE:
            raise expected("a `partition` with `authenticated`: else one caller would get another's answers")
        if len(set(self.tiers)) != len(self.tiers):
            raise expected("each tier once")
        if self.seal and Tier.SHARED not in self.tiers:
            raise expected("`seal` with the tier `shared`: nothing is encrypted in memory")
        if any(len(key.get_secret_value().encode()) < 16 for key in self.seal):
            raise expected("keys of `seal` of at least 16 bytes")
        if isinstance(self.ttl, Mapping) and not all(name.isdigit() and len(name) == 3 for name in self.ttl):
            raise expected("`ttl` by status, such as {200: 5m, 404: 10s}")
        return self

    def rules(self) -> Rules:
        """As the pure functions take them."""
        by_status = {int(name): ttl for name, ttl in self.ttl.items()} if isinstance(self.ttl, Mapping) else {}
        return Rules(
            ttl=self.ttl if isinstance(self.ttl, float | int) else None,
            ttl_by_status=by_status,
            negative_ttl=self.negative_ttl,
            override=self.override,
            max_ttl=self.max_ttl,
            heuristic_share=self.heuristic,
            heuristic_most=self.heuristic_max,
            statuses=frozenset(self.statuses) if self.statuses is not None else None,
            set_cookie=self.set_cookie,
            stale_while_revalidate=self.stale_while_revalidate,
            stale_if_error=self.stale_if_error,
            disconnected=self.disconnected,
            targets=self.targets,
        )
