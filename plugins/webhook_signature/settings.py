"""What operators say of a webhook: whose it is, the secrets, and what becomes of an event that comes again."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from gateway.plugin import Count, Duration, Off, Secret, Settings, Size
from gateway.plugin.settings import expected, expected_secret
from gateway.services.jose import keys as jose
from gateway.services.store import OnStoreError
from plugins.webhook_signature.key import Key, UnusableKey, read_key
from plugins.webhook_signature.scheme import Algorithm, Scheme, presets
from plugins.webhook_signature.template import placeholders

MOST_SECRETS: Final = 16


class _Known:
    """The name of a preset; the file is read when a name is looked at, not when this module is."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls._check, handler(source))

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "enum": sorted(presets())}

    @staticmethod
    def _check(name: str) -> str:
        known = presets()
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else f": {', '.join(known)}"
            raise expected(f"a provider that is known, or a `scheme` of your own{hint}")
        return name


def _public(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.fragment or parts.username is not None:
        raise expected("an http or https URL, such as https://hooks.example.com")
    return text.removesuffix("/") if parts.path == "/" and not parts.query else text


class Credentials(Settings):
    """For providers whose keys are asked for, such as Plaid."""

    client_id: str = Field(min_length=1, description="As the provider calls it.")
    client_secret: Secret = Field(description="The secret that goes with it.")
    url: Annotated[str, AfterValidator(_public)] | None = Field(
        default=None, description="Where to ask instead, such as the provider's sandbox."
    )


class Replay(Settings):
    """Event ids that were delivered: one that comes again is acknowledged and goes no further."""

    ttl: Duration = Field(
        default=86400.0,
        ge=1,
        description="How long an id is remembered. Longer than the provider's retries go on protects from all of them.",
    )
    lease: Duration = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="How long an event stays taken when the gateway that delivers it dies. Renewed while it lives.",
    )
    status: Annotated[Count, Field(ge=200, le=299)] = Field(
        default=200, description="How an event that was delivered before is acknowledged."
    )
    by_body: bool = Field(
        default=False,
        description="For events without an id: whether a body that comes again is a replay. Two equal events can both "
        "be real, so this is not the default.",
    )
    on_store_error: OnStoreError = Field(
        default=OnStoreError.LOCAL,
        description="While the store is away. `local`: known are the events that this worker delivered. `allow`: none. "
        "`deny`: 503, and the sender comes again.",
    )


class WebhookSignatureSettings(Settings):
    """Either `provider` or `scheme`. The body is taken as it came, before anything reads or changes it, so this stands
    outside plugins that transform requests. To change a secret, list both until the provider uses the new one.
    """

    provider: Annotated[str, _Known] | None = Field(
        default=None, description="Who sends, by the name of a preset; see the table below."
    )
    scheme: Scheme | None = Field(default=None, description="How another sender signs, in the presets' own words.")
    secrets: tuple[Secret, ...] = Field(
        default=(),
        max_length=MOST_SECRETS,
        description="Secrets as the provider shows them, any of which may have signed; where it signs with a private "
        "key, its public keys (as shown, or PEM).",
    )
    credentials: Credentials | None = Field(
        default=None, description="For a provider that gives out its keys to its customers only (Plaid)."
    )
    values: dict[str, str] = Field(
        default={}, description="What `{value.NAME}` of a scheme stands for: PayPal needs its `webhook_id`."
    )
    url: Annotated[str, AfterValidator(_public)] | None = Field(
        default=None,
        description="What the sender called, for schemes that sign it, where something in front changes it: "
        "an origin, or the whole URL. Unset: as the request says.",
    )
    tolerance: Annotated[Duration | None, Off] | None = Field(
        default=-1.0,
        validate_default=False,
        description="How old a signature may be, in place of the scheme's; `off` takes any.",
        json_schema_extra={"default": None},
    )
    future_tolerance: Duration | None = Field(
        default=None, description="How far ahead the sender's clock may be, in place of the scheme's."
    )
    max_body: Size = Field(default=1_000_000, le=64_000_000, description="Largest body; it is held. More is a 413.")
    replay: Annotated[Replay | None, Off] = Field(
        default=Replay(),
        description="`off`: events that come again are delivered again. Otherwise ids are kept in `stores.shared`.",
    )
    handshakes: bool = Field(
        default=True, description="Whether the provider's handshakes are answered here. The route must take their GET."
    )

    @model_validator(mode="after")
    def _whole(self) -> WebhookSignatureSettings:
        if (self.provider is None) == (self.scheme is None):
            raise expected("either `provider` or `scheme`")
        scheme = self.effective()
        fetched = scheme.certificates is not None or scheme.key_service is not None
        if not self.secrets and not fetched:
            raise expected("`secrets` with at least one")
        if scheme.key_service is not None and not self.secrets and self.credentials is None:
            raise expected("`credentials`, to ask for keys with, or the keys in `secrets`")
        lacking = {name for name in placeholders(scheme.signed) if name.startswith("value.")}
        lacking -= {f"value.{name}" for name in self.values}
        if lacking:
            raise expected(f"`values` with {', '.join(sorted(name.removeprefix('value.') for name in lacking))}")
        self.keys()
        return self

    def effective(self) -> Scheme:
        """The scheme with this operator's tolerances."""
        scheme = presets()[self.provider] if self.provider is not None else self.scheme
        assert scheme is not None, "one of them is given"
        changed: dict[str, Any] = {}
        if self.tolerance != -1.0:
            changed["tolerance"] = self.tolerance
        if self.future_tolerance is not None:
            changed["future_tolerance"] = self.future_tolerance
        return scheme.model_copy(update=changed)

    def keys(self) -> tuple[Key, ...] | tuple[jose.Key, ...]:
        """Those that are given. Raises ValueError."""
        scheme = self.effective()
        texts = [each.get_secret_value() for each in self.secrets]
        try:
            if scheme.algorithm is Algorithm.JWT:
                return tuple([_token_key(text) for text in texts])
            return tuple([read_key(scheme, text) for text in texts])
        except (UnusableKey, jose.UnusableKey) as error:
            raise expected_secret(f"`secrets` that are keys of this provider: {error}") from None


def _token_key(text: str) -> jose.Key:
    if text.lstrip().startswith("{"):
        return jose.from_jwk(jose.read_json(text.encode()))
    return jose.from_pem(text) if "-----BEGIN" in text else jose.from_secret(text)


def doubts(settings: WebhookSignatureSettings) -> Sequence[str]:
    """What is valid and can hardly be meant."""
    scheme, found = settings.effective(), []
    if scheme.timestamp is not None and scheme.tolerance is None and settings.tolerance is None:
        found.append("tolerance: a signature that somebody once saw is good for ever")
    if settings.provider is None and not scheme.covers_body:
        found.append("scheme: the signature does not cover the body, which anybody on the way can change")
    if settings.replay is not None and settings.replay.by_body and scheme.event_id is not None:
        found.append("replay.by_body: this sender gives its events ids, which come first")
    return found
