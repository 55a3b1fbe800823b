"""`gateway token`: make a token to try a route with, from a key of your own. Not an identity provider."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from gateway.plugin import Command
from gateway.plugin.settings import parse_duration
from gateway.services.jose.keys import FAMILIES, SHORTEST_SECRET

_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_OURS: Final = frozenset({"iss", "sub", "aud", "iat", "exp"})


def _arguments(parser: argparse.ArgumentParser) -> None:
    signing = parser.add_mutually_exclusive_group(required=True)
    signing.add_argument("--key", type=Path, metavar="FILE", help="a private key in PEM")
    signing.add_argument("--new-key", type=Path, metavar="FILE", help="make an Ed25519 key in this file first")
    signing.add_argument("--secret-env", metavar="NAME", help="an HMAC secret, in this environment variable")
    parser.add_argument(
        "--public", type=Path, metavar="FILE", help="write the public key here, for `public_keys` of the issuer"
    )
    parser.add_argument("--algorithm", choices=sorted(FAMILIES), help="default: what fits the key")
    parser.add_argument("--kid", help="name of the key, if the issuer's key set has names")
    parser.add_argument("--typ", default="JWT", help="type in the token's head (default: %(default)s)")
    parser.add_argument("--issuer", default="https://id.example.com", help="`iss` (default: %(default)s)")
    parser.add_argument("--subject", default="somebody", help="`sub` (default: %(default)s)")
    parser.add_argument("--audience", action="append", default=[], metavar="NAME", help="`aud`; may be repeated")
    parser.add_argument("--scope", action="append", default=[], metavar="SCOPE", help="may be repeated")
    parser.add_argument("--role", action="append", default=[], metavar="ROLE", help="may be repeated")
    parser.add_argument(
        "--claim", action="append", default=[], metavar="NAME=VALUE", help="any other; VALUE is JSON, else text"
    )
    parser.add_argument("--expires", default="1h", metavar="DURATION", help="from now (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="head, claims and token as JSON")


def _run(options: argparse.Namespace) -> int:
    try:
        key = _key(options)
        algorithm = options.algorithm or _fitting(key)
        claims = _claims(options)
        head = {"typ": options.typ, **({"kid": options.kid} if options.kid else {})}
        token = jwt.encode(claims, key, algorithm=algorithm, headers=head)
        if options.public is not None:
            _publish(key, options.public)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm, jwt.exceptions.PyJWTError) as error:
        print(f"gateway token: {error}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    made = {"head": {"alg": algorithm, **head}, "claims": claims, "token": token}
    print(json.dumps(made, indent=2) if options.json else token)  # noqa: T201
    return 0


def _key(options: argparse.Namespace) -> Any:
    """A private key, or a secret. Raises OSError, ValueError."""
    if options.secret_env is not None:
        secret = os.environ.get(options.secret_env, "")
        if len(secret.encode()) < min(SHORTEST_SECRET.values()):
            raise ValueError(f"{options.secret_env} holds no secret of at least 32 bytes")
        return secret
    if options.new_key is not None:
        key = Ed25519PrivateKey.generate()
        # Nobody else may read it, not even for the moment between making and closing it; an old key is never lost.
        with os.fdopen(os.open(options.new_key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return key
    try:
        return load_pem_private_key(options.key.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{options.key} holds no private key that can be read without a password") from error


def _fitting(key: Any) -> str:
    if isinstance(key, str):
        return "HS256"
    if isinstance(key, RSAPrivateKey):
        return "RS256"
    if isinstance(key, Ed25519PrivateKey):
        return "EdDSA"
    if isinstance(key, EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    raise ValueError("a key of RSA, Ed25519 or one of the curves P-256, P-384 and P-521 is needed")


def _publish(key: Any, to: Path) -> None:
    if isinstance(key, str):
        raise ValueError("--public: an HMAC secret has no public half")  # noqa: TRY004 - of the options, not of code
    to.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _claims(options: argparse.Namespace) -> dict[str, Any]:
    now = int(time.time())
    audience = options.audience
    claims: dict[str, Any] = {"iss": options.issuer, "sub": options.subject, "iat": now}
    claims["exp"] = now + int(parse_duration(options.expires))
    if audience:
        claims["aud"] = audience if len(audience) > 1 else audience[0]
    if options.scope:
        claims["scope"] = " ".join(options.scope)
    if options.role:
        claims["roles"] = options.role
    for each in options.claim:
        name, equals, text = each.partition("=")
        if not name or not equals or name in _OURS:
            raise ValueError(f"--claim {each}: expected NAME=VALUE with a name that has no option of its own")
        try:
            claims[name] = json.loads(text)
        except json.JSONDecodeError:
            claims[name] = text
    return claims


COMMAND: Final = Command("token", "Make a token to try a route with, from a key of your own.", _run, _arguments)
