"""Schemes: the presets are whole, and contradictions are found."""

import pytest
from pydantic import ValidationError

from plugins.webhook_signature.scheme import PRESETS, Algorithm, Known, Scheme, presets

WANTED = """
stripe github gitlab gitlab_token telnyx telnyx_v1 twilio slack shopify sendgrid mailgun svix standard_webhooks
standard_webhooks_v1a paddle square zoom linear hubspot_v1 hubspot_v2 hubspot_v3 discord adyen razorpay woocommerce
typeform zendesk paypal plaid dropbox x okta
"""
HEADER = {"header": "X-Signature"}


def test_every_provider_that_was_promised_has_a_preset():
    assert set(WANTED.split()) <= set(presets())


def test_they_stand_in_order_and_say_how_they_are_known():
    assert list(presets()) == sorted(presets())
    assert {preset.known for preset in presets().values()} == set(Known)


def test_presets_are_data():
    assert PRESETS.suffix == ".yaml"


@pytest.mark.parametrize(
    ("name", "body", "event"),
    [
        pytest.param("stripe", True, True, id="both signed"),
        pytest.param("github", True, False, id="the id stands in a field that is not signed"),
        pytest.param("svix", True, True, id="the id is signed by name"),
        pytest.param("mailgun", False, True, id="the body is not signed"),
        pytest.param("adyen", False, True, id="some of the body is signed"),
        pytest.param("gitlab_token", False, False, id="nothing is signed"),
        pytest.param("twilio", True, False, id="a form, or a digest"),
        pytest.param("plaid", True, False, id="a token with a digest"),
        pytest.param("paypal", True, True, id="a checksum"),
    ],
)
def test_what_a_signature_covers(name, body, event):
    assert (presets()[name].covers_body, presets()[name].covers_id) == (body, event)


@pytest.mark.parametrize(
    ("scheme", "wrong"),
    [
        pytest.param({}, "signature", id="no place"),
        pytest.param({"signature": {}}, "exactly one of", id="an empty place"),
        pytest.param({"signature": {**HEADER, "query": "q"}}, "exactly one of", id="two places"),
        pytest.param({"signature": HEADER, "signed": "{timestamp}"}, "timestamp", id="no place for the time"),
        pytest.param({"signature": HEADER, "signed": "{id}"}, "event_id", id="no place for the id"),
        pytest.param({"signature": HEADER, "signed": "{id}", "event_id": "{id}"}, "without", id="an id of itself"),
        pytest.param({"signature": HEADER, "signed": "{secret}{body}"}, "sha256", id="a secret in an HMAC"),
        pytest.param({"signature": HEADER, "algorithm": "sha256"}, "secret", id="a hash without a secret"),
        pytest.param({"signature": HEADER, "algorithm": "jwt"}, "token", id="a token that says nothing"),
        pytest.param({"signature": HEADER, "algorithm": "md5"}, "hmac-sha256", id="another algorithm"),
        pytest.param({"signature": HEADER, "challenges": [{"text": "x"}]}, "when", id="a handshake like any request"),
        pytest.param(
            {"signature": HEADER, "challenges": [{"echo": "{body}"}]}, "text", id="a handshake without answer"
        ),
        pytest.param(
            {"signature": HEADER, "challenges": [{"body": "(", "text": ""}]}, "regular expression", id="no regex"
        ),
    ],
)
def test_contradictions(scheme, wrong):
    with pytest.raises(ValidationError, match=wrong):
        Scheme.model_validate(scheme)


def test_every_algorithm_is_in_use_or_can_be_written():
    for algorithm in Algorithm:
        more = {"signed": "{secret}{body}"} if algorithm is Algorithm.SHA256 else {}
        if algorithm is Algorithm.JWT:
            more = {"token": {"algorithms": ["ES256"], "body_claim": "b"}}
        Scheme.model_validate({"signature": HEADER, "algorithm": algorithm.value, **more})
