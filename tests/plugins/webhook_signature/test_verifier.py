"""What the presets accept, each signed by our own signer, and what breaks when any part of it changes."""

import datetime as dt
import hashlib
import json

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from gateway.services.jose.keys import from_pem
from gateway.testing import request
from plugins.webhook_signature.key import read_key
from plugins.webhook_signature.scheme import Algorithm, Scheme, presets
from plugins.webhook_signature.signer import request_of, signed
from plugins.webhook_signature.verifier import Unverified, Verifier, Why

NOW = 1_800_000_000.0
PRIVATE = {
    Algorithm.ED25519: ed25519.Ed25519PrivateKey.generate(),
    Algorithm.ECDSA_SHA256: ec.generate_private_key(ec.SECP256R1()),
    Algorithm.RSA_SHA256: rsa.generate_private_key(65537, 2048),
}
SECRETS = {"utf8": "a secret", "hex": "00ff" * 8, "base64": "c2VjcmV0c2VjcmV0"}
BODY = json.dumps({"id": "evt_1", "notificationItems": [{"NotificationRequestItem": {"pspReference": "1"}}]}).encode()
HEADERS = {
    "webhook-id": "msg_1",
    "svix-id": "msg_1",
    "PayPal-Transmission-Id": "1",
    "PayPal-Transmission-Time": "2027-01-15T08:00:00Z",
}
SIGNABLE = [name for name, preset in presets().items() if preset.algorithm is not Algorithm.JWT]
VALUES = {"webhook_id": "WH-1"}


def key_of(scheme):
    private = PRIVATE.get(scheme.algorithm)
    if private is None:
        return read_key(scheme, SECRETS[scheme.secret_encoding])
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return read_key(scheme, pem, private=True)


def made(scheme, body=BODY, url="https://gateway.test/hook?a=1"):
    return signed(scheme, key_of(scheme), body, at=NOW, url=url, headers=HEADERS, values=VALUES)


def judged(scheme, asked, body=None, now=NOW):
    data = (asked.body.whole or b"") if body is None else body
    return Verifier(scheme, values=VALUES).verify(asked, data, now, (key_of(scheme),))


@pytest.mark.parametrize("name", SIGNABLE)
def test_what_is_signed_by_the_rules_is_taken_by_them(name):
    scheme = presets()[name]
    found = judged(scheme, made(scheme))
    if scheme.timestamp is not None:
        assert found.time == NOW


@pytest.mark.parametrize("name", [name for name in SIGNABLE if presets()[name].covers_body])
def test_a_byte_more_and_it_is_not(name):
    scheme = presets()[name]
    asked = made(scheme)
    with pytest.raises(Unverified) as caught:
        judged(scheme, asked, (asked.body.whole or b"") + b" ")
    assert caught.value.why is Why.NO_MATCH


@pytest.mark.parametrize("name", [n for n in SIGNABLE if presets()[n].timestamp and presets()[n].tolerance])
@pytest.mark.parametrize("way", [1, -1])
def test_too_old_or_too_far_ahead(name, way):
    scheme = presets()[name]
    limit = scheme.tolerance if way == 1 else scheme.future_tolerance
    with pytest.raises(Unverified) as caught:
        judged(scheme, made(scheme), now=NOW + way * (limit + 1))
    assert caught.value.why is Why.BAD_TIMESTAMP


@pytest.mark.parametrize("name", [n for n in SIGNABLE if "{url}" in presets()[n].signed])
def test_another_url(name):
    scheme = presets()[name]
    asked = made(scheme)
    asked.path = "/other"
    with pytest.raises(Unverified):
        judged(scheme, asked)


def test_a_url_with_the_default_port_where_the_provider_may_write_it():
    scheme = presets()["twilio"]
    asked = made(scheme, b"", "https://gateway.test:443/hook")
    asked.host = "gateway.test"
    assert judged(scheme, asked)


# -- a scheme of one's own ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["hmac-sha1", "hmac-sha256", "hmac-sha512", *[str(each) for each in PRIVATE]])
@pytest.mark.parametrize("encoding", ["hex", "base64", "base64url"])
def test_every_algorithm_in_every_encoding(algorithm, encoding):
    scheme = Scheme.model_validate(
        {
            "signature": {"header": "X-Sig", "split": ";", "prefix": "s="},
            "timestamp": {"header": "X-Time", "unit": "iso8601"},
            "signed": "{timestamp}|{method}|{path}|{query.a}|{json.id}|{header.webhook-id}|{body_sha256}",
            "algorithm": algorithm,
            "encoding": encoding,
        }
    )
    assert judged(scheme, made(scheme))
    with pytest.raises(Unverified):
        judged(scheme, made(scheme), BODY.replace(b"evt_1", b"evt_2"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("2027-01-15T08:00:00Z", None, id="a date"),
        pytest.param("2027-01-15T08:00:00", Why.BAD_TIMESTAMP, id="a date without a zone"),
        pytest.param("yesterday", Why.BAD_TIMESTAMP, id="no date"),
        pytest.param("2027-01-15T07:00:00Z", Why.BAD_TIMESTAMP, id="an old date"),
    ],
)
def test_dates(text, why):
    assert dt.datetime.fromtimestamp(NOW, dt.UTC).isoformat() == "2027-01-15T08:00:00+00:00"
    scheme = Scheme.model_validate(
        {"signature": {"header": "S"}, "timestamp": {"header": "T", "unit": "iso8601"}, "signed": "{timestamp}{body}"}
    )
    key = key_of(scheme)
    asked = request_of("POST", "https://a.test/", {"T": text, "S": key.sign(text.encode()).hex()}, b"")
    if why is None:
        assert judged(scheme, asked)
    else:
        with pytest.raises(Unverified) as caught:
            judged(scheme, asked)
        assert caught.value.why is why


def test_an_event_id_longer_than_any_is_kept_short():
    scheme = presets()["stripe"]
    assert len(judged(scheme, made(scheme, json.dumps({"id": "x" * 10_000}).encode())).id) == 40


# -- signed tokens -----------------------------------------------------------------------------------------------------

ES256 = PRIVATE[Algorithm.ECDSA_SHA256]
PEM = ES256.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
PLAID_BODY = b'{"webhook_code":"DEFAULT_UPDATE"}'
PLAID_DIGEST = hashlib.sha256(PLAID_BODY).hexdigest()


def plaid(claims=None, key=ES256, algorithm="ES256", body=PLAID_BODY):
    claims = {"iat": int(NOW), "request_body_sha256": PLAID_DIGEST} | (claims or {})
    token = pyjwt.encode(claims, key, algorithm=algorithm, headers={"kid": "k1"})
    return request("POST", "/", headers={"Plaid-Verification": token}, body=body)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        pytest.param(plaid(), None, id="as it should be"),
        pytest.param(plaid({"request_body_sha256": "0" * 64}), Why.NO_MATCH, id="another body's digest"),
        pytest.param(plaid({"request_body_sha256": None}), Why.NO_MATCH, id="no digest"),
        pytest.param(plaid(body=b"{}"), Why.NO_MATCH, id="another body"),
        pytest.param(plaid({"iat": int(NOW) - 301}), Why.BAD_TIMESTAMP, id="too old"),
        pytest.param(plaid({"iat": int(NOW) + 301}), Why.BAD_TIMESTAMP, id="too far ahead"),
        pytest.param(plaid({"iat": "now"}), Why.BAD_TIMESTAMP, id="a time that is none"),
        pytest.param(plaid(key=ec.generate_private_key(ec.SECP256R1())), Why.NO_MATCH, id="another key"),
        pytest.param(plaid(key="x" * 32, algorithm="HS256"), Why.NO_MATCH, id="another algorithm"),
        pytest.param(request("POST", "/", headers={"Plaid-Verification": "a.b"}), Why.MALFORMED, id="no token"),
        pytest.param(request("POST", "/"), Why.NO_HEADER, id="no field"),
    ],
)
def test_tokens(asked, why):
    verifier = Verifier(presets()["plaid"])
    if why is None:
        assert verifier.verify(asked, asked.body.whole, NOW, (from_pem(PEM, "k1"),)).time == NOW
        return
    with pytest.raises(Unverified) as caught:
        verifier.verify(asked, asked.body.whole, NOW, (from_pem(PEM, "k1"),))
    assert caught.value.why is why
