"""An issuer for the bench: its key set in a file, and signed tokens of so many subjects."""

import json
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER = "https://id.bench.test"
AUDIENCE = "bench"
COUNT = 1_000


def write(folder: Path, count: int = COUNT) -> Path:
    """`jwks.json`, and the file with one RS256 token of a subject of its own in each line, which is returned.

    They hold for an hour. 2048 bits, as identity providers use.
    """
    tokens = folder / "tokens.txt"
    if tokens.exists():
        return tokens
    key = rsa.generate_private_key(65537, 2048)
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    (folder / "jwks.json").write_text(json.dumps({"keys": [public | {"kid": "bench", "alg": "RS256", "use": "sig"}]}))
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 3600, "scope": "read write"}
    made = [
        jwt.encode(claims | {"sub": f"subject-{number}"}, key, "RS256", headers={"kid": "bench"})
        for number in range(count)
    ]
    (folder / "jwks.json").chmod(0o644)
    tokens.write_text("\n".join(made) + "\n")
    return tokens
