"""Keys: what is taken for one, and that the right one and no other verifies."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from plugins.webhook_signature.key import UnusableKey, read_key
from plugins.webhook_signature.scheme import Scheme

KEYS = {
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "ecdsa-sha256": ec.generate_private_key(ec.SECP256R1()),
    "rsa-sha256": rsa.generate_private_key(65537, 2048),
}


def scheme(algorithm="hmac-sha256", **more):
    if algorithm == "sha256":
        more["signed"] = "{secret}{body}"
    return Scheme.model_validate({"signature": {"header": "S"}, "algorithm": algorithm, **more})


def private_pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize("algorithm", ["hmac-sha1", "hmac-sha256", "hmac-sha512", "sha256", "token"])
def test_secrets(algorithm):
    key, other = [read_key(scheme(algorithm), text) for text in ("one", "two")]
    made = key.sign(b"message")
    assert key.verifies(b"message", made)
    assert not key.verifies(b"message", made[:-1])
    if algorithm != "sha256":  # there the secret is in the message
        assert not other.verifies(b"message", made)
    if algorithm != "token":
        assert not key.verifies(b"messages", made)


@pytest.mark.parametrize("algorithm", KEYS)
def test_public_keys(algorithm):
    made = read_key(scheme(algorithm), private_pem(KEYS[algorithm]), private=True).sign(b"message")
    key = read_key(scheme(algorithm), public_pem(KEYS[algorithm]))
    assert key.verifies(b"message", made)
    assert not key.verifies(b"messages", made)
    assert not key.verifies(b"message", b"")
    with pytest.raises(UnusableKey):
        key.sign(b"message")
    with pytest.raises(UnusableKey, match="private key"):
        read_key(scheme(algorithm), private_pem(KEYS[algorithm]))


def test_a_raw_ed25519_key_in_hex():
    raw = KEYS["ed25519"].public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    key = read_key(scheme("ed25519", secret_encoding="hex"), raw.hex())
    assert key.verifies(b"m", KEYS["ed25519"].sign(b"m"))


@pytest.mark.parametrize(
    ("given", "text", "wrong"),
    [
        pytest.param(scheme(secret_encoding="hex"), "xyz", "not hex", id="no hex"),
        pytest.param(scheme(secret_encoding="base64"), "a!b", "not base64", id="no base64"),
        pytest.param(
            scheme(secret_encoding="base64", secret_prefixes=("whsec_",)), "whsec_", "empty", id="nothing but a prefix"
        ),
        pytest.param(scheme("ed25519", secret_encoding="hex"), "00" * 31, "cannot|can be read", id="too short a key"),
        pytest.param(scheme("ed25519"), public_pem(KEYS["rsa-sha256"]), "not an Ed25519", id="of another kind"),
        pytest.param(scheme("rsa-sha256"), public_pem(rsa.generate_private_key(65537, 1024)), "1024 bits", id="small"),
        pytest.param(scheme("ecdsa-sha256"), "-----BEGIN PUBLIC KEY-----\nx", "read", id="broken PEM"),
    ],
)
def test_what_is_no_key(given, text, wrong):
    with pytest.raises(UnusableKey, match=wrong) as caught:
        read_key(given, text)
    assert text not in str(caught.value)


def test_prefixes_are_no_part_of_a_secret():
    given = scheme(secret_encoding="base64", secret_prefixes=("whsec_",))
    assert read_key(given, "whsec_YWJj").secret == read_key(given, "YWJj").secret == b"abc"
