"""Keys serve one algorithm."""

import pytest

from gateway.http import Principal
from plugins.http_signature.key import UnusableKey, from_jwk, from_pem, from_secret


def test_secrets():
    key = from_secret("a", b"x" * 32, Principal("a"))
    assert key.verifies(b"m", key.sign(b"m"))
    assert not key.verifies(b"m", b"")
    with pytest.raises(UnusableKey):
        from_secret("a", b"x" * 31, Principal("a"))


@pytest.mark.parametrize("text", ["", "nonsense", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"])
def test_what_is_no_pem(text):
    with pytest.raises(UnusableKey):
        from_pem("a", "ed25519", text, Principal("a"), private=False)


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kid": "a", "alg": "none", "kty": "RSA"},
        {"kid": "a", "alg": "HS256", "kty": "oct", "k": "AAAA"},
        {"kid": "a", "alg": "ES256", "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kid": "a", "alg": "EdDSA", "kty": "OKP", "use": "enc"},
    ],
)
def test_what_is_no_key_here(jwk):
    with pytest.raises(UnusableKey):
        from_jwk(jwk)


def test_a_jwk():
    jwk = {
        "kty": "OKP",
        "crv": "Ed25519",
        "kid": "a",
        "alg": "EdDSA",
        "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs",
    }
    assert from_jwk(jwk).algorithm == "ed25519"
