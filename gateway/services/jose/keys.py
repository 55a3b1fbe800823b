"""Public keys and secrets that tokens are verified with: JWK sets (RFC 7517), PEM, HMAC secrets.

A key belongs to one family, and only algorithms of that family ever touch it: an RSA key cannot serve as an HMAC secret
(RFC 8725 §2.1).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from jwt.algorithms import Algorithm, ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms
from jwt.exceptions import PyJWTError

FAMILIES: Final = {
    "RS256": "RSA",
    "RS384": "RSA",
    "RS512": "RSA",
    "PS256": "RSA",
    "PS384": "RSA",
    "PS512": "RSA",
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    "EdDSA": "Ed25519",
    "HS256": "oct",
    "HS384": "oct",
    "HS512": "oct",
}
"""Algorithm → the one family of keys that it works with."""
SHORTEST_SECRET: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
"""Bytes: as many as the hash has (RFC 7518 §3.2)."""
MOST_KEYS: Final = 100
MOST_TRIED: Final = 8
"""Keys that are tried for a token that names none."""

_ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    name: made for name, made in get_default_algorithms().items() if name in FAMILIES
}
_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_PUBLIC_PARTS: Final[Mapping[str, tuple[Any, tuple[str, ...]]]] = {
    "RSA": (RSAAlgorithm, ("n", "e")),
    "EC": (ECAlgorithm, ("crv", "x", "y")),
    "OKP": (OKPAlgorithm, ("crv", "x")),
}


class UnusableKey(ValueError):
    """Nothing can be verified with it. The text holds nothing of the key."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key. Equal if it is the same key under the same name, whenever it was read."""

    kid: str | None
    family: str
    only: str | None
    """The one algorithm that its owner lets it be used with, if said."""
    print: str
    """A digest of the key; for comparing."""
    material: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and (self.kid, self.only, self.print) == (other.kid, other.only, other.print)

    def __hash__(self) -> int:
        return hash((self.kid, self.only, self.print))

    def serves(self, algorithm: str) -> bool:
        """It is of the family that the algorithm needs, and not kept for another."""
        return FAMILIES.get(algorithm) == self.family and (self.only is None or self.only == algorithm)

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's. Constant-time where the algorithm is symmetric."""
        try:
            return bool(_ALGORITHMS[algorithm].verify(signed, self.material, signature))
        except (ValueError, PyJWTError):  # a signature of a wrong shape
            return False


class KeySet:
    """Keys by name. Immutable; a refreshed set is another one."""

    __slots__ = ("_all", "_by_kid", "_unnamed", "keys")

    def __init__(self, keys: Iterable[Key]) -> None:
        self._all = list(keys)
        self.keys = frozenset(self._all)
        self._by_kid: dict[str, list[Key]] = {}
        self._unnamed = [key for key in self._all if key.kid is None]
        for key in self._all:
            if key.kid is not None:
                self._by_kid.setdefault(key.kid, []).append(key)

    def find(self, kid: str | None, algorithm: str) -> list[Key]:
        """Keys that a token may have been signed with: those of its name, or those without one. At most `MOST_TRIED`.

        A token without a name may be from any key. ``kid`` is the sender's to choose (RFC 8725 §3.10), so it is looked
        up here and nowhere else.
        """
        found = self._all if kid is None else self._by_kid.get(kid) or self._unnamed
        return [key for key in found if key.serves(algorithm)][:MOST_TRIED]

    def names(self) -> list[str]:
        """For people: the names of the keys."""
        return sorted(key.kid or "(no kid)" for key in self.keys)


def from_jwks(document: Any, algorithms: Iterable[str]) -> tuple[KeySet, list[str]]:
    """The keys of a JWK set that can verify with one of ``algorithms``, and why others are left out.

    Sets hold keys for other uses, of kinds not known here and, at some issuers, of sizes nobody should use; RFC 7517 §5
    has them ignored. Raises UnusableKey if it is no JWK set or none of its keys is left.
    """
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list | tuple):
        raise UnusableKey("not a JWK set: it has no list of `keys`")
    if len(listed) > MOST_KEYS:
        raise UnusableKey(f"a JWK set of more than {MOST_KEYS} keys")
    keys, left_out = [], []
    wanted = tuple(algorithms)
    for index, jwk in enumerate(listed):
        try:
            key = from_jwk(jwk)
        except UnusableKey as error:
            left_out.append(f"key {index}: {error}")
            continue
        if any(key.serves(algorithm) for algorithm in wanted):
            keys.append(key)
        else:
            left_out.append(f"key {index}: of no use for {', '.join(wanted)}")
    if not keys:
        raise UnusableKey("; ".join(["no usable key", *left_out[:5]]))
    return KeySet(keys), left_out


def from_jwk(jwk: Any) -> Key:
    """One public JWK. Raises UnusableKey."""
    if not isinstance(jwk, dict):
        raise UnusableKey("not a JWK")
    use, operations = jwk.get("use", "sig"), jwk.get("key_ops", ["verify"])
    if use != "sig" or not isinstance(operations, list | tuple) or "verify" not in operations:
        raise UnusableKey("not for signatures")
    kind = jwk.get("kty")
    if not isinstance(kind, str) or kind not in _PUBLIC_PARTS:
        # A secret in a document that is meant for everybody is none.
        raise UnusableKey("symmetric keys are not taken from a JWK set" if kind == "oct" else "of an unknown type")
    algorithm, parts = _PUBLIC_PARTS[kind]
    public = {"kty": kind, **{part: jwk.get(part) for part in parts}}
    if not all(isinstance(value, str) for value in public.values()):
        raise UnusableKey("incomplete")
    try:
        material = algorithm.from_jwk(public)
    except (PyJWTError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        raise UnusableKey("cannot be read") from None
    kid, only = jwk.get("kid"), jwk.get("alg")
    return _made(material, kid if isinstance(kid, str) else None, only if isinstance(only, str) else None)


def from_pem(text: str, kid: str | None = None) -> Key:
    """A public key or a certificate in PEM. Raises UnusableKey."""
    data = text.encode()
    if b"PRIVATE KEY" in data:
        raise UnusableKey("a private key, which nobody who only verifies should hold")
    try:
        if b"BEGIN CERTIFICATE" in data:
            material: Any = x509.load_pem_x509_certificate(data).public_key()
        else:
            material = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableKey("not a public key or certificate in PEM") from None
    return _made(material, kid, None)


def from_secret(secret: str) -> Key:
    """An HMAC secret."""
    data = secret.encode()
    return Key(None, "oct", None, hashlib.sha256(b"oct" + data).hexdigest(), data)


def _made(material: Any, kid: str | None, only: str | None) -> Key:
    if isinstance(material, RSAPublicKey):
        if not 2048 <= material.key_size <= 8192:  # RFC 7518 §3.3; larger ones take milliseconds each
            raise UnusableKey(f"an RSA key of {material.key_size} bits; 2048 to 8192 are taken")
        family = "RSA"
    elif isinstance(material, EllipticCurvePublicKey) and material.curve.name in _CURVES:
        family = _CURVES[material.curve.name]
    elif isinstance(material, Ed25519PublicKey):
        family = "Ed25519"
    else:
        raise UnusableKey("of a type that no algorithm here uses")
    encoded = material.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Key(kid, family, only, hashlib.sha256(encoded).hexdigest(), material)


def read_json(body: bytes) -> Any:
    """The JSON of a fetched document. Raises UnusableKey."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise UnusableKey("not JSON") from None
