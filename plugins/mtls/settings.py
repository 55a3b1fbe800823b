"""Which certificates are taken, and who their owners are here."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.plugin import FromFile, Settings
from gateway.plugin.field import FieldName
from gateway.plugin.settings import OneOrMany, expected

Kind = Literal["uri", "dns", "email", "cn", "fingerprint"]
Word = Annotated[str, Field(min_length=1, max_length=2048)]


def _fingerprint(text: str) -> str:
    found = text.replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", found):
        raise expected("a SHA-256 fingerprint: 64 hex digits, with or without colons")
    return found


def _uri(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+", text):
        raise expected("a URI such as spiffe://example.org/ns/prod/sa/web, or one that ends in / for all below it")
    if text.endswith("/") and text.count("/") < 3:
        raise expected("a URI with an authority before the / that it ends in")
    return text


def _dns(text: str) -> str:
    name = text.lower()
    if not re.fullmatch(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*", name):
        raise expected("a host name, or *. and a domain for its direct sub-domains")
    return name


def _email(text: str) -> str:
    local, at, domain = text.rpartition("@")
    if not at or not domain or " " in text:
        raise expected("an address, or @ and a domain for all addresses in it")
    return f"{local}@{domain.lower()}"


Fingerprint = Annotated[str, AfterValidator(_fingerprint)]
Uris = Annotated[tuple[Annotated[str, AfterValidator(_uri)], ...], OneOrMany(), Field(max_length=256)]
Hosts = Annotated[tuple[Annotated[str, AfterValidator(_dns)], ...], OneOrMany(), Field(max_length=256)]
Addresses = Annotated[tuple[Annotated[str, AfterValidator(_email)], ...], OneOrMany(), Field(max_length=256)]
Words = Annotated[tuple[Word, ...], OneOrMany(), Field(max_length=256)]


class Client(Settings):
    """Certificates that are let in, and who that is. Of several keys all must fit, of several values of a key one."""

    uri: Uris = Field(
        default=(), description="Alternative names that are URIs; one that ends in `/` takes all below it (SPIFFE)."
    )
    dns: Hosts = Field(default=(), description="Alternative names that are hosts; `*.example.com` takes one label.")
    email: Addresses = Field(
        default=(), description="Alternative names that are addresses; `@example.com` takes all of the domain."
    )
    cn: Words = Field(default=(), description="The subject's common name, exactly.")
    fingerprint: Annotated[tuple[Fingerprint, ...], OneOrMany(), Field(max_length=256)] = Field(
        default=(), description="SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` prints it."
    )
    issuer: Words = Field(
        default=(), description="Who signed it, as RFC 4514 writes a name: `CN=Partners,O=Example`. Exactly."
    )
    id: str | None = Field(
        default=None, min_length=1, max_length=512, description="The principal. Unset: the name by `identity`."
    )
    roles: tuple[str, ...] = Field(default=(), max_length=256, description="The principal's roles.")
    scopes: tuple[str, ...] = Field(default=(), max_length=256, description="What it is let do, as scopes.")
    tenant: str | None = Field(default=None, max_length=256, description="The principal's tenant.")
    rate_class: str | None = Field(default=None, max_length=64, description="For limits that differ by class.")

    @model_validator(mode="after")
    def _fits_something(self) -> Self:
        if not (self.uri or self.dns or self.email or self.cn or self.fingerprint or self.issuer):
            raise expected(
                "`uri`, `dns`, `email`, `cn`, `fingerprint` or `issuer`: without, every certificate would fit"
            )
        return self


class MtlsSettings(Settings):
    """The listener's `client_ca` says whose certificates are good at all; this says which of them, and for whom."""

    identity: Annotated[tuple[Kind, ...], OneOrMany(), Field(min_length=1)] = Field(
        default=("uri", "dns", "email", "cn"),
        description="What of a certificate is the principal's id: the first of these that it has.",
    )
    clients: Annotated[tuple[Client, ...], FromFile] = Field(
        default=(),
        max_length=10_000,
        description="Certificates that are let in; the first that fits says who. None: all that the listener took.",
    )
    others: Literal["refuse", "allow"] = Field(
        default="refuse", description="Where `clients` is given: what becomes of certificates that are none of them."
    )
    deny: tuple[Fingerprint, ...] = Field(
        default=(), max_length=10_000, description="Fingerprints of certificates that are not taken any more."
    )
    prefix: str = Field(
        default="",
        max_length=64,
        description="Stands before a name that is taken from a certificate, so that no other authenticator's caller "
        "is the same.",
    )
    from_proxy: bool = Field(
        default=False,
        description="Take the certificate from `Client-Cert` (RFC 9440) of one of `trusted_proxies`, which has "
        "verified it, and never that proxy's own. Others are judged by their own connection as ever.",
    )
    forward: Literal["off", "certificate", "chain"] = Field(
        default="off",
        description="Tell the target: `Client-Cert`, or that and `Client-Cert-Chain` (RFC 9440). What clients send of "
        "these goes in any case.",
    )
    strip: tuple[FieldName, ...] = Field(
        default=("X-Forwarded-Client-Cert",),
        max_length=64,
        description="Further fields that the target might believe about certificates, taken out of every request.",
    )
    cut_at_expiry: bool = Field(
        default=False,
        description="End answers that stream and tunnels (WebSockets) with the next bytes after the certificate has "
        "expired. Otherwise it is only looked at when a request begins, on kept connections each time anew.",
    )
    bound_tokens: Literal["off", "present", "required"] = Field(
        default="off",
        description="Judge a caller whom a token has named before by its certificate (RFC 8705): `cnf.x5t#S256` of the "
        "token must be this certificate's, where it is `present` or, with `required`, always. The caller stays the "
        "token's. Stands behind `jwt` or `introspection`; where it is `present` and nobody was named, the certificate "
        "says who it is.",
    )
