"""Settings of `upstream_auth`: what the target wants to see of us."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from gateway.plugin import Duration, Secret, Settings, Size
from gateway.plugin.field import FieldName
from gateway.plugin.issuer import Url
from gateway.plugin.oauth import OAuthClient
from plugins.upstream_auth.signing import compile_signed


class Basic(Settings):
    """A name and a password (RFC 7617)."""

    username: str = Field(max_length=256, pattern=r"^[^:\x00-\x1f\x7f]*$", description="The name, without a colon.")
    password: Secret = Field(description="The password that goes with it.")


class OAuth2(Settings):
    """Client credentials (RFC 6749 §4.4): the gateway gets a token for itself and renews it in time."""

    token_url: Url = Field(description="Where tokens are to be had: the server's token endpoint.")
    client: OAuthClient = Field(description="What the server knows the gateway by.")
    scopes: tuple[Annotated[str, Field(pattern=r"^[!#-\[\]-~]{1,256}$")], ...] = Field(
        default=(), description="Scopes to ask for."
    )
    parameters: Mapping[str, str] = Field(
        default={}, description="Further fields of the token request, such as `audience` or `resource`."
    )
    refresh_before: Duration = Field(
        default=60.0, description="How long before its end a token is renewed, while the old one still serves."
    )
    timeout: Duration = Field(default=5.0, gt=0, le=60, description="How long the server may take to answer.")


class Hmac(Settings):
    """A keyed hash over parts of the request, as many APIs and webhooks have it."""

    secret: Secret = Field(description="The shared secret.")
    algorithm: Literal["sha256", "sha512", "sha384", "sha1"] = Field(
        default="sha256", description="The hash function under the key."
    )
    encoding: Literal["hex", "base64"] = Field(default="hex", description="How the signature is written.")
    header: FieldName = Field(default="X-Signature", description="The field that carries it.")
    prefix: str = Field(default="", max_length=64, pattern=r"^[ -~]*$", description="In front, such as `sha256=`.")
    signed: Annotated[str, AfterValidator(lambda text: compile_signed(text) and text)] = Field(
        default="{timestamp}.{body}",
        description="What is signed, out of `{method}`, `{path}` (with its query), `{host}`, `{timestamp}` (seconds "
        "since 1970) and `{body}`; `\\n` is a line end.",
    )
    timestamp_header: FieldName | None = Field(
        default="X-Timestamp", description="The field that carries the time, where `signed` has it."
    )


class Aws(Settings):
    """AWS Signature Version 4. The body is held to be hashed, unless `unsigned_payload`."""

    region: str = Field(pattern=r"^[a-z0-9-]{1,64}$", description="Such as `eu-central-1`.")
    service: str = Field(pattern=r"^[a-z0-9-]{1,64}$", description="Such as `s3` or `execute-api`.")
    access_key: str = Field(pattern=r"^[A-Za-z0-9]{1,128}$", description="The access key's id.")
    secret_key: Secret = Field(description="The access key's secret.")
    session_token: Secret | None = Field(default=None, description="Of temporary credentials.")
    unsigned_payload: bool = Field(
        default=False, description="Sign all but the body, so that large ones stream; for S3 over TLS."
    )


class UpstreamAuthSettings(Settings):
    """One way to prove who we are, or several where the target wants them."""

    headers: Mapping[FieldName, Secret] = Field(
        default={}, description="Fields with fixed values, such as `Authorization: Bearer …` or `X-API-Key`."
    )
    query: Mapping[Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]{1,64}$")], Secret] = Field(
        default={}, description="Query parameters with fixed values, for targets that take keys nowhere else."
    )
    basic: Basic | None = Field(default=None, description="`Authorization: Basic`.")
    oauth2: OAuth2 | None = Field(default=None, description="`Authorization: Bearer` with a token of our own.")
    hmac: Hmac | None = Field(default=None, description="A signature with a shared secret.")
    aws: Aws | None = Field(default=None, description="A signature for AWS.")
    hide: tuple[FieldName, ...] = Field(
        default=("Authorization", "Cookie", "Proxy-Authorization"),
        description="The caller's own credentials, which are not for the target, so they are taken out.",
    )
    max_body: Size = Field(
        default=10_000_000, gt=0, le=1_000_000_000, description="Largest body that is held to be signed; beyond: 413."
    )

    @model_validator(mode="after")
    def _one_authorization(self) -> UpstreamAuthSettings:
        ways = [self.basic, self.oauth2, self.aws]
        fixed = any(name.lower() == "authorization" for name in self.headers)
        if sum(way is not None for way in ways) + fixed > 1:
            raise ValueError("`basic`, `oauth2`, `aws` and a fixed `Authorization` exclude each other")
        if not (self.headers or self.query or self.hmac or any(ways)):
            raise ValueError("`headers`, `query`, `basic`, `oauth2`, `hmac` or `aws` is needed")
        return self
