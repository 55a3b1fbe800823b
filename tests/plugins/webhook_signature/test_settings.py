"""Settings: what must be there, what is wrong, what is doubtful; and that no secret is repeated."""

import pytest
from pydantic import ValidationError

from gateway.plugin import Scope
from gateway.testing import settings_of
from plugins.webhook_signature import WebhookSignature

OWN = {"signature": {"header": "S"}}


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        pytest.param({"secrets": ["x"]}, "either `provider` or `scheme`", id="neither"),
        pytest.param({"provider": "stripe", "scheme": OWN, "secrets": ["x"]}, "either", id="both"),
        pytest.param({"provider": "strip", "secrets": ["x"]}, "did you mean stripe", id="a slip"),
        pytest.param({"provider": "stripe"}, "at least one", id="no secret"),
        pytest.param(
            {"provider": "svix", "secrets": ["whsec_!!sesame!!"]}, "not base64", id="a secret of another kind"
        ),
        pytest.param({"provider": "paypal"}, "webhook_id", id="a value that is needed"),
        pytest.param({"provider": "plaid"}, "credentials", id="nothing to ask for keys with"),
        pytest.param({"provider": "stripe", "secrets": ["x"] * 17}, "16", id="too many secrets"),
        pytest.param({"provider": "square", "secrets": ["x"], "url": "hooks.example.com"}, "https", id="no URL"),
        pytest.param(
            {"provider": "stripe", "secrets": ["x"], "replay": {"status": 500}}, "299", id="no acknowledgement"
        ),
    ],
)
def test_mistakes(settings, wrong):
    with pytest.raises(ValidationError, match=wrong) as caught:
        settings_of(WebhookSignature, settings)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        pytest.param({"provider": "stripe"}, 0, id="a preset"),
        pytest.param({"provider": "stripe", "tolerance": "off"}, 1, id="any age"),
        pytest.param({"provider": "stripe", "replay": {"by_body": True}}, 1, id="bodies though there are ids"),
        pytest.param({"scheme": {**OWN, "signed": "{method}"}}, 1, id="a body that is not signed"),
    ],
)
def test_doubts(settings, count):
    assert len(WebhookSignature.check(settings_of(WebhookSignature, {"secrets": ["x"], **settings}))) == count


def test_tolerances_are_the_operators_or_the_schemes():
    def tolerance(**more):
        return settings_of(WebhookSignature, {"provider": "paddle", "secrets": ["x"], **more}).effective().tolerance

    assert (tolerance(), tolerance(tolerance="1m"), tolerance(tolerance="off")) == (5.0, 60.0, None)


@pytest.mark.parametrize(("replay", "scope"), [({}, Scope.FLEET), ("off", Scope.NONE)])
def test_the_scope_of_what_is_remembered(replay, scope):
    made = settings_of(WebhookSignature, {"provider": "stripe", "secrets": ["x"], "replay": replay})
    assert WebhookSignature.scope_of(made) is scope
