"""What operators say of keys: who must send them, what makes two requests the same, what is kept and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field, model_validator

from gateway.plugin import Count, Duration, Secret, Settings, Size
from gateway.plugin.field import FieldName
from gateway.plugin.settings import expected
from gateway.plugin.statuses import Statuses, statuses_of
from gateway.plugin.template import compile_template
from gateway.services.seal import LEAST_KEY
from gateway.services.store import OnStoreError

PRINCIPAL: Final = "principal"
METHODS: Final = frozenset({"POST", "PATCH", "PUT", "DELETE"})


class Choice(StrEnum):
    """What becomes of a repetition whose first request may have been carried out."""

    REFUSE = "refuse"
    FORWARD = "forward"


def _caller(text: str) -> str:
    if text != PRINCIPAL:
        compile_template(text)
        if "{" not in text:
            raise expected("`principal`, or a template such as `{tenant}` or `{header.X-Account}`")
    return text


def _method(text: str) -> str:
    if text not in METHODS:
        raise expected(f"one of {', '.join(sorted(METHODS))}: any other is safe to repeat as it is")
    return text


class IdempotencySettings(Settings):
    """A key belongs to its caller and route. One that comes again with another request (method, path, query, chosen
    fields, body) is refused. Stands behind authentication and inside `compression` and `fallback`: what it keeps is
    what the target answered.
    """

    header: FieldName = Field(default="Idempotency-Key", description="The field that carries the key.")
    methods: tuple[Annotated[str, AfterValidator(_method)], ...] = Field(
        default=("POST", "PATCH"),
        min_length=1,
        description="Methods whose keys count. The others pass as if there were no key.",
    )
    required: bool = Field(
        default=False, description="Whether a request of these methods without a key is refused (400)."
    )
    bare_keys: bool = Field(
        default=False,
        description="Whether a key may stand without quotation marks, as many clients send it. The draft asks for a "
        'string in quotation marks: `Idempotency-Key: "8e03978e"`. With and without them it is the same key.',
    )
    max_key: Annotated[Count, Field(ge=1, le=1000)] = Field(
        default=255, description="Longest key, in characters; more is a 400."
    )
    caller: Annotated[str, AfterValidator(_caller)] = Field(
        default=PRINCIPAL,
        description="To whom a key belongs. `principal`: who was authenticated, with the tenant; without one, whoever "
        "has the same `Authorization` and `X-API-Key`. Else a template such as `{tenant}` or `{header.X-Account}`.",
    )
    fingerprint: tuple[FieldName, ...] = Field(
        default=("Content-Type",),
        description="Fields that, besides method, path, query and body, must be the same when a key comes again.",
    )
    ttl: Duration = Field(
        default=86400.0, ge=1, description="How long an outcome is kept. Tell your clients: a key later is a new one."
    )
    keep: tuple[Statuses, ...] = Field(
        default=("2xx", "3xx", "4xx"),
        description="Answers of the target that are kept and replayed. Any other frees the key, so that the client may "
        "try again; 5xx is not kept because it seldom is an outcome.",
    )
    never: tuple[Annotated[Count, Field(ge=200, le=599)], ...] = Field(
        default=(401, 407, 408, 409, 421, 425, 429),
        description="Answers that are not kept even so: they ask to come again, with other credentials or later.",
    )
    unknown: tuple[Annotated[Count, Field(ge=500, le=599)], ...] = Field(
        default=(502, 504),
        description="Answers of the target after which nobody knows whether it acted, as a proxy before it gives them: "
        "see `on_unknown`.",
    )
    drop: tuple[FieldName, ...] = Field(
        default=("Set-Cookie",),
        description="Fields that are not kept with an answer. `Date` and what is about the connection never is.",
    )
    max_body: Size = Field(default=1_000_000, description="Largest request body; it is held. More is a 413.")
    max_answer: Size = Field(
        default=100_000,
        le=16_000_000,
        description="Largest answer body that is kept. A larger one reaches the client, and a repetition is told (409) "
        "that the request was carried out and its answer is gone.",
    )
    deadline: Duration = Field(
        default=300.0, ge=1, description="How long a request may go on, also after its client has left."
    )
    lease: Duration = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="How long a key stays taken when the gateway that works on it dies. Renewed while it lives.",
    )
    on_crash: Choice = Field(
        default=Choice.FORWARD,
        description="For a repetition after that. `forward`: as a new request. `refuse`: as `on_unknown` has it, "
        "because the target may have acted.",
    )
    on_unknown: Choice = Field(
        default=Choice.REFUSE,
        description="For a repetition after the target may have acted and no answer came (reset, timeout, cut body). "
        "`refuse`: 409, until `ttl` is over, as a second try could charge twice. `forward`: as a new request. With "
        "`backend_honours_key` it is always forwarded.",
    )
    backend_honours_key: bool = Field(
        default=False,
        description="Whether the target itself obeys the key. Then the upstream's `retry` covers these requests as it "
        "does PUT, and a request whose outcome is unknown may be sent again.",
    )
    on_store_error: OnStoreError = Field(
        default=OnStoreError.DENY,
        description="While the store is away. `deny`: 503, because nobody can tell a repetition from a new request and "
        "a client that may not charge twice would rather wait. `allow`: without protection. `local`: protected from "
        "repetitions that meet this worker only.",
    )
    secrets: tuple[Secret, ...] = Field(
        default=(),
        description="Encrypts what is kept (AES-256-GCM). The first one seals, all open: put a new one in front to "
        "change it. Unset: kept as it is.",
    )

    @model_validator(mode="after")
    def _whole(self) -> IdempotencySettings:
        if any(len(each.get_secret_value().encode()) < LEAST_KEY for each in self.secrets):
            raise expected(f"`secrets` of at least {LEAST_KEY} bytes each")
        if self.lease > self.ttl:
            raise expected("a `lease` no longer than `ttl`")
        if both := self.kept() & set(self.unknown):
            raise expected(f"{min(both)} in `keep` or in `unknown`, not in both")
        if not self.kept():
            raise expected("`keep` with at least one status that `never` does not take back")
        return self

    def kept(self) -> frozenset[int]:
        """Statuses that are kept."""
        return statuses_of(self.keep) - set(self.never)


def doubts(settings: IdempotencySettings) -> Sequence[str]:
    """What is valid and can hardly be meant."""
    found = []
    if any(status >= 500 for status in settings.kept()):
        found.append("keep: a 5xx that is kept is all that the client gets for this key until `ttl` is over")
    if settings.on_store_error is not OnStoreError.DENY:
        found.append("on_store_error: while the store is away a repetition may be carried out a second time")
    return found
