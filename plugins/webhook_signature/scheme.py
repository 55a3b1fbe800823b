"""How a provider signs, as data: a bundled preset and an operator's own `scheme` are written in the same words."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from gateway.plugin import Duration, Off, Settings
from gateway.plugin.document import plain
from gateway.plugin.field import FieldName
from gateway.plugin.settings import expected
from gateway.plugin.yaml import compose
from plugins.webhook_signature.template import Template, placeholders, split_path

PRESETS: Final = Path(__file__).with_name("presets.yaml")


class Algorithm(StrEnum):
    """What makes a signature out of the bytes that are signed."""

    HMAC_SHA1 = "hmac-sha1"
    HMAC_SHA256 = "hmac-sha256"
    HMAC_SHA512 = "hmac-sha512"
    SHA256 = "sha256"
    ED25519 = "ed25519"
    ECDSA_SHA256 = "ecdsa-sha256"
    RSA_SHA256 = "rsa-sha256"
    JWT = "jwt"
    TOKEN = "token"  # noqa: S105 - a name


SYMMETRIC: Final = {
    Algorithm.HMAC_SHA1: "sha1",
    Algorithm.HMAC_SHA256: "sha256",
    Algorithm.HMAC_SHA512: "sha512",
    Algorithm.SHA256: "sha256",
}
"""Those that hash, and the hash."""


class Known(StrEnum):
    """How a preset is known to be right."""

    PUBLIC_VECTOR = "public_vector"
    SDK = "sdk"
    SECONDARY = "secondary"


def _path(text: str) -> str:
    split_path(text)
    return text


JsonPath = Annotated[str, AfterValidator(_path)]
TemplateText = Annotated[str, AfterValidator(lambda text: Template(text).text)]


class Place(Settings):
    """Where a value stands: in a header field, a query parameter or a member of a JSON body."""

    header: FieldName | None = Field(
        default=None, description="A header field. `*` at its end counts from 1: one field for each signature."
    )
    query: str | None = Field(default=None, min_length=1, max_length=100, description="A query parameter.")
    json_: JsonPath | None = Field(
        default=None, alias="json", description="A member of the JSON body, by its path: `signature.token`."
    )
    split: Literal[",", ";", " "] | None = Field(
        default=None, description="What stands between values where there are several. Unset: there is one."
    )
    prefix: str = Field(
        default="",
        max_length=64,
        description="What a value begins with, such as `v1=`. Values that begin otherwise are passed over.",
    )

    @model_validator(mode="after")
    def _one(self) -> Place:
        if sum(each is not None for each in (self.header, self.query, self.json_)) != 1:
            raise expected("exactly one of `header`, `query`, `json`")
        return self


class Timestamp(Place):
    """Where the moment of signing stands."""

    unit: Literal["s", "ms", "iso8601"] = Field(
        default="s", description="Seconds or milliseconds since 1970, or a date such as `2026-11-21T12:00:00Z`."
    )


class BodyDigest(Place):
    """A digest of the body that something signed carries. Where it is there, it is compared."""

    encoding: Literal["hex", "base64"] = Field(default="hex", description="Of the SHA-256.")
    required: bool = Field(default=False, description="Whether a request without it is refused.")


class Token(Settings):
    """For `algorithm: jwt`: the signature is a signed token (RFC 7519) with a digest of the body in its claims."""

    algorithms: tuple[Literal["ES256", "RS256", "EdDSA", "HS256"], ...] = Field(
        min_length=1, description="Algorithms that are taken."
    )
    body_claim: str = Field(min_length=1, description="The claim that holds the SHA-256 of the body.")
    encoding: Literal["hex", "base64"] = Field(default="hex", description="Of that digest.")


class Challenge(Settings):
    """A handshake that is answered at the gateway, so that the backend need not know of it."""

    method: Literal["GET", "POST"] = Field(default="POST", description="Of the request.")
    verified: bool = Field(
        default=True, description="Whether its signature must hold first. False where the provider does not sign it."
    )
    when: dict[TemplateText, str] = Field(
        default={}, description="Templates, and what each must be, such as `{json.type}: url_verification`."
    )
    body: str | None = Field(default=None, max_length=200, description="A regular expression of the whole body.")
    echo: TemplateText | None = Field(
        default=None,
        description="Where the token to be answered stands. Only letters, digits and `-._~+/=` are taken, 512 at most.",
    )
    text: str | None = Field(
        default=None, description="The answer as text, in which `{token}`, `{hmac_hex}`, `{hmac_base64}` may stand."
    )
    json_: dict[str, str | int] | None = Field(
        default=None, alias="json", description="The answer as a JSON object, with the same in its texts."
    )

    @model_validator(mode="after")
    def _whole(self) -> Challenge:
        if (self.text is None) == (self.json_ is None):
            raise expected("exactly one of `text` and `json`")
        if not (self.when or self.body or self.echo):
            raise expected("`when`, `body` or `echo`, to know the request by")
        try:
            re.compile(self.body or "")
        except (re.error, OverflowError, RecursionError) as error:
            raise expected(f"a regular expression ({error})") from None
        return self

    @property
    def texts(self) -> list[str]:
        """What is answered, to look for placeholders in."""
        if self.text is not None:
            return [self.text]
        return [value for value in (self.json_ or {}).values() if isinstance(value, str)]


class Certificates(Settings):
    """Public keys in certificates that the sender names the address of."""

    header: FieldName = Field(description="The field with the address.")
    hosts: tuple[str, ...] = Field(min_length=1, description="Hosts that it may lie on; https only.")
    path: str = Field(pattern="^/.*/$", description="What its path begins with.")
    subject: tuple[str, ...] = Field(min_length=1, description="Common names that the certificate may be made out to.")


class KeyService(Settings):
    """Public keys that are asked for by their id, with credentials."""

    url: str = Field(pattern="^https?://", description="Asked with POST: `client_id`, `secret` and `key_id` as JSON.")


class Scheme(Settings):
    """How signatures are made."""

    signature: Place = Field(description="Where the signature stands. Several are tried, up to 32.")
    signed: TemplateText = Field(
        default="{body}",
        description="What is signed. Of the request: `{body}` (bytes as they came), `{method}`, `{url}`, `{path}`, "
        "`{query}`, `{header.NAME}`, `{json.PATH}`, `{form_sorted}` (names and values of a form, sorted), "
        "`{body_sha256}` (hex), `{body_crc32}` (decimal). Else `{timestamp}`, `{id}` (see `event_id`), `{secret}` and "
        "`{value.NAME}` (see `values`). `{{` is a brace.",
    )
    algorithm: Algorithm = Field(
        default=Algorithm.HMAC_SHA256,
        description="`sha256` is a plain hash with `{secret}` in `signed`; `token` compares the value itself.",
    )
    encoding: Literal["hex", "base64", "base64url"] = Field(default="hex", description="Of the signature.")
    secret_encoding: Literal["utf8", "hex", "base64"] = Field(
        default="utf8", description="How the key's bytes are written. Public keys may be PEM with any of them."
    )
    secret_prefixes: tuple[str, ...] = Field(
        default=(), description="What the secret may begin with that is no part of the key, such as `whsec_`."
    )
    timestamp: Timestamp | None = Field(default=None, description="Where the time stands. Unset: it is not looked at.")
    tolerance: Annotated[Duration | None, Off] = Field(
        default=300.0, description="How old a signature may be; `off` takes any. Retries are signed anew."
    )
    future_tolerance: Duration = Field(
        default=300.0, description="How far ahead of this machine's clock the sender's may be."
    )
    event_id: TemplateText | None = Field(
        default=None, description="The sender's id of the event, the same in each of its tries. Unset: there is none."
    )
    each: JsonPath | None = Field(
        default=None,
        description="A list in the JSON body whose elements are signed each for itself; paths start at the element.",
    )
    body_digest: BodyDigest | None = Field(
        default=None, description="A digest of the body where the body itself is not signed."
    )
    url_forms: tuple[Literal["as_called", "other_port", "unescaped"], ...] = Field(
        default=("as_called",),
        min_length=1,
        description="Spellings of `{url}` that are tried: `other_port` with the default port, or without it; "
        "`unescaped` with `%3A` and its like decoded.",
    )
    token: Token | None = Field(default=None, description="For `algorithm: jwt`, what the token must say.")
    certificates: Certificates | None = Field(
        default=None, description="Where certificates are fetched from if no `secrets` are given."
    )
    key_service: KeyService | None = Field(
        default=None, description="Where keys are asked for if no `secrets` are given."
    )
    challenges: tuple[Challenge, ...] = Field(default=(), description="Handshakes that are answered here.")

    @model_validator(mode="after")
    def _whole(self) -> Scheme:
        named = placeholders(self.signed)
        if (self.algorithm is Algorithm.JWT) != (self.token is not None):
            raise expected("`token` with `algorithm: jwt`, and only then")
        if "timestamp" in named and self.timestamp is None:
            raise expected("`timestamp`, because `signed` has {timestamp}")
        if "id" in named and self.event_id is None:
            raise expected("`event_id`, because `signed` has {id}")
        if self.event_id is not None and {"id", "secret"} & placeholders(self.event_id):
            raise expected("an `event_id` without {id} and {secret}")
        if ("secret" in named) != (self.algorithm is Algorithm.SHA256):
            raise expected("{secret} in `signed` with `algorithm: sha256`, and only then")
        return self

    @property
    def covers_body(self) -> bool:
        """Whether a change of the body breaks the signature."""
        if self.algorithm in (Algorithm.JWT, Algorithm.TOKEN):
            return self.algorithm is Algorithm.JWT
        named = placeholders(self.signed)
        if self.body_digest is not None and (self.body_digest.required or "form_sorted" in named):
            return True
        return bool(named & {"body", "body_sha256", "body_crc32"})

    @property
    def covers_id(self) -> bool:
        """Whether the event id is signed, so that nobody on the way can give a copy another."""
        if self.event_id is None or self.algorithm is Algorithm.TOKEN:
            return False
        named = placeholders(self.signed)
        if "id" in named:
            return True
        return all(
            (name.startswith("json.") and self.covers_body) or name in named for name in placeholders(self.event_id)
        )


class Preset(Scheme):
    """A scheme with its name, and how it is known."""

    title: str = Field(min_length=2, description="The provider's own name.")
    known: Known = Field(description="How it is known to be right.")
    source: str = Field(min_length=5, description="Where it was found.")


@cache
def presets() -> dict[str, Preset]:
    """Every bundled preset by its name. Raises pydantic's ValidationError if the file is wrong."""
    tree = compose(PRESETS.read_text("utf-8"), PRESETS.name)
    if tree.problems:
        raise ValueError(f"{tree.problems[0].position}: {tree.problems[0].message}")
    found: dict[str, Any] = plain(tree.root)
    return {name: Preset.model_validate(data) for name, data in found.items()}
