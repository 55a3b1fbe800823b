"""What settings say of an issuer whose signatures are verified: where it is, its algorithms, how its keys are kept."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from gateway.plugin.settings import Duration, Settings, expected

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"
]


def url_of(text: str) -> str:
    """The text itself. Raises ValueError if it is no http or https URL, or has a user in it."""
    try:
        parts = urlsplit(text)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username
    except ValueError:
        fine = False
    if not fine or not text.isprintable() or " " in text:
        raise expected("an http or https URL without a user in it")
    return text


Url = Annotated[str, AfterValidator(url_of)]


def in_the_open(url: str) -> bool:
    """Whether it is fetched without TLS over a network."""
    host = url.removeprefix("http://").partition("/")[0].rpartition("@")[2]
    local = host.startswith(("localhost", "127.", "[::1]"))
    return url.startswith("http://") and not local


class Fetching(Settings):
    """How keys are kept fresh. Each worker fetches once for all its routes, a little apart from the others."""

    refresh: Duration = Field(
        default=600.0,
        ge=10,
        description="Keys are fetched again after this, or sooner if the answer's `max-age` says so. Ten minutes is "
        "how long a key that its issuer withdrew may still be believed.",
    )
    cooldown: Duration = Field(
        default=10.0,
        ge=1,
        description="A token with an unknown `kid` causes one fetch, then none for this long: senders choose `kid`.",
    )
    keep: Duration = Field(
        default=86400.0, description="How long keys serve after the last successful fetch while the issuer is down."
    )
    timeout: Duration = Field(default=5.0, gt=0, description="For one fetch, whole.")
