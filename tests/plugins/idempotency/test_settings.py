"""Settings of idempotency: what is refused, what is warned of."""

import pytest
from pydantic import ValidationError

from gateway.testing import settings_of
from plugins.idempotency import Idempotency


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param({"methods": ["GET"]}, "one of", id="GET needs no key"),
        pytest.param({"methods": ["post"]}, "one of", id="methods are written large"),
        pytest.param({"methods": []}, "at least 1", id="no method"),
        pytest.param({"keep": ["1xx"]}, "a class of them", id="1xx is no answer"),
        pytest.param({"keep": [True]}, "a class of them", id="a switch"),
        pytest.param({"keep": [429]}, "at least one status", id="nothing would be kept"),
        pytest.param({"keep": ["5xx"]}, "not in both", id="kept and unknown"),
        pytest.param({"caller": "tenant"}, "a template", id="a word that is no template"),
        pytest.param({"caller": "{nobody}"}, "placeholders", id="a placeholder that is not known"),
        pytest.param({"secrets": ["hunter2"]}, "16 bytes", id="a secret that can be guessed"),
        pytest.param({"lease": "1h", "ttl": "30m"}, "no longer than", id="a lease longer than what is kept"),
        pytest.param({"header": "Content-Length"}, "framing", id="a field that is the gateway's"),
    ],
)
def test_mistakes(settings, said):
    with pytest.raises(ValidationError, match=said) as caught:
        settings_of(Idempotency, settings)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param({}, "", id="defaults"),
        pytest.param({"keep": ["2xx", 500]}, "5xx", id="a 5xx that is kept"),
        pytest.param({"on_store_error": "allow"}, "second time", id="without the store"),
    ],
)
def test_doubts(settings, said):
    found = " ".join(Idempotency.check(settings_of(Idempotency, settings)))
    assert (said in found) if said else not found
