"""What operators say of calls that are answered before they are done."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from gateway.http.path import normalize
from gateway.plugin import Count, Duration, Size
from gateway.plugin.delivery import DeliverySettings
from gateway.plugin.field import FieldName
from gateway.plugin.settings import expected
from gateway.plugin.statuses import Statuses

METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


def _method(text: str) -> str:
    if text not in METHODS:
        raise expected(f"one of {', '.join(sorted(METHODS))}")
    return text


def _path(text: str) -> str:
    if not re.fullmatch(r"(?:/[A-Za-z0-9._~-]+)+", text) or normalize(text) != text:
        raise expected("a path such as /.sidegate/jobs")
    return text


class RespondAsyncSettings(DeliverySettings):
    """`Prefer: respond-async` (RFC 7240 §4.1) is a wish: who does not send it is served as ever. What is idempotent, by
    its method or by an `Idempotency-Key`, is tried again as `retry` says; anything else is sent once.
    """

    methods: tuple[Annotated[str, AfterValidator(_method)], ...] = Field(
        default=("GET", "POST", "PUT", "PATCH", "DELETE"), min_length=1, description="Calls that may be answered so."
    )
    always: bool = Field(default=False, description="Answer so without being asked to.")
    path: Annotated[str, AfterValidator(_path)] = Field(
        default="/.sidegate/jobs",
        description="Where clients ask how a call goes, on every listener. No route and no plugin stands in front: the "
        "URL holds 192 random bits, and who has it may ask.",
    )
    max_body: Size = Field(
        default=1_000_000, gt=0, le=64_000_000, description="Largest body; it is held. A larger one is served at once."
    )
    max_result: Size = Field(
        default=10_000_000,
        gt=0,
        le=64_000_000,
        description="Largest answer that is kept; with more the call has failed.",
    )
    keep_result: Duration = Field(default=86_400.0, ge=1, description="How long a result can be fetched.")
    max_wait: Duration = Field(
        default=10.0, ge=0, le=300, description="Longest wait for the result itself, if `Prefer: wait=…` asks for one."
    )
    deadline: Duration = Field(
        default=900.0,
        ge=0.1,
        le=86_400,
        description="How long one try may take, its answer's body included. The "
        "upstream's own `timeout` holds as well.",
    )
    success: tuple[Statuses, ...] = Field(
        default=("2xx", "3xx", "4xx", 500, 501), min_length=1, description="Answers that are the result."
    )
    dead_on: tuple[Statuses, ...] = Field(default=(), description="Answers after which the call has failed at once.")
    drop: tuple[FieldName, ...] = Field(
        default=(),
        description="Fields that are not kept with the call. Credentials are, unless they stand here: the call is made "
        "with them, and `queue.keys` encrypt it until then.",
    )
    poll: Annotated[Count, Field(ge=1, le=3600)] = Field(
        default=2, description="Seconds after which clients are told to ask again (`Retry-After`)."
    )


def doubts(settings: RespondAsyncSettings) -> Sequence[str]:
    """What is valid and can hardly be meant."""
    if settings.max_wait >= settings.deadline:
        return ["max_wait: with a `deadline` that is no longer, a client never gets a 202 in time"]
    return []
