"""Settings of `jwt`. What makes a token acceptable stands under its issuer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from gateway.plugin import Count, Duration, FromFile, Off, Secret, Settings, Size, Text
from gateway.plugin.bearer import Places, ProtectedResource
from gateway.plugin.field import FieldName
from gateway.plugin.identity import PrincipalClaims, Several, Wanted
from gateway.plugin.issuer import Algorithm, Fetching, Url, url_of
from gateway.services.jose.keys import FAMILIES, SHORTEST_SECRET, KeySet, UnusableKey, from_jwks, from_pem, from_secret


class Jwks(Settings):
    """`url`, or the keys themselves: `{file: jwks.json}`."""

    url: Url | None = Field(default=None, description="Where the issuer serves its keys.")
    keys: tuple[Mapping[str, Any], ...] | None = Field(
        default=None, description="Public keys as JWKs (RFC 7517), for an issuer that is never asked."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Jwks:
        if (self.url is None) == (self.keys is None):
            raise ValueError("`url` or `keys`, one of them")
        return self


class Issuer(Settings):
    """Give one of `jwks`, `discovery`, `public_keys` and `secrets`; and `audience`, `match` or both."""

    issuer: str = Field(min_length=1, max_length=2048, description="What `iss` must be, to the letter.")
    audience: Several = Field(
        default=(),
        description="`aud` must name one of these. May be left out only where `match` says whom a token is for.",
    )
    algorithms: tuple[Algorithm, ...] = Field(
        default=("RS256",),
        min_length=1,
        description="What this issuer signs with; any other is refused. RS256 is what every OpenID provider has.",
    )
    jwks: Annotated[Jwks, FromFile] | None = Field(default=None, description="The issuer's keys.")
    discovery: bool | Url = Field(
        default=False,
        description="Find the keys by OpenID discovery: `true` for the issuer's `/.well-known/openid-configuration`, "
        "or that document's URL. Its `issuer` must be this one.",
    )
    public_keys: tuple[Text, ...] = Field(
        default=(), max_length=8, description="Public keys or certificates in PEM; several while a key is replaced."
    )
    secrets: tuple[Secret, ...] = Field(
        default=(),
        max_length=8,
        description="HMAC secrets, for HS algorithms only, as long as the hash: HS256 takes 32 bytes at least.",
    )
    fetch: Fetching = Field(default=Fetching(), description="How fetched keys are kept fresh.")
    typ: Several = Field(
        default=("JWT", "at+jwt"),
        description="Types (`typ`) that are taken, in any case; none given counts as JWT. `at+jwt` alone takes access "
        "tokens after RFC 9068 only.",
    )
    match: Mapping[str, Wanted] = Field(
        default={},
        description="Further claims that must be there with one of these values, such as `client_id` or `token_use`. "
        "Of a claim that is a list one member must fit.",
    )
    leeway: Duration = Field(default=30.0, le=300, description="By how much clocks may differ.")
    max_lifetime: Annotated[Duration | None, Off] = Field(
        default=86400.0,
        description="Longest time from `iat`, or where that is missing from now, to `exp`. A day is the longest that "
        "usual issuers give an access token by default.",
    )
    principal: PrincipalClaims = Field(default=PrincipalClaims(), description="The caller's description.")

    @model_validator(mode="after")
    def _complete(self) -> Issuer:
        sources = [self.jwks is not None, self.discovery is not False, bool(self.public_keys), bool(self.secrets)]
        if sum(sources) != 1:
            raise ValueError("`jwks`, `discovery`, `public_keys` or `secrets`, one of them")
        if not self.audience and not self.match:
            raise ValueError(
                "`audience`, or `match` on a claim that says whom a token is for: otherwise tokens that the issuer made"
                " for others are taken, too"
            )
        symmetric = {FAMILIES[each] == "oct" for each in self.algorithms}
        if symmetric != {bool(self.secrets)}:
            raise ValueError("HS algorithms go with `secrets`, all others with public keys")
        if self.discovery is True:
            url_of(self.issuer)
        self.static_keys()
        return self

    def static_keys(self) -> KeySet | None:
        """The keys, unless they must be fetched. Raises ValueError."""
        shortest = max((SHORTEST_SECRET.get(each, 0) for each in self.algorithms), default=0)
        if self.secrets:
            texts = [secret.get_secret_value() for secret in self.secrets]
            if any(len(text.encode()) < shortest for text in texts):
                raise ValueError(f"`secrets` of at least {shortest} bytes for these algorithms (RFC 7518 §3.2)")
            return KeySet(map(from_secret, texts))
        try:
            if self.jwks is not None and self.jwks.keys is not None:
                return from_jwks({"keys": [dict(key) for key in self.jwks.keys]}, self.algorithms)[0]
            if not self.public_keys:
                return None
            keys = [from_pem(text) for text in self.public_keys]
        except UnusableKey as error:
            raise ValueError(f"keys that can be used: {error}") from None
        if not all(any(key.serves(algorithm) for algorithm in self.algorithms) for key in keys):
            raise ValueError("`public_keys` that fit the algorithms")
        return KeySet(keys)


class JwtSettings(Settings):
    """Several issuers may share a route; a token's `iss` says which one's rules it is held to."""

    issuers: tuple[Issuer, ...] = Field(min_length=1, max_length=32, description="Who may issue tokens.")
    from_: Places = Field(default=Places(), alias="from", description="Where tokens are looked for.")
    hide: bool = Field(
        default=False,
        description="Take the token out before the target sees it. Off: services behind often read claims themselves.",
    )
    claims_to_headers: Mapping[FieldName, Several] = Field(
        default={},
        description="Fields to write for the target, each from a claim; a list is joined by commas. What clients send "
        "under these names is always taken out.",
    )
    realm: str | None = Field(
        default=None,
        max_length=128,
        pattern=r'^[^"\\\x00-\x1f\x7f]*$',
        description="Named in the challenge. The route's name if not given.",
    )
    resource: ProtectedResource | None = Field(
        default=None,
        description="Tell clients where tokens for this are to be had: metadata (RFC 9728) under `/.well-known/` and a "
        "pointer to it in the challenge. The issuers are its authorization servers unless it names others.",
    )
    remember: Count = Field(
        default=10_000,
        ge=0,
        le=1_000_000,
        description="Verified tokens that are remembered until they expire, about 2 KB each; a signature costs fifty "
        "times a look-up.",
    )
    max_size: Size = Field(default=16_384, ge=256, le=65_536, description="Longest token that is looked at.")

    @model_validator(mode="after")
    def _distinct(self) -> JwtSettings:
        names = [each.issuer for each in self.issuers]
        if len(set(names)) != len(names):
            raise ValueError("issuers that differ: `audience` and `match` take lists")
        return self
