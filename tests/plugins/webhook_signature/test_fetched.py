"""Keys that are fetched: from the provider's own place only, seldom, and nothing that is out of date."""

import asyncio
import base64
import datetime as dt
import json
import zlib

import jwt as pyjwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from jwt.algorithms import ECAlgorithm

from gateway.errors import ConnectFailed
from gateway.testing import answering, opened, ports, request
from plugins.webhook_signature import WebhookSignature
from plugins.webhook_signature.fetched import certificate_url
from plugins.webhook_signature.scheme import presets
from plugins.webhook_signature.verifier import Unverified

NOW = 1_800_000_000
URL = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42"
BODY = b'{"id":"WH-EVENT-1"}'
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
PLAID_URL = "https://production.plaid.com/webhook_verification_key/get"
PLAID = {"provider": "plaid", "credentials": {"client_id": "us", "client_secret": "ours"}}
PAYPAL = {"provider": "paypal", "values": {"webhook_id": "WH-1"}}


def certificate(name="messageverificationcerts.paypal.com", start=-1, days=30, key=RSA):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = dt.datetime.fromtimestamp(NOW, dt.UTC) + dt.timedelta(days=start)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(begin).not_valid_after(begin + dt.timedelta(days=days))
    return made.sign(RSA, hashes.SHA256()).public_bytes(Encoding.PEM)


def paypal(url=URL, body=BODY, webhook="WH-1"):
    message = f"tid|2027-01-15T08:00:00Z|{webhook}|{zlib.crc32(body)}".encode()
    headers = {
        "PAYPAL-TRANSMISSION-ID": "tid",
        "PAYPAL-TRANSMISSION-TIME": "2027-01-15T08:00:00Z",
        "PAYPAL-TRANSMISSION-SIG": base64.b64encode(RSA.sign(message, padding.PKCS1v15(), hashes.SHA256())).decode(),
        "PAYPAL-CERT-URL": url,
    }
    return request("POST", "/", headers=headers, body=body)


@pytest.mark.parametrize(
    ("answer", "asked", "status"),
    [
        pytest.param({"body": certificate()}, paypal(), 200, id="as it should be"),
        pytest.param({"body": certificate()}, paypal(webhook="WH-2"), 401, id="another's webhook"),
        pytest.param({"body": certificate("evil.example")}, paypal(), 401, id="made out to somebody else"),
        pytest.param({"body": certificate(start=-40)}, paypal(), 401, id="out of date"),
        pytest.param({"body": certificate(start=1)}, paypal(), 401, id="not yet valid"),
        pytest.param({"body": certificate(key=EC)}, paypal(), 401, id="a key of another kind"),
        pytest.param({"body": b"hello"}, paypal(), 401, id="no certificate"),
        pytest.param({"status": 404}, paypal(), 401, id="not there"),
        pytest.param({"status": 302, "headers": {"Location": "https://evil.example"}}, paypal(), 503, id="a redirect"),
        pytest.param({"error": ConnectFailed()}, paypal(), 503, id="cannot be reached"),
    ],
)
async def test_paypal(answer, asked, status):
    given, target = ports(), answering(200)
    given.calls.answer(URL, **answer)
    async with opened(WebhookSignature, PAYPAL, ports=given) as it:
        assert (await it(asked, target)).status == status
    assert target.calls == (status == 200)
    assert [call.url for call in given.calls.calls] == [URL]


async def test_paypal_with_a_certificate_that_was_given_needs_no_network():
    given = ports()
    async with opened(WebhookSignature, {**PAYPAL, "secrets": [certificate().decode()]}, ports=given) as it:
        assert (await it(paypal("https://evil.example/"))).status == 200
    assert given.calls.calls == []


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://evil.example/v1/notifications/certs/x", id="another host"),
        pytest.param("https://api.paypal.com.evil.example/v1/notifications/certs/x", id="a host that begins like it"),
        pytest.param("https://evilapi.paypal.com/v1/notifications/certs/x", id="a host that ends like it"),
        pytest.param("https://api.paypal.com@evil.example/v1/notifications/certs/x", id="a user in the address"),
        pytest.param("https://api.paypal.com:444/v1/notifications/certs/x", id="another port"),
        pytest.param("http://api.paypal.com/v1/notifications/certs/x", id="no TLS"),
        pytest.param("https://api.paypal.com/v1/notifications/certs/../../x", id="dot segments"),
        pytest.param("https://api.paypal.com/v1/notifications/certs/%2e%2e/x", id="encoded dot segments"),
        pytest.param("https://api.paypal.com/redirect?to=evil", id="another path"),
        pytest.param("https://api.paypal.com\\@evil.example/v1/notifications/certs/x", id="a backslash"),
        pytest.param("https://api.paypal.com/v1/notifications/certs/x#y", id="a fragment"),
        pytest.param("file:///etc/passwd", id="a file"),
        pytest.param("https://169.254.169.254/v1/notifications/certs/x", id="the cloud's own"),
        pytest.param("", id="nothing"),
    ],
)
async def test_certificates_from_elsewhere_are_not_fetched(url):
    given = ports()
    async with opened(WebhookSignature, PAYPAL, ports=given) as it:
        assert (await it(paypal(url))).status == 401
    assert given.calls.calls == []
    with pytest.raises(Unverified):
        certificate_url(presets()["paypal"].certificates, paypal(url))


def plaid(kid="k1", body=b"{}", key=EC):
    digest = hashes.Hash(hashes.SHA256())
    digest.update(body)
    claims = {"iat": NOW, "request_body_sha256": digest.finalize().hex()}
    token = pyjwt.encode(claims, key, algorithm="ES256", headers={"kid": kid})
    return request("POST", "/", headers={"Plaid-Verification": token}, body=body)


def jwk(**more):
    return json.dumps({"key": {**json.loads(ECAlgorithm.to_jwk(EC.public_key())), "kid": "k1", **more}})


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        pytest.param({"body": jwk(alg="ES256", use="sig", expired_at=None)}, 200, id="as it should be"),
        pytest.param({"body": jwk(expired_at=1)}, 401, id="withdrawn"),
        pytest.param({"body": "{}"}, 401, id="no key"),
        pytest.param({"body": "x"}, 401, id="no JSON"),
        pytest.param({"status": 400}, 401, id="not known"),
        pytest.param({"status": 500}, 503, id="out of order"),
    ],
)
async def test_plaid(answer, status):
    given = ports()
    given.calls.answer(PLAID_URL, **answer)
    async with opened(WebhookSignature, PLAID, ports=given) as it:
        assert (await it(plaid())).status == status
        (call,) = given.calls.calls
        assert json.loads(call.body) == {"client_id": "us", "secret": "ours", "key_id": "k1"}
        assert "ours" not in str(given.lines)


async def test_a_key_is_fetched_once_and_again_after_a_day():
    given = ports()
    given.calls.answer(PLAID_URL, body=jwk())
    async with opened(WebhookSignature, {**PLAID, "tolerance": "off"}, ports=given) as it:
        answers = await asyncio.gather(*[it(plaid()) for _ in range(20)])
        assert {each.status for each in answers} == {200}
        assert len(given.calls.calls) == 1
        given.clock.advance(86_401)
        await it(plaid())
    assert len(given.calls.calls) == 2


async def test_nobody_can_make_us_ask_often():
    given = ports()
    given.calls.answer(PLAID_URL, status=400)
    async with opened(WebhookSignature, PLAID, ports=given) as it:
        statuses = [(await it(plaid(f"k{number}"))).status for number in range(50)]
        assert statuses == [401] * 10 + [503] * 40
        assert (await it(plaid("k0"))).status == 503, "not again at once"
    assert len(given.calls.calls) == 10


async def test_a_token_without_a_name_or_of_another_kind_is_not_asked_for():
    given = ports()
    token = pyjwt.encode({"iat": NOW}, "x" * 32, algorithm="HS256", headers={"kid": "k1"})
    async with opened(WebhookSignature, PLAID, ports=given) as it:
        for headers in ({"Plaid-Verification": token}, {"Plaid-Verification": "x"}, {}):
            assert (await it(request("POST", "/", headers=headers))).status == 401
    assert given.calls.calls == []
