"""The signer: where it writes, and what it cannot do. That what it signs is taken, is tested with the verifier."""

import json

import pytest

from plugins.webhook_signature.key import read_key
from plugins.webhook_signature.scheme import presets
from plugins.webhook_signature.signer import CannotSign, signed

AT = 1_800_000_000


def made(name, body=b'{"id":"evt_1"}', **more):
    scheme = presets()[name]
    return signed(scheme, read_key(scheme, more.pop("secret", "abcd")), body, at=AT, **more)


def test_time_and_signature_in_one_field():
    assert made("stripe").headers["Stripe-Signature"].startswith(f"t={AT},v1=")


def test_a_signature_in_the_body():
    document = json.loads(made("mailgun", b'{"signature":{"token":"x"},"event-data":{}}').body.whole)
    assert document["signature"]["timestamp"] == AT
    assert len(document["signature"]["signature"]) == 64


def test_a_digest_in_the_query():
    assert "bodySHA256=" in made("twilio", url="https://a.test/x?y=1").query


def test_a_token_is_sent_as_it_is():
    assert made("gitlab_token").headers["X-Gitlab-Token"] == "abcd"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        pytest.param("mailgun", b"no JSON", id="a signature in a body that is no JSON"),
        pytest.param("adyen", b"{}", id="a list that is not there"),
    ],
)
def test_what_cannot_be_signed(name, body):
    with pytest.raises(CannotSign):
        made(name, body)


def test_tokens_are_the_providers():
    with pytest.raises(CannotSign):
        signed(presets()["plaid"], None, b"", at=AT)
