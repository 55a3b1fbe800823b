"""Keys: read once at load, each able to say whether it made a signature; those with a secret can make one."""

from __future__ import annotations

import binascii
import hashlib
import hmac
from typing import Any, Final, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)

from plugins.webhook_signature.scheme import SYMMETRIC, Algorithm, Scheme

SHORTEST_RSA: Final = 2048
LONGEST_RSA: Final = 8192
_SHA256: Final = hashes.SHA256()
_ECDSA: Final = ECDSA(_SHA256)
_PADDING: Final = PKCS1v15()


class UnusableKey(ValueError):
    """It cannot be a key of this scheme. The text holds nothing of it."""


class Key(Protocol):
    """One key."""

    secret: bytes
    """Its bytes, where it is a secret; for templates with `{secret}` and handshakes."""

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether it made this signature. In constant time where the key is a secret."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Make one. Raises UnusableKey where only the public half is here."""
        ...


class SecretKey:
    """A secret, for HMAC."""

    __slots__ = ("_hash", "secret")

    def __init__(self, secret: bytes, name: str) -> None:
        self.secret = secret
        self._hash = name

    def sign(self, message: bytes) -> bytes:
        return hmac.digest(self.secret, message, self._hash)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(hmac.digest(self.secret, message, self._hash), signature)


class HashKey(SecretKey):
    """A secret that the message itself holds; the hash has no key."""

    __slots__ = ()

    def sign(self, message: bytes) -> bytes:
        return hashlib.new(self._hash, message).digest()

    def verifies(self, message: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(self.sign(message), signature)


class TokenKey:
    """A secret that is sent as it is."""

    __slots__ = ("_digest", "secret")

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self._digest = hashlib.sha256(secret).digest()

    def sign(self, message: bytes) -> bytes:
        del message
        return self.secret

    def verifies(self, message: bytes, signature: bytes) -> bool:
        del message
        # Digests, for compare_digest tells how long the secret is.
        return hmac.compare_digest(self._digest, hashlib.sha256(signature).digest())


class PublicKey:
    """A public key, or the private one that holds it."""

    __slots__ = ("_arguments", "_private", "_public", "secret")

    def __init__(self, material: Any, arguments: tuple[Any, ...]) -> None:
        self.secret = b""
        self._arguments = arguments
        self._private = material if hasattr(material, "sign") else None
        self._public = material.public_key() if self._private is not None else material

    def sign(self, message: bytes) -> bytes:
        if self._private is None:
            raise UnusableKey("signing needs the private key")
        made: bytes = self._private.sign(message, *self._arguments)
        return made

    def verifies(self, message: bytes, signature: bytes) -> bool:
        try:
            self._public.verify(signature, message, *self._arguments)
        except InvalidSignature:
            return False
        return True


_KINDS: Final[dict[Algorithm, tuple[tuple[type[Any], ...], tuple[Any, ...], str]]] = {
    Algorithm.ED25519: ((Ed25519PublicKey, Ed25519PrivateKey), (), "an Ed25519"),
    Algorithm.ECDSA_SHA256: ((EllipticCurvePublicKey, EllipticCurvePrivateKey), (_ECDSA,), "an elliptic curve"),
    Algorithm.RSA_SHA256: ((RSAPublicKey, RSAPrivateKey), (_PADDING, _SHA256), "an RSA"),
}


def read_key(scheme: Scheme, text: str, *, private: bool = False) -> Key:
    """A key out of what an operator gave. Raises UnusableKey.

    ``private`` takes private keys: only who signs, as the command line does, has any business with one.
    """
    algorithm = scheme.algorithm
    if algorithm is Algorithm.TOKEN:
        return TokenKey(text.encode())
    if (name := SYMMETRIC.get(algorithm)) is not None:
        kind = HashKey if algorithm is Algorithm.SHA256 else SecretKey
        secret = _bytes(scheme, text)
        if not secret:  # anybody can sign with nothing
            raise UnusableKey("empty")
        return kind(secret, name)
    if algorithm not in _KINDS:
        raise UnusableKey("not of this scheme")
    return public_key(algorithm, _material(scheme, text, private=private))


def public_key(algorithm: Algorithm, material: Any) -> Key:
    """A key of that algorithm. Raises UnusableKey."""
    kinds, arguments, name = _KINDS[algorithm]
    if not isinstance(material, kinds):
        raise UnusableKey(f"not {name} key")
    if algorithm is Algorithm.RSA_SHA256 and not SHORTEST_RSA <= material.key_size <= LONGEST_RSA:
        raise UnusableKey(f"an RSA key of {material.key_size} bits; {SHORTEST_RSA} to {LONGEST_RSA} are taken")
    return PublicKey(material, arguments)


def _bytes(scheme: Scheme, text: str) -> bytes:
    for prefix in scheme.secret_prefixes:
        if text.startswith(prefix):
            text = text.removeprefix(prefix)
            break
    try:
        encoding = scheme.secret_encoding
        if encoding == "hex":
            return binascii.unhexlify(text.strip())
        if encoding == "base64":
            text = text.strip()
            return binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except (binascii.Error, ValueError):
        raise UnusableKey(f"not {scheme.secret_encoding}, as this provider's secrets are") from None
    return text.encode()


def _material(scheme: Scheme, text: str, *, private: bool) -> Any:
    data = text.encode()
    try:
        if b"PRIVATE KEY" in data:
            if not private:
                raise UnusableKey("a private key, which nobody who only verifies should hold")
            return load_pem_private_key(data, None)
        if b"BEGIN CERTIFICATE" in data:
            return x509.load_pem_x509_certificate(data).public_key()
        if b"-----BEGIN" in data:
            return load_pem_public_key(data)
        raw = _bytes(scheme, text)
        if scheme.algorithm is Algorithm.ED25519 and len(raw) == 32:
            return Ed25519PublicKey.from_public_bytes(raw)
        return load_der_public_key(raw)
    except UnusableKey:
        raise
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UnusableKey("not a public key or certificate that can be read") from None
