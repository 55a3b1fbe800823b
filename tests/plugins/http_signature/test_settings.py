"""Settings say what they need."""

import pytest
from pydantic import ValidationError

from gateway.testing import settings_of
from plugins.http_signature import HttpSignature

SIGN = {"id": "k", "algorithm": "hmac-sha256", "secret": "x" * 32}


@pytest.mark.parametrize(
    "change",
    [
        {"label": "Upper"},
        {"secret": None},
        {"encoding": "base64", "secret": "not base64!"},
        {"algorithm": "ed25519"},
        {"algorithm": "ed25519", "secret": None, "private_key": "nonsense"},
        {"id": 'a"é'},
        {"components": ["@query-param"]},
    ],
)
def test_signing_settings(change):
    with pytest.raises(ValidationError) as caught:
        settings_of(HttpSignature, {"sign": {**SIGN, **change}})
    assert "x" * 32 not in str(caught.value)


def test_required_components_may_have_parameters():
    made = settings_of(HttpSignature, {"verify": {"keys": [SIGN], "components": ['@query-param;name="id"']}})
    assert [str(each) for each in made.verify.required()] == ['"@query-param";name="id"']


def test_answers_are_signed_by_an_entry_of_its_own():
    made = settings_of(HttpSignature, {"answers": {**SIGN, "components": ["@status"]}})
    assert HttpSignature.alone(made) == "answers"
