"""The settings of http_signature."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from gateway.http import Principal
from gateway.plugin import Count, Document, Duration, Secret, Settings, Size, Text
from gateway.plugin.settings import expected
from gateway.services.store import OnStoreError
from plugins.http_signature.component import Component, Unusable, parse_component
from plugins.http_signature.digest import DigestName
from plugins.http_signature.key import AlgorithmName, Key, UnusableKey, from_jwk, from_pem, from_secret


def _component(text: str) -> str:
    try:
        parse_component(text)
    except Unusable as error:
        raise expected(f'a component such as `@method`, `content-type` or `@query-param;name="id"`: {error}') from None
    return text


ComponentText = Annotated[str, AfterValidator(_component)]


class KeySettings(Settings):
    """One key: a shared secret, or a public key."""

    id: str = Field(min_length=1, max_length=256, description="The `keyid` of its signatures.")
    algorithm: AlgorithmName = Field(description="The one algorithm that this key serves.")
    secret: Secret | None = Field(default=None, description="For `hmac-sha256`: at least 32 bytes.")
    encoding: Literal["text", "base64"] = Field(default="text", description="How the secret is written.")
    public_key: Text | None = Field(default=None, description="For all others: a public key or certificate in PEM.")
    principal: str | None = Field(default=None, description="Who signs with it. The key's id if not given.")
    tenant: str | None = Field(default=None, description="The caller's tenant.")
    roles: frozenset[str] = Field(default=frozenset(), description="The caller's roles.")
    scopes: frozenset[str] = Field(default=frozenset(), description="The caller's scopes.")
    rate_class: str | None = Field(default=None, description="The caller's class for `rate_limit`.")

    @model_validator(mode="after")
    def _usable(self) -> KeySettings:
        self.key()
        return self

    def key(self) -> Key:
        """The key. Raises ValueError for one that is not of its algorithm."""
        principal = Principal(self.principal or self.id, self.tenant, self.roles, self.scopes, self.rate_class)
        try:
            if self.algorithm == "hmac-sha256":
                return from_secret(self.id, _secret_of(self.secret, self.encoding), principal)
            if self.public_key is None or self.secret is not None:
                raise UnusableKey(f"the key {self.id!r}: `{self.algorithm}` takes a `public_key`")
            return from_pem(self.id, self.algorithm, self.public_key, principal, private=False)
        except UnusableKey as error:
            raise ValueError(str(error)) from None


def _secret_of(secret: Any, encoding: str) -> bytes:
    if secret is None:
        raise UnusableKey("`hmac-sha256` takes a `secret`")
    text = secret.get_secret_value()
    try:
        return base64.b64decode(text, validate=True) if encoding == "base64" else text.encode()
    except (binascii.Error, ValueError):
        raise UnusableKey("the secret is not base64") from None


class VerifySettings(Settings):
    """Which signatures of requests hold."""

    keys: tuple[KeySettings, ...] = Field(
        default=(), description="Keys that signatures may be made with, each with its own id."
    )
    jwks: Document = Field(
        default=None, description="A JWK set with further public keys; each must say its `kid` and `alg`."
    )
    components: tuple[ComponentText, ...] = Field(
        default=("@method", "@authority", "@path", "@query"),
        description='What a signature must cover, at least; for example `@query-param;name="id"`.',
    )
    body: Literal["required", "if_present"] = Field(
        default="required",
        description="`required`: who sends a body must cover its `content-digest`. `if_present`: digests are verified "
        "where they are sent.",
    )
    tag: str | None = Field(default=None, max_length=128, description="Only signatures with this `tag` are looked at.")
    max_age: Duration = Field(default=300.0, gt=0, description="How old `created` may be.")
    skew: Duration = Field(default=5.0, le=300, description="By how much clocks may differ.")
    require_expires: bool = Field(default=False, description="Signatures must say when they expire.")
    nonce: Literal["off", "optional", "required"] = Field(
        default="optional",
        description="Nonces are remembered as long as their signature could be repeated, and taken once. `required`: "
        "a signature without one is refused. `off`: they mean nothing.",
    )
    on_store_error: OnStoreError = Field(
        default=OnStoreError.DENY, description="Signed requests with a nonce while the store is away."
    )
    max_body: Size = Field(default=1_000_000, ge=1, description="Largest body that is held to verify its digest.")

    @model_validator(mode="after")
    def _some(self) -> VerifySettings:
        self.by_id()
        return self

    def by_id(self) -> Mapping[str, Key]:
        """All keys. Raises ValueError for an id that is there twice, and where there is no key."""
        found: dict[str, Key] = {}
        listed = self.jwks.get("keys") if isinstance(self.jwks, dict) else () if self.jwks is None else None
        if not isinstance(listed, list | tuple) or not all(isinstance(each, dict) for each in listed):
            raise ValueError("`jwks` is no JWK set: it has no list of `keys`")
        try:
            for key in (*(each.key() for each in self.keys), *(from_jwk(each) for each in listed)):
                if key.id in found:
                    raise ValueError(f"the key {key.id!r} is there twice")
                found[key.id] = key
        except UnusableKey as error:
            raise ValueError(str(error)) from None
        if not found:
            raise ValueError("`keys` or `jwks`: nobody could sign")
        return found

    def required(self) -> list[Component]:
        """The components that must be covered."""
        return [parse_component(each) for each in self.components]


class SignSettings(Settings):
    """How a message is signed."""

    id: str = Field(
        min_length=1, max_length=256, pattern=r"^[\x20-\x7e]+$", description="The `keyid` of the signature."
    )
    algorithm: AlgorithmName = Field(description="The algorithm that the key is for.")
    secret: Secret | None = Field(default=None, description="For `hmac-sha256`: at least 32 bytes.")
    encoding: Literal["text", "base64"] = Field(default="text", description="How the secret is written.")
    private_key: Secret | None = Field(default=None, description="For all others: a private key in PEM.")
    label: str = Field(
        default="sidegate", pattern=r"^[a-z*][a-z0-9_.*-]{0,63}$", description="The signature's name in its fields."
    )
    components: tuple[ComponentText, ...] | None = Field(
        default=None,
        description="What is signed; a field that is not there is left out. Unset: `@method`, `@target-uri` and "
        "`content-digest` of a request, `@status`, `content-type`, `content-digest` and the request's `@method`, "
        "`@authority` and `@path` of an answer.",
    )
    digest: DigestName = Field(default="sha-256", description="For the `Content-Digest` of a body.")
    expires: Duration = Field(default=60.0, ge=1, description="How long the signature holds.")
    nonce: bool = Field(default=True, description="Make each signature unique.")
    tag: str | None = Field(
        default=None, max_length=128, pattern=r"^[\x20-\x7e]*$", description="What the signature is for."
    )
    max_body: Size = Field(
        default=1_000_000, ge=1, description="Largest body that is held to be signed. A larger request is refused with "
        "413, a larger answer goes without a signature and is counted."
    )  # fmt: skip

    @model_validator(mode="after")
    def _usable(self) -> SignSettings:
        self.key()
        return self

    def key(self) -> Key:
        """The key. Raises ValueError for one that is not of its algorithm."""
        principal = Principal(self.id)
        try:
            if self.algorithm == "hmac-sha256":
                return from_secret(self.id, _secret_of(self.secret, self.encoding), principal)
            if self.private_key is None or self.secret is not None:
                raise UnusableKey(f"`{self.algorithm}` takes a `private_key`")
            return from_pem(self.id, self.algorithm, self.private_key.get_secret_value(), principal, private=True)
        except UnusableKey as error:
            raise ValueError(str(error)) from None


class HttpSignatureSettings(Settings):
    """In a route's list: `verify` requests, sign `answers`. In an upstream's `attempt` list: `sign` what leaves."""

    verify: VerifySettings | None = Field(default=None, description="Requests must be signed.")
    answers: SignSettings | None = Field(default=None, description="Answers to clients are signed.")
    sign: SignSettings | None = Field(default=None, description="Requests to the target are signed.")
    structured: Mapping[str, Literal["dictionary", "list", "item"]] = Field(
        default={}, description="Structured fields beside those of the RFCs, for components with `;sf`."
    )
    most: Count = Field(default=4, ge=1, le=16, description="Signatures of one request that are tried.")

    @model_validator(mode="after")
    def _something(self) -> HttpSignatureSettings:
        if self.verify is None and self.answers is None and self.sign is None:
            raise ValueError("one of `verify`, `answers` and `sign`")
        if self.sign is not None and (self.verify is not None or self.answers is not None):
            raise ValueError("`sign` stands in an `attempt` list, `verify` and `answers` in a route's: two entries")
        return self
