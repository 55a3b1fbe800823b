"""An issuer of tokens for whoever tests what reads them: real keys, made once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

NOW = 1_800_000_000  # what the test ports' clock says
SECRET = "a secret of thirty-two bytes or more"


def b64(data: bytes | dict[str, Any] | str) -> str:
    raw = json.dumps(data).encode() if isinstance(data, dict) else data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Signer:
    """Keys by `kid`, and tokens they sign."""

    def __init__(self) -> None:
        self.private: dict[str, Any] = {
            "rsa": rsa.generate_private_key(65537, 2048),
            "rsa2": rsa.generate_private_key(65537, 2048),
            "p256": ec.generate_private_key(ec.SECP256R1()),
            "p384": ec.generate_private_key(ec.SECP384R1()),
            "ed": ed25519.Ed25519PrivateKey.generate(),
        }

    def jwk(self, kid: str, **more: Any) -> dict[str, Any]:
        public = self.private[kid].public_key()
        kinds = (
            (rsa.RSAPublicKey, RSAAlgorithm),
            (ec.EllipticCurvePublicKey, ECAlgorithm),
            (ed25519.Ed25519PublicKey, OKPAlgorithm),
        )
        made = next(algorithm.to_jwk(public, as_dict=True) for kind, algorithm in kinds if isinstance(public, kind))
        return {**made, "kid": kid, "use": "sig", **more}

    def jwks(self, *kids: str) -> dict[str, Any]:
        return {"keys": [self.jwk(kid) for kid in kids or ("rsa",)]}

    def pem(self, kid: str) -> str:
        return self.private[kid].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def claims(self, **more: Any) -> dict[str, Any]:
        """Those of a good token; None takes one away."""
        usual = {"iss": "https://id.test", "aud": "orders", "sub": "ada", "iat": NOW, "exp": NOW + 300}
        return {name: value for name, value in {**usual, **more}.items() if value is not None}

    def token(
        self,
        claims: dict[str, Any] | None = None,
        *,
        kid: str | None = "rsa",
        key: Any = None,
        alg: str = "RS256",
        header: dict[str, Any] | None = None,
        **more: Any,
    ) -> str:
        payload = json.dumps(claims if claims is not None else self.claims(**more)).encode()
        headers = {"typ": "JWT", **({"kid": kid} if kid is not None else {}), **(header or {})}
        headers = {name: value for name, value in headers.items() if value is not None}
        signing = key if key is not None else self.private[kid or "rsa"]
        return self.signed({**headers, "alg": alg}, payload, signing)

    def signed(self, header: dict[str, Any] | str, payload: bytes | str, key: Any) -> str:
        """A token to the letter, whatever a library would think of it."""
        signed = f"{b64(header)}.{b64(payload)}"
        alg = header["alg"] if isinstance(header, dict) else "RS256"
        if isinstance(key, bytes):
            return f"{signed}.{b64(hmac.digest(key, signed.encode(), hashlib.sha256))}"
        return f"{signed}.{b64(jwt.get_algorithm_by_name(alg).sign(signed.encode(), key))}"


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer()
