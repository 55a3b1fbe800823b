"""Settings of upstream_auth: ways that exclude each other, and values that could not be sent."""

import pytest
from pydantic import ValidationError

from gateway.testing import settings_of
from plugins.upstream_auth import UpstreamAuth

OAUTH = {"oauth2": {"token_url": "https://id.test/token", "client": {"id": "me", "secret": "s"}}}


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="no way at all"),
        pytest.param({**OAUTH, "basic": {"username": "a", "password": "b"}}, id="two in one field"),
        pytest.param({**OAUTH, "headers": {"authorization": "x"}}, id="a fixed one beside"),
        pytest.param({"basic": {"username": "a:b", "password": "c"}}, id="a name with a colon"),
        pytest.param({"hmac": {"secret": "k", "signed": "{secret}"}}, id="a placeholder that is not known"),
        pytest.param({"query": {"a b": "c"}}, id="a parameter that has no name"),
    ],
)
def test_settings_that_are_refused(settings):
    with pytest.raises(ValidationError):
        settings_of(UpstreamAuth, settings)
