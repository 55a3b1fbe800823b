"""What a certificate says, and how it travels in header fields (RFC 9440)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.x509.oid import NameOID

LARGEST: Final = 16 * 1024
"""Bytes of a certificate in DER."""
LONGEST_CHAIN: Final = 10
MOST_NAMES: Final = 100
"""Alternative names of one certificate."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client certificate, read. That somebody vouches for it was seen to before."""

    fingerprint: str
    """SHA-256 of the whole, hex."""
    thumbprint: str
    """The same as ``x5t#S256`` has it: base64url without padding (RFC 8705 §3.1)."""
    cn: tuple[str, ...]
    uri: tuple[str, ...]
    dns: tuple[str, ...]
    email: tuple[str, ...]
    subject: str
    issuer: str
    serial: str
    begins: float
    """Seconds since 1970."""
    ends: float

    def names(self, kind: str) -> tuple[str, ...]:
        """Of one kind: ``cn``, ``uri``, ``dns``, ``email`` or ``fingerprint``. Two common names are none."""
        if kind == "cn" and len(self.cn) > 1:
            return ()
        return (self.fingerprint,) if kind == "fingerprint" else tuple(getattr(self, kind))

    def claims(self) -> dict[str, Any]:
        """For rules and logs."""
        return {
            "certificate": {
                "fingerprint": self.fingerprint,
                "subject": self.subject,
                "issuer": self.issuer,
                "serial": self.serial,
                "cn": list(self.cn),
                "uri": list(self.uri),
                "dns": list(self.dns),
                "email": list(self.email),
            }
        }


def read(der: bytes) -> Certificate:
    """Raises ValueError for what is no certificate, or has names that nobody should believe."""
    if len(der) > LARGEST:
        raise ValueError("larger than certificates are")
    try:
        found = x509.load_der_x509_certificate(der)
        named = _alternatives(found)
        digest = hashlib.sha256(der).digest()
        made = Certificate(
            fingerprint=digest.hex(),
            thumbprint=base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            cn=tuple(str(each.value) for each in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)),
            uri=_of(named, x509.UniformResourceIdentifier),
            dns=tuple(each.lower() for each in _of(named, x509.DNSName)),
            email=tuple(_folded(each) for each in _of(named, x509.RFC822Name)),
            subject=found.subject.rfc4514_string(),
            issuer=found.issuer.rfc4514_string(),
            serial=f"{found.serial_number:x}",
            begins=found.not_valid_before_utc.timestamp(),
            ends=found.not_valid_after_utc.timestamp(),
        )
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(f"a certificate that cannot be read ({type(error).__name__})") from None
    names = (*made.cn, *made.uri, *made.dns, *made.email)
    if len(names) > MOST_NAMES or not all(name.isprintable() and 0 < len(name) <= 2048 for name in names):
        raise ValueError("names that no honest certificate has")
    return made


def _alternatives(found: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def _of(named: list[x509.GeneralName], kind: type[x509.GeneralName]) -> tuple[str, ...]:
    return tuple(str(each.value) for each in named if isinstance(each, kind))


def _folded(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.lower()}"


# -- header fields (RFC 9440 §2) ---------------------------------------------------------------------------------------


def field_of(der: bytes) -> str:
    """``Client-Cert``: a byte sequence (RFC 9651 §3.3.5)."""
    return f":{base64.b64encode(der).decode()}:"


def chain_field_of(chain: tuple[bytes, ...]) -> str:
    """``Client-Cert-Chain``: a list of them, without the leaf."""
    return ", ".join(map(field_of, chain))


def der_of(field: str) -> bytes:
    """The reverse. Raises ValueError."""
    text = field.strip(" ")
    if len(text) < 3 or text[0] != ":" or text[-1] != ":" or len(text) > LARGEST * 2:
        raise ValueError("not a byte sequence")
    try:
        return base64.b64decode(text[1:-1], validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None


def chain_of(lines: list[str]) -> tuple[bytes, ...]:
    """Raises ValueError."""
    items = [item.strip(" \t") for line in lines for item in line.split(",")]
    if len(items) > LONGEST_CHAIN:
        raise ValueError("longer than chains are")
    return tuple(der_of(item) for item in items)
