"""What operators say of an inbox: what is accepted, how it is answered, what is the same event, how it is delivered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import AfterValidator, Field, model_validator

from gateway.plugin import Count, Duration, Off, Settings, Size, Text
from gateway.plugin.delivery import DeliverySettings
from gateway.plugin.field import FieldName
from gateway.plugin.settings import expected
from plugins.inbox.key import KeyTemplate

METHODS: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
SECRETS: Final = ("Authorization", "Cookie", "Proxy-Authorization", "X-API-Key")


def _method(text: str) -> str:
    if text not in METHODS:
        raise expected(f"one of {', '.join(sorted(METHODS))}: any other asks for an answer that only the target has")
    return text


class Answer(Settings):
    """What the sender is told once its request is on disk."""

    status: Annotated[Count, Field(ge=200, le=299)] = Field(
        default=202, description="Some providers want 200 or 204: see their documentation."
    )
    body: Text = Field(default="", description="Body, as it stands, for providers that want one.")
    type: str = Field(
        default="text/plain; charset=utf-8",
        pattern=r"^[!-~][ -~]*$",
        description="Content type of the body, such as `application/json`.",
    )

    @model_validator(mode="after")
    def _sendable(self) -> Answer:
        if self.body and self.status in (204, 205):
            raise expected(f"no `body` with {self.status}, which has none (RFC 9110 §15.3.5)")
        return self


class Dedup(Settings):
    """An event that comes again is acknowledged and not kept a second time."""

    window: Duration = Field(
        default=86_400.0,
        gt=0,
        description="For how long after the first. Longer than the sender's tries go on covers all of them.",
    )
    by: tuple[KeyTemplate, ...] = Field(
        default=("{event}", "{header.Webhook-Id}", "{header.X-GitHub-Delivery}", "{header.Idempotency-Key}"),
        min_length=1,
        max_length=16,
        description="What makes two requests the same event: templates, of which the first that is not empty counts, "
        "for each principal by itself. `{event}` is the id that `webhook_signature` has verified, whoever the provider "
        "is; `{header.NAME}`, `{json./POINTER}` (such as `{json./id}`) and `{form.NAME}` read the request. `{body}`, a "
        "hash of all bytes, is not among them by default: two equal events can both be real.",
    )


class InboxSettings(DeliverySettings):
    """What stands below it in the list runs when it delivers, not when it accepts; authentication and
    `webhook_signature` stand above it. Payloads are encrypted if `queue.keys` are set.
    """

    methods: tuple[Annotated[str, AfterValidator(_method)], ...] = Field(
        default=("POST", "PUT", "PATCH", "DELETE"),
        min_length=1,
        description="Methods that are kept. Others, such as a provider's GET to check the URL, pass at once.",
    )
    answer: Answer = Field(default=Answer(), description="What the sender is told once its request is on disk.")
    max_body: Size = Field(
        default=1_000_000, gt=0, le=64_000_000, description="Largest body; it is held. More is a 413."
    )
    dedup: Annotated[Dedup | None, Off] = Field(
        default=Dedup(), description="When an event is one that was accepted before; or `off`."
    )
    order_by: KeyTemplate | None = Field(
        default=None,
        description="Requests with the same key are delivered one after the other, in the order they came: a template "
        "as in `dedup.by`, such as `{json./data/object/customer}`. Those without a key, and all if it is unset, are "
        "delivered side by side.",
    )
    subject: KeyTemplate | None = Field(
        default=None,
        description="Whose data it is, for erasure: a template as in `dedup.by`. Unset: the principal's, by its id. "
        "Kept as a digest only.",
    )
    drop: tuple[FieldName, ...] = Field(
        default=SECRETS,
        description="Fields that are not kept: credentials have no place on a disk, and are stale when it is "
        "delivered. What is about the connection never is kept.",
    )
    retry_after: Annotated[Duration, Field(ge=1, le=86_400)] = Field(
        default=30.0, description="When to come again, for who is refused (503) as the queue is full or fails."
    )


def doubts(settings: InboxSettings) -> Sequence[str]:
    """What is valid and can hardly be meant."""
    found = []
    if settings.dedup is not None and "{body}" in settings.dedup.by:
        found.append("dedup.by: two equal events can both be real; with `{body}` the second is not delivered")
    if settings.hold_on_dead and settings.order_by is None:
        found.append("hold_on_dead: without `order_by` nothing waits for anything")
    kept = {name.lower() for name in settings.drop}
    if missing := [name for name in SECRETS[:2] if name.lower() not in kept]:
        found.append(f"drop: {missing[0]} is kept on disk, and in every copy of it")
    return found
