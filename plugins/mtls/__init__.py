"""Knows callers by the client certificate of their TLS connection: subject, SPIFFE id, host, address or fingerprint.

The listener asks for certificates and verifies them against its `client_ca`; a connection without one that holds never
gets here with one. Behind a proxy that ends TLS the certificate comes in `Client-Cert` (RFC 9440), which is believed of
trusted proxies only. A token may be bound to a certificate (RFC 8705): then both must be the caller's.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from gateway.errors import Forbidden, GatewayError, Unauthorized
from gateway.http import Handler, Principal, Request, ReservedFields, Response
from gateway.plugin import Authenticator, Context
from plugins.mtls.certificate import Certificate, chain_field_of, chain_of, der_of, field_of, read
from plugins.mtls.expiry import EndingTunnel, Expiry, InvalidCertificate
from plugins.mtls.settings import Client, MtlsSettings

__all__ = ["CertificateRefused", "InvalidCertificate", "Mtls", "MtlsSettings", "TokenNotBound"]

REMEMBERED: Final = 1024
"""Certificates whose owner is kept."""
_FIELDS: Final = ("Client-Cert", "Client-Cert-Chain")
_TOLD: Final = "mtls: what a proxy told"


class CertificateRefused(Forbidden):
    """The certificate is genuine and its owner is not let in here."""

    code, title = "certificate_refused", "Certificate not allowed"


class TokenNotBound(Unauthorized):
    """The token is another client's: it is not bound to the certificate of this connection (RFC 8705 §3)."""

    code, title = "token_not_bound", "Token not bound to the certificate"


class _Owner:
    """What is known of a certificate."""

    __slots__ = ("certificate", "principal", "refused")

    def __init__(self, certificate: Certificate, principal: Principal | None, refused: str) -> None:
        self.certificate = certificate
        self.principal = principal
        self.refused = refused
        """Why it is not let in; empty if it is."""


class Mtls(Authenticator[MtlsSettings]):
    def __init__(self, settings: MtlsSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._ours = ReservedFields((*_FIELDS, *settings.strip))
        self._owners: OrderedDict[bytes, _Owner] = OrderedDict()
        self._denied = frozenset(settings.deny)
        self._time = context.clock.time
        self.dresses = settings.cut_at_expiry
        self._challenge = f'ClientCertificate realm="{context.route}"'

    def challenge(self) -> str:
        """No scheme is registered for certificates; this one only says which of several ways is meant."""
        return self._challenge

    def cleanse(self, request: Request) -> None:
        """Keeps what a trusted proxy says for later, and takes it out as everybody's."""
        if request.peer is not None and request.peer.trusted and "Client-Cert" in request.headers:
            told = request.headers.getall("Client-Cert"), request.headers.getall("Client-Cert-Chain", [])
            request.extras = {_TOLD: told, **(request.extras or {})}
        self._ours.take_out(request)

    async def __call__(self, request: Request, proceed: Handler) -> Response:
        if self.settings.bound_tokens == "off" or (request.principal is None and not self._must_be_bound):
            return await super().__call__(request, proceed)
        self.cleanse(request)
        ends = None
        try:
            ends = self._bound(request)
        except GatewayError as error:
            self.refuse(error)
        response = await proceed(request)
        if ends is not None and self.settings.cut_at_expiry:
            self._cut(response, ends)
        return response

    def dress(self, request: Request, response: Response) -> None:
        """Only where the caller was known by its certificate."""
        chain = self._chain(request)
        owner = self._owners.get(chain[0]) if chain else None
        if owner is not None and owner.principal is not None and owner.principal is request.principal:
            self._cut(response, owner.certificate.ends)

    def _cut(self, response: Response, ends: float) -> None:
        if response.error is not None:
            return
        expiry = Expiry(ends, self._time, self.refuse)
        if response.tunnel is not None:
            response.tunnel = EndingTunnel(response.tunnel, expiry)
        elif response.body.whole is None:
            response.body.filter(expiry, changes=False)

    @classmethod
    def alone(cls, settings: MtlsSettings) -> str:
        """Whoever is let in by a token must be looked at again, by an entry behind."""
        return "bound_tokens" if settings.bound_tokens != "off" else ""

    @property
    def _must_be_bound(self) -> bool:
        return self.settings.bound_tokens == "required"

    async def authenticate(self, request: Request) -> Principal | None:
        chain = self._chain(request)
        if not chain:
            return None
        owner = self._owner(chain[0])
        if owner.principal is None or owner.refused:
            raise CertificateRefused(reason=owner.refused)
        self._forward(request, chain)
        return owner.principal

    # -- the certificate -----------------------------------------------------------------------------------------------

    def _chain(self, request: Request) -> tuple[bytes, ...]:
        """The client's certificate and what leads on from it; empty if there is none. Raises InvalidCertificate."""
        peer = request.peer
        if peer is None:
            return ()
        if not self.settings.from_proxy or not peer.trusted:
            return peer.chain if peer.certificate else ()
        # A proxy's own certificate says who the proxy is.
        told = (request.extras or {}).get(_TOLD)
        if told is None:
            return ()
        leaf, rest = told
        try:
            if len(leaf) != 1:
                raise ValueError("more than one")
            return (der_of(leaf[0]), *chain_of(list(rest)))
        except ValueError as error:
            raise self._invalid(f"Client-Cert of the proxy: {error}") from None

    def _owner(self, der: bytes) -> _Owner:
        """Asked for each request: a connection may outlive its certificate. Raises InvalidCertificate."""
        owner = self._owners.get(der)
        if owner is None:
            try:
                certificate = read(der)
            except ValueError as error:
                raise self._invalid(str(error)) from None
            owner = self._owners[der] = self._judge(certificate)
            while len(self._owners) > REMEMBERED:
                self._owners.popitem(last=False)
        else:
            self._owners.move_to_end(der)
        now = self._time()
        if now >= owner.certificate.ends:
            raise self._invalid("expired")
        if now < owner.certificate.begins:
            raise self._invalid("not valid yet")
        return owner

    def _judge(self, certificate: Certificate) -> _Owner:
        settings = self.settings
        if certificate.fingerprint in self._denied:
            return _Owner(certificate, None, "the certificate is on the deny list")
        if sum(each.lower().startswith("spiffe://") for each in certificate.uri) > 1:
            # X509-SVID §2: one id and no more, or its owner could choose.
            return _Owner(certificate, None, "more than one SPIFFE id")
        client = next((each for each in settings.clients if _fits(each, certificate)), None)
        if client is None and settings.clients and settings.others == "refuse":
            return _Owner(certificate, None, f"{_shown(certificate)} is none of `clients`")
        found = next((names[0] for kind in settings.identity if (names := certificate.names(kind))), None)
        name = client.id if client is not None and client.id is not None else None
        if name is None and found is not None:
            name = settings.prefix + found
        if name is None:
            return _Owner(certificate, None, "the certificate has none of the names in `identity`")
        return _Owner(certificate, _principal(name, client, certificate), "")

    def _invalid(self, reason: str) -> InvalidCertificate:
        return InvalidCertificate(reason=reason, headers=(("WWW-Authenticate", self._challenge),))

    def _forward(self, request: Request, chain: tuple[bytes, ...]) -> None:
        if self.settings.forward == "off":
            return
        headers = request.edit_headers()
        headers["Client-Cert"] = field_of(chain[0])
        if self.settings.forward == "chain" and len(chain) > 1:
            headers["Client-Cert-Chain"] = chain_field_of(chain[1:])

    # -- tokens that are bound to it -----------------------------------------------------------------------------------

    def _bound(self, request: Request) -> float | None:
        """When the certificate ends, if there is one. Raises TokenNotBound, InvalidCertificate."""
        chain = self._chain(request)
        owner = self._owner(chain[0]) if chain else None
        if owner is not None and owner.certificate.fingerprint in self._denied:
            raise CertificateRefused(reason=owner.refused)
        if request.principal is None:
            raise Unauthorized(reason="no token", headers=(("WWW-Authenticate", self._bearer()),))
        confirmed = request.principal.claims.get("cnf")
        wanted: Any = confirmed.get("x5t#S256") if isinstance(confirmed, Mapping) else None
        if wanted is None:
            if self._must_be_bound:
                raise self._not_bound("the token is bound to no certificate")
        elif owner is None:
            raise self._not_bound("the token is bound to a certificate, and there is none")
        elif not isinstance(wanted, str) or not hmac.compare_digest(
            wanted.encode("utf-8", "surrogatepass"), owner.certificate.thumbprint.encode()
        ):
            raise self._not_bound("the token is bound to another certificate")
        if owner is None:
            return None
        self._forward(request, chain)
        return owner.certificate.ends

    def _bearer(self) -> str:
        return f'Bearer realm="{self.context.route}"'

    def _not_bound(self, reason: str) -> TokenNotBound:
        return TokenNotBound(reason=reason, headers=(("WWW-Authenticate", f'{self._bearer()}, error="invalid_token"'),))


def _principal(name: str, client: Client | None, certificate: Certificate) -> Principal:
    granted = client if client is not None else _NOBODY
    return Principal(
        name,
        tenant=granted.tenant,
        roles=frozenset(granted.roles),
        scopes=frozenset(granted.scopes),
        rate_class=granted.rate_class,
        claims=certificate.claims(),
        expires=certificate.ends,
    )


_NOBODY: Final = Client(cn=("-",))
"""Grants nothing."""


def _shown(certificate: Certificate) -> str:
    """For the log."""
    names = (*certificate.uri, *certificate.dns, *certificate.email, *certificate.cn)
    return names[0][:128] if names else certificate.fingerprint


def _fits(client: Client, certificate: Certificate) -> bool:
    return (
        (not client.uri or any(_uri_fits(each, name) for each in client.uri for name in certificate.uri))
        and (not client.dns or any(_dns_fits(each, name) for each in client.dns for name in certificate.dns))
        and (not client.email or any(_email_fits(each, name) for each in client.email for name in certificate.email))
        and (not client.cn or (len(certificate.cn) == 1 and certificate.cn[0] in client.cn))
        and (not client.fingerprint or certificate.fingerprint in client.fingerprint)
        and (not client.issuer or certificate.issuer in client.issuer)
    )


def _uri_fits(pattern: str, name: str) -> bool:
    if not pattern.endswith("/"):
        return name == pattern
    # What has dot segments or encodings in it is below nothing.
    return name.startswith(pattern) and "/." not in name and "%" not in name and "//" not in name[len(pattern) - 1 :]


def _dns_fits(pattern: str, name: str) -> bool:
    if not pattern.startswith("*."):
        return name == pattern
    label, _, domain = name.partition(".")
    return bool(label) and label != "*" and domain == pattern[2:]


def _email_fits(pattern: str, name: str) -> bool:
    return name.endswith(pattern) and len(name) > len(pattern) if pattern.startswith("@") else name == pattern
