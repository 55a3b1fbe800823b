"""Certificates for tests: an authority, one below it, and what they sign."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...] = ()
    """Those between it and the root, which its owner sends along."""

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> str:
        """The certificate, then those between it and the root."""
        return "".join(each.public_bytes(Encoding.PEM).decode() for each in (self.certificate, *self.chain))

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Files of the certificate and of its key."""
        cert, key = folder / f"{name}.crt", folder / f"{name}.key"
        cert.write_text(self.pem)
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return cert, key


class Authority:
    """Signs certificates. ``above`` makes it one between a root and what it signs."""

    def __init__(self, name: str = "root", *, above: Authority | None = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = above if above is not None else self
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = (
            _builder(self.name, self.key, signer.name)
            .add_extension(constraints, critical=True)
            .sign(signer.key, hashes.SHA256())
        )
        self.between: tuple[x509.Certificate, ...] = (self.certificate, *above.between) if above is not None else ()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def write(self, folder: Path, name: str = "ca") -> Path:
        """A file of its certificate."""
        path = folder / f"{name}.crt"
        path.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        return path

    def issue(
        self,
        *names: str,
        uri: tuple[str, ...] = (),
        dns: tuple[str, ...] = (),
        email: tuple[str, ...] = (),
        ip: tuple[str, ...] = (),
        begins: dt.datetime | None = None,
        ends: dt.datetime | None = None,
    ) -> Issued:
        """A certificate with these common names and alternative names; good from yesterday until tomorrow."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
        builder = _builder(subject, key, self.name, begins, ends)
        alternatives: list[x509.GeneralName] = [
            *map(x509.UniformResourceIdentifier, uri),
            *map(x509.DNSName, dns),
            *map(x509.RFC822Name, email),
            *(x509.IPAddress(ipaddress.ip_address(each)) for each in ip),
        ]
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=not names)
        return Issued(builder.sign(self.key, hashes.SHA256()), key, self.between)


def _builder(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    begins: dt.datetime | None = None,
    ends: dt.datetime | None = None,
) -> x509.CertificateBuilder:
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins if begins is not None else now - day)
        .not_valid_after(ends if ends is not None else now + day)
    )
