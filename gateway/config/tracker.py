"""Where errors that nobody has handled are sent."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from gateway.plugin.settings import Count, Duration, Percent, Secret, Settings, expected_secret


def _dsn(secret: SecretStr) -> SecretStr:
    wrong = expected_secret("a DSN, such as https://key@errors.example.com/7")
    try:
        parts: Any = urlsplit(secret.get_secret_value())
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.username and parts.port != 0
    except ValueError:
        raise wrong from None
    if not whole or not parts.path.rpartition("/")[2].isdecimal() or parts.query or parts.fragment:
        raise wrong
    return secret


class Sentry(Settings):
    """A tracker that speaks Sentry's protocol; needs the extra `sentry`. Sent are type, masked message and stack of an
    error, its route and the ids of request and trace; no body, header field, cookie or local variable.
    """

    dsn: Annotated[Secret, AfterValidator(_dsn)] = Field(description="The project's DSN.")
    environment: str = Field(
        default="production", min_length=1, max_length=64, pattern=r"^[^/\s]+$", description="Of this gateway."
    )
    release: str = Field(default="", max_length=200, description="Unset: `sidegate@` and the gateway's version.")
    sample: Percent = Field(default=1.0, description="Share of the errors that are sent.")
    interval: Duration = Field(
        default=60.0,
        description="Least time between two reports of a group; what came between is counted in the next.",
    )
    per_minute: Count = Field(default=20, ge=1, le=10_000, description="Most reports a minute, from each worker.")
