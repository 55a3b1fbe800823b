"""Settings of `oidc`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from gateway.plugin import Count, Duration, Off, Secret, Settings
from gateway.plugin.field import FieldName
from gateway.plugin.identity import PrincipalClaims, Several, Wanted
from gateway.plugin.issuer import Algorithm, Fetching, Url
from gateway.plugin.oauth import OAuthClient
from gateway.plugin.settings import expected
from gateway.services.seal import LEAST_KEY
from plugins.oidc.visitor import is_local

OURS: Final = frozenset(
    {
        *("response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "nonce"),
        *("code_challenge", "code_challenge_method", "request", "request_uri"),
    }
)
"""Parameters of a login that are not the operator's to set."""


def _path(text: str) -> str:
    if not is_local(text) or any(char in text for char in "?#%;"):
        raise expected("a path such as /oauth2")
    return text.rstrip("/") or "/"


def _origin(text: str) -> str:
    if urlsplit(text).path not in ("", "/") or urlsplit(text).query:
        raise expected("an origin such as https://app.example.com, without a path")
    return text.rstrip("/")


def _local(text: str) -> str:
    if not is_local(text):
        raise expected("a path on this host such as /")
    return text


Path = Annotated[str, AfterValidator(_path)]
LocalPath = Annotated[str, AfterValidator(_local)]


class Place(StrEnum):
    """Where sessions are kept."""

    COOKIE = "cookie"
    SHARED = "shared"


class SessionSettings(Settings):
    """How long somebody stays logged in, and where that is kept."""

    keys: tuple[Secret, ...] = Field(
        min_length=1,
        max_length=8,
        description="Random secrets of at least 16 bytes that sessions are encrypted with. The first encrypts, all "
        "decrypt: put a new one in front, and take the old one out after `max_age`.",
    )
    store: Place = Field(
        default=Place.COOKIE,
        description="`cookie`: in the browser, encrypted, in several cookies if it is large. `shared`: in "
        "`stores.shared`, and the cookie says which; better where tokens are large.",
    )
    max_age: Duration = Field(default=43200.0, ge=60, description="After this a user logs in again; a working day.")
    idle: Annotated[Duration | None, Off] = Field(
        default=3600.0, ge=60, description="After this without a request a user logs in again."
    )
    recheck: Duration = Field(
        default=5.0,
        le=300,
        description="How often the shared store is asked whether a session was ended elsewhere. Workers tell each "
        "other at once; this is for what was lost on the way. 0 asks for each request.",
    )
    on_store_error: Literal["deny", "allow"] = Field(
        default="deny",
        description="While the shared store is away and a session is due for a look: `deny` answers 503, `allow` lets "
        "sessions in cookies go on unlooked at until their access token expires. Sessions in the store need it.",
    )
    remember: Count = Field(
        default=2000, ge=0, le=1_000_000, description="Sessions that a worker keeps decrypted, some 5 KB each."
    )

    @model_validator(mode="after")
    def _long_enough(self) -> SessionSettings:
        if any(len(key.get_secret_value().encode()) < LEAST_KEY for key in self.keys):
            raise ValueError(f"`keys` of at least {LEAST_KEY} bytes")
        if self.store is Place.SHARED and self.on_store_error == "allow":
            raise ValueError("`on_store_error: deny` with `store: shared`: who is logged in stands nowhere else")
        return self


class CookieSettings(Settings):
    """The cookies. Over TLS their names begin with `__Host-`, which no other host of the domain can set."""

    name: str = Field(
        default="sidegate",
        pattern=r"^[A-Za-z0-9_]{1,32}$",
        description="How the cookies' names begin. All that begin so are taken out of what the target gets.",
    )
    same_site: Literal["lax", "none"] = Field(
        default="lax",
        description="`none` sends the session with requests of other sites' pages, too: for what is embedded there, "
        "and with `csrf` only. Under `strict` nobody would come back logged in.",
    )


class LogoutSettings(Settings):
    """What a logout at `<path>/logout` ends besides the session here."""

    provider: bool = Field(
        default=True, description="End the session at the provider, too (OpenID Connect RP-Initiated Logout)."
    )
    revoke: bool = Field(default=True, description="Revoke the refresh token (RFC 7009) if the provider can.")
    return_to: LocalPath = Field(
        default="/", description="Where the browser goes afterwards; with the host, the provider must know it."
    )


class Unauthenticated(StrEnum):
    """What becomes of a request without a session."""

    LOGIN = "login"
    DENY = "deny"
    PASS = "pass"  # noqa: S105 - not a password


class OidcSettings(Settings):
    """Register `<public_url><path>/callback` at the provider, and `<path>/backchannel-logout` if it sends logouts."""

    issuer: Url = Field(description="The provider, to the letter as in the `iss` of its tokens.")
    discovery: Url | None = Field(
        default=None, description="Its discovery document, where that is not at `/.well-known/openid-configuration`."
    )
    client: OAuthClient = Field(description="What the provider knows this gateway by.")
    algorithms: tuple[Algorithm, ...] = Field(
        default=("RS256",), min_length=1, description="What the provider signs ID tokens with; any other is refused."
    )
    scopes: tuple[str, ...] = Field(
        default=("openid", "profile", "email"),
        description="What is asked for. Many providers give a refresh token for `offline_access` only.",
    )
    parameters: Mapping[str, str] = Field(
        default={}, description="Further parameters of a login, such as `prompt`, `acr_values` or `audience`."
    )
    public_url: Annotated[Url, AfterValidator(_origin)] | None = Field(
        default=None,
        description="What users' browsers call this gateway. Unset: what each request says, so that one route may "
        "serve several hosts; the provider knows which of them are right.",
    )
    path: Path = Field(
        default="/oauth2",
        description="Below it the gateway answers `callback`, `login`, `logout` and `backchannel-logout` itself.",
    )
    session: SessionSettings = Field(description="How long somebody stays logged in, and where that is kept.")
    cookie: CookieSettings = Field(default=CookieSettings(), description="How the cookies look.")
    logout: LogoutSettings = Field(default=LogoutSettings(), description="What a logout ends.")
    unauthenticated: Unauthenticated = Field(
        default=Unauthenticated.LOGIN,
        description="Without a session: `login` sends browsers to the provider and answers programs 401, `deny` "
        "answers 401 to all, `pass` lets through without a principal; with a `when:` nobody is known, and our cookies "
        "are still taken out.",
    )
    groups: tuple[str, ...] = Field(
        default=(), max_length=1000, description="Only members of one of these may come in. Empty: everybody."
    )
    groups_claim: Several = Field(default=("groups", "roles"), description="Where a user's groups stand.")
    match: Mapping[str, Wanted] = Field(
        default={}, description="Claims that a user must have with one of these values, such as `email_verified`."
    )
    principal: PrincipalClaims = Field(
        default=PrincipalClaims(roles=("roles", "groups")), description="The caller's description."
    )
    userinfo: bool = Field(
        default=False, description="Ask the provider's UserInfo endpoint for what the ID token does not say."
    )
    claims_to_headers: Mapping[FieldName, Several] = Field(
        default={},
        description="Fields to write for the target, each from a claim. What clients send under these names is always "
        "taken out.",
    )
    pass_access_token: FieldName | None = Field(
        default=None,
        description="A field to give the target the access token in; in `Authorization` it stands after `Bearer`.",
    )
    refresh_before: Duration = Field(
        default=30.0,
        le=3600,
        description="How long before its end an access token is refreshed, where that is possible.",
    )
    login_timeout: Duration = Field(default=600.0, ge=30, le=3600, description="How long a login may take.")
    timeout: Duration = Field(default=5.0, gt=0, le=60, description="For one call to the provider, whole.")
    leeway: Duration = Field(default=30.0, le=300, description="By how much clocks may differ.")
    fetch: Fetching = Field(default=Fetching(), description="How the provider's keys are kept fresh.")
    realm: str | None = Field(
        default=None,
        max_length=128,
        pattern=r'^[^"\\\x00-\x1f\x7f]*$',
        description="Named in the challenge. The route's name if not given.",
    )

    @model_validator(mode="after")
    def _meant(self) -> OidcSettings:
        if "openid" not in self.scopes:
            raise ValueError("`openid` among the `scopes`: without it there is no ID token")
        if taken := OURS & set(self.parameters):
            raise ValueError(f"`parameters` without {', '.join(sorted(taken))}, which are set for each login")
        if any(algorithm.startswith("HS") for algorithm in self.algorithms):
            raise ValueError("`algorithms` with public keys: the client's secret is no key here")
        return self
