"""Keys, each pinned to one algorithm (RFC 9421 §3.3), whatever a sender says."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from gateway.http import Principal

AlgorithmName = Literal[
    "rsa-pss-sha512", "rsa-v1_5-sha256", "hmac-sha256", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "ed25519"
]
_OF_JWK: Final = {
    "PS512": "rsa-pss-sha512",
    "RS256": "rsa-v1_5-sha256",
    "ES256": "ecdsa-p256-sha256",
    "ES384": "ecdsa-p384-sha384",
    "EdDSA": "ed25519",
    "Ed25519": "ed25519",
}
"""The ``alg`` of a JWK (RFC 7518, RFC 8037, RFC 9864) → the algorithm here (RFC 9421 §3.3.7 keeps the two apart)."""
_CURVES: Final[Mapping[str, tuple[str, int, hashes.HashAlgorithm]]] = {
    "ecdsa-p256-sha256": ("secp256r1", 32, hashes.SHA256()),
    "ecdsa-p384-sha384": ("secp384r1", 48, hashes.SHA384()),
}
_PSS: Final = padding.PSS(mgf=padding.MGF1(hashes.SHA512()), salt_length=64)
SHORTEST_SECRET: Final = 32


class UnusableKey(ValueError):
    """A key that is none, or not of its algorithm. The text holds nothing of the key."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key by its id, with the one algorithm it serves, and who signs with it."""

    id: str
    algorithm: str
    material: Any
    principal: Principal

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether this key made the signature. Constant-time where it is symmetric."""
        material = self.material
        try:
            if self.algorithm == "hmac-sha256":
                return hmac.compare_digest(hmac.new(material, message, hashlib.sha256).digest(), signature)
            public = material if not hasattr(material, "public_key") else material.public_key()
            if self.algorithm == "ed25519":
                public.verify(signature, message)
            elif self.algorithm == "rsa-pss-sha512":
                public.verify(signature, message, _PSS, hashes.SHA512())
            elif self.algorithm == "rsa-v1_5-sha256":
                public.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
            else:
                _, size, digest = _CURVES[self.algorithm]
                if len(signature) != 2 * size:
                    return False
                pair = (int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big"))
                public.verify(utils.encode_dss_signature(*pair), message, ec.ECDSA(digest))
        except (InvalidSignature, ValueError):
            return False
        return True

    def sign(self, message: bytes) -> bytes:
        """A signature. Takes a millisecond with RSA."""
        material = self.material
        if self.algorithm == "hmac-sha256":
            return hmac.new(material, message, hashlib.sha256).digest()
        if self.algorithm == "ed25519":
            return bytes(material.sign(message))
        if self.algorithm == "rsa-pss-sha512":
            return bytes(material.sign(message, _PSS, hashes.SHA512()))
        if self.algorithm == "rsa-v1_5-sha256":
            return bytes(material.sign(message, padding.PKCS1v15(), hashes.SHA256()))
        _, size, digest = _CURVES[self.algorithm]
        r, s = utils.decode_dss_signature(material.sign(message, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def from_secret(id_: str, secret: bytes, principal: Principal) -> Key:
    """A shared secret. Raises UnusableKey."""
    if len(secret) < SHORTEST_SECRET:
        raise UnusableKey(f"the key {id_!r}: a secret of at least {SHORTEST_SECRET} bytes (RFC 2104 §3)")
    return Key(id_, "hmac-sha256", secret, principal)


def from_pem(id_: str, algorithm: str, text: str, principal: Principal, *, private: bool) -> Key:
    """A public or private key in PEM. Raises UnusableKey."""
    data = text.encode()
    try:
        material: Any
        if private:
            material = load_pem_private_key(data, None)
        elif b"PRIVATE KEY" in data:
            raise UnusableKey(f"the key {id_!r}: a private key, which nobody who only verifies should hold")
        elif b"BEGIN CERTIFICATE" in data:
            material = load_pem_x509_certificate(data).public_key()
        else:
            material = load_pem_public_key(data)
    except UnusableKey:
        raise
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UnusableKey(f"the key {id_!r} cannot be read as PEM") from None
    return _checked(Key(id_, algorithm, material, principal))


def from_jwk(jwk: Mapping[str, Any]) -> Key:
    """A public JWK that says its ``kid`` and ``alg``. Raises UnusableKey."""
    kid, algorithm = jwk.get("kid"), _OF_JWK.get(str(jwk.get("alg")))
    if not isinstance(kid, str) or algorithm is None or jwk.get("use", "sig") != "sig":
        raise UnusableKey("a JWK without a `kid`, or without an `alg` that is known here")
    public = {name: jwk[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in jwk}
    readers: Mapping[str, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}
    reader = readers.get(str(jwk.get("kty")))
    if reader is None:
        raise UnusableKey(f"the key {kid!r} is of a type that is not known here")
    try:
        material: Any = reader.from_jwk(public)
    except (PyJWTError, ValueError, TypeError, KeyError):
        raise UnusableKey(f"the key {kid!r} cannot be read") from None
    return _checked(Key(kid, algorithm, material, Principal(kid)))


def _checked(key: Key) -> Key:
    material, algorithm = key.material, key.algorithm
    if algorithm.startswith("rsa"):
        fits = isinstance(material, RSAPublicKey | RSAPrivateKey) and 2048 <= material.key_size <= 8192
    elif algorithm == "ed25519":
        fits = isinstance(material, Ed25519PublicKey | Ed25519PrivateKey)
    else:
        curve = _CURVES.get(algorithm, ("", 0, None))[0]
        fits = isinstance(material, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey)
        fits = fits and material.curve.name == curve
    if not fits:
        raise UnusableKey(f"the key {key.id!r} is not one for {algorithm}")
    return key
