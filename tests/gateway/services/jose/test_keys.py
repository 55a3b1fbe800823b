"""Keys: what a JWK set, a PEM and a secret become, and which are not taken."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from gateway.services.jose.keys import FAMILIES, KeySet, UnusableKey, from_jwk, from_jwks, from_pem, from_secret


def b64(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8)).rstrip(b"=").decode()


RSA = {"kty": "RSA", "n": b64(2**2047 + 1), "e": "AQAB"}


@pytest.mark.parametrize(
    ("jwk", "why"),
    [
        pytest.param({"kty": "oct", "k": "c2VjcmV0"}, "symmetric", id="a secret that everybody can read"),
        pytest.param({"kty": "AKP"}, "unknown type", id="an unknown type"),
        pytest.param({"kty": ["RSA"]}, "unknown type", id="a type that is no text"),
        pytest.param({**RSA, "use": "enc"}, "not for signatures", id="for encryption"),
        pytest.param({**RSA, "key_ops": ["encrypt"]}, "not for signatures", id="for other operations"),
        pytest.param({"kty": "RSA", "e": "AQAB"}, "incomplete", id="a part is missing"),
        pytest.param({**RSA, "n": 5}, "incomplete", id="a part is no text"),
        pytest.param({**RSA, "n": "%%%"}, "cannot be read", id="a part that is not base64url"),
        pytest.param({**RSA, "n": b64(2**1023 + 1)}, "1024 bits", id="1024 bits"),
        pytest.param({**RSA, "n": b64(2**8999 + 1)}, "9000 bits", id="so large that it takes milliseconds"),
        pytest.param({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, "cannot be read", id="not on the curve"),
        pytest.param({"kty": "OKP", "crv": "X25519", "x": "AA"}, "cannot be read", id="a curve for other things"),
        pytest.param("x", "not a JWK", id="no object"),
    ],
)
def test_a_key_that_is_not_taken(jwk, why):
    with pytest.raises(UnusableKey, match=why):
        from_jwk(jwk)


def test_other_curves_are_not_taken():
    secp256k1 = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256K1()).public_key(), as_dict=True)
    with pytest.raises(UnusableKey, match="type"):
        from_jwk(secp256k1)
    public = ed448.Ed448PrivateKey.generate().public_key()
    with pytest.raises(UnusableKey, match="type"):
        from_pem(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def test_a_private_key_in_a_set_is_read_as_the_public_one(signer):
    """Some issuers' sets had them, to everybody's harm. Nothing here keeps one."""
    whole = RSAAlgorithm.to_jwk(signer.private["rsa"], as_dict=True)
    assert from_jwk({**whole, "key_ops": ["verify"], "kid": "rsa"}) == from_jwk(signer.jwk("rsa"))


@pytest.mark.parametrize("kid", ["rsa", "p256", "p384", "ed"])
def test_each_family_serves_its_algorithms_only(signer, kid):
    key = from_jwk(signer.jwk(kid))
    assert {name for name in FAMILIES if key.serves(name)} == {
        name for name, family in FAMILIES.items() if family == key.family
    }


def test_a_key_kept_for_one_algorithm_serves_no_other(signer):
    key = from_jwk(signer.jwk("rsa", alg="PS256"))
    assert [name for name in FAMILIES if key.serves(name)] == ["PS256"]


def test_a_set_leaves_out_what_it_cannot_use(signer):
    document = {"keys": [signer.jwk("rsa"), {"kty": "oct", "k": "eA"}, "x", signer.jwk("p256")]}
    found, left_out = from_jwks(document, ["RS256"])
    assert found.names() == ["rsa"]
    assert [text.partition(":")[0] for text in left_out] == ["key 1", "key 2", "key 3"]


@pytest.mark.parametrize("document", [None, [], {}, {"keys": {}}, {"keys": []}, {"keys": [{}] * 101}])
def test_no_set(document):
    with pytest.raises(UnusableKey):
        from_jwks(document, ["RS256"])


def test_who_is_found(signer):
    keys = [from_jwk(signer.jwk(kid)) for kid in ("rsa", "rsa2", "p256")]
    found = KeySet(keys)
    assert [key.kid for key in found.find("rsa", "RS256")] == ["rsa"]
    assert found.find("p256", "RS256") == []
    assert found.find("nobody", "RS256") == []
    assert [key.kid for key in found.find(None, "RS256")] == ["rsa", "rsa2"]
    assert len(KeySet(from_secret("x" * 32 + str(n)) for n in range(20)).find(None, "HS256")) == 8


def test_a_key_without_a_name_answers_to_any(signer):
    nameless = from_pem(signer.pem("rsa"))
    assert KeySet([nameless]).find("whatever", "RS256") == [nameless]


def test_pem(signer):
    assert from_pem(signer.pem("ed"), "k").family == "Ed25519"
    private = signer.private["p256"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(UnusableKey, match="private"):
        from_pem(private)
    with pytest.raises(UnusableKey, match="PEM"):
        from_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----")
    small = rsa.generate_private_key(65537, 1024).public_key()
    with pytest.raises(UnusableKey, match="1024"):
        from_pem(small.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


@pytest.mark.parametrize("signature", [b"", b"x", b"x" * 64, b"x" * 256, b"\0" * 96])
@pytest.mark.parametrize(
    ("kid", "algorithm"), [("rsa", "RS256"), ("p256", "ES256"), ("p384", "ES384"), ("ed", "EdDSA")]
)
def test_a_signature_of_any_shape_is_a_no(signer, kid, algorithm, signature):
    assert not from_jwk(signer.jwk(kid)).verifies(algorithm, b"signed", signature)
