"""Tells a URL of each change of state, signed as Standard Webhooks has it where a secret is given."""

from __future__ import annotations

import asyncio
import base64
import hmac
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from pydantic import AfterValidator, Field

from gateway.errors import GatewayError
from gateway.plugin import Context, Count, Duration, Secret, Settings
from gateway.plugin.settings import expected_secret
from plugins.circuit_breaker.outbox import Outbox

_LONGEST_WAIT: Final = 60.0
_AT_CLOSE: Final = 1.0
"""Seconds in which a gateway that stops may still tell what it knows."""


def _key(secret: str) -> bytes:
    """The bytes of a secret: of ``whsec_…`` what the base64 says, of any other text itself. Raises ValueError."""
    if secret.startswith("whsec_"):
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    return secret.encode()


def _signs(secret: Secret) -> Secret:
    try:
        key = _key(secret.get_secret_value())
    except ValueError:
        raise expected_secret("base64 after `whsec_`") from None
    if len(key) < 16:
        raise expected_secret("a secret of at least 16 bytes")
    return secret


def _leads(url: Secret) -> Secret:
    if not url.get_secret_value().startswith(("http://", "https://")):
        raise expected_secret("a URL that begins with http:// or https://")
    return url


class WebhookSettings(Settings):
    """Where each change of state is told, as a JSON document by POST."""

    url: Annotated[Secret, AfterValidator(_leads)] = Field(
        description="Where to. Not shown anywhere, since those of chat services are secrets."
    )
    secret: Annotated[Secret, AfterValidator(_signs)] | None = Field(
        default=None,
        description="Signs with HMAC-SHA256 after Standard Webhooks (`webhook-id`, `webhook-timestamp`, "
        "`webhook-signature: v1,…`). Text, or `whsec_` and base64. Unset: not signed.",
    )
    attempts: Annotated[Count, Field(ge=1, le=10)] = Field(
        default=4, description="How often one event is tried. Any answer but 2xx is a failure."
    )
    backoff: Duration = Field(
        default=1.0, gt=0, le=_LONGEST_WAIT, description="Wait before the second attempt; doubled each time, up to 1m."
    )
    timeout: Duration = Field(default=5.0, gt=0, le=60.0, description="For one attempt.")
    queue: Annotated[Count, Field(ge=1, le=10_000)] = Field(
        default=100, description="Events that wait at most; beyond, the oldest is given up."
    )


class Webhook:
    """One URL that is told."""

    def __init__(self, settings: WebhookSettings, context: Context, upstream: str) -> None:
        self._settings = settings
        self._context = context
        self._url = settings.url.get_secret_value()
        self._secret = _key(settings.secret.get_secret_value()) if settings.secret is not None else None
        self._outbox = Outbox(context, f"circuit breaker events of {upstream}", self._deliver, settings.queue)
        events = context.metrics.counter(
            "circuit_breaker_events_total",
            "Events for the webhook, by what became of them: delivered, failed, or dropped from a full queue.",
            ("upstream", "plugin", "outcome"),
        )
        outcomes = ("delivered", "failed", "dropped")
        self._delivered, self._failed, self._dropped = (events.child(upstream, context.id, each) for each in outcomes)

    def tell(self, data: dict[str, Any]) -> None:
        """Send the event as soon as possible. Never waits."""
        moment = datetime.fromtimestamp(self._context.clock.time(), UTC).isoformat(timespec="milliseconds")
        body = msgspec.json.encode({"type": "circuit_breaker.state_changed", "timestamp": moment, "data": data})
        before = self._outbox.dropped
        self._outbox.put((f"evt_{secrets.token_hex(12)}", body))
        self._dropped.value += self._outbox.dropped - before

    async def _deliver(self, event: tuple[str, bytes]) -> None:
        settings = self._settings
        why = ""
        for attempt in range(settings.attempts):
            if attempt:
                await asyncio.sleep(min(settings.backoff * 2 ** (attempt - 1), _LONGEST_WAIT))
            try:
                answer = await self._context.client().request(
                    "POST",
                    self._url,
                    headers=self._headers(*event),
                    body=event[1],
                    timeout=settings.timeout,
                    limit=65536,
                )
            except GatewayError as error:
                why = error.code  # not its reason: that has the URL
                continue
            if 200 <= answer.status < 300:
                self._delivered.value += 1
                return
            why = f"status {answer.status}"
        self._failed.value += 1
        self._context.log.warning("an event of a circuit breaker was not delivered: %s", why, extra={"event": event[0]})

    def _headers(self, name: str, body: bytes) -> dict[str, str]:
        """Each attempt has the event's id, by which a receiver knows a repetition, and a signature of its own time."""
        moment = str(int(self._context.clock.time()))
        headers = {"Content-Type": "application/json", "webhook-id": name, "webhook-timestamp": moment}
        if self._secret is not None:
            digest = hmac.digest(self._secret, b"%b.%b.%b" % (name.encode(), moment.encode(), body), "sha256")
            headers["webhook-signature"] = "v1," + base64.b64encode(digest).decode()
        return headers

    async def close(self) -> None:
        """Idempotent."""
        await self._outbox.close(_AT_CLOSE)
