"""What cannot be meant does not load."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.testing import settings_of
from plugins.mtls import Mtls


@pytest.mark.parametrize(
    ("given", "why"),
    [
        pytest.param({"clients": [{}]}, "every certificate would fit", id="a client that is everybody"),
        pytest.param(
            {"clients": [{"roles": ["admin"]}]}, "every certificate would fit", id="an admin that is everybody"
        ),
        pytest.param({"clients": [{"fingerprint": "ab:cd"}]}, "64 hex digits", id="half a fingerprint"),
        pytest.param({"clients": [{"uri": "example.org"}]}, "a URI", id="a URI without scheme"),
        pytest.param({"clients": [{"uri": "spiffe://"}]}, "authority", id="all of a scheme"),
        pytest.param({"clients": [{"dns": "*"}]}, "host name", id="any host at all"),
        pytest.param({"clients": [{"dns": "a.*.com"}]}, "host name", id="a star within"),
        pytest.param({"clients": [{"email": "ada"}]}, "address", id="no address"),
        pytest.param({"clients": [{"email": "@"}]}, "address", id="any address at all"),
        pytest.param({"identity": []}, "at least 1", id="no identity"),
        pytest.param({"identity": ["serial"]}, "uri", id="an identity that is none"),
        pytest.param({"bound_tokens": True}, "present", id="a switch where a word stands"),
        pytest.param({"strip": ["Connection"]}, "framing", id="a field of the connection"),
    ],
)
def test_refused(given, why):
    with pytest.raises(ValidationError, match=why):
        settings_of(Mtls, given)


def test_one_spelling():
    (client,) = settings_of(Mtls, {"clients": [{"fingerprint": ":".join(["AB"] * 32), "dns": "*.Example.com"}]}).clients
    assert (client.fingerprint, client.dns) == (("ab" * 32,), ("*.example.com",))
