"""Issuers in settings: which URLs are taken, and which are fetched in the open."""

from __future__ import annotations

import pytest

from gateway.plugin.issuer import in_the_open, url_of


@pytest.mark.parametrize(
    "text", ["ftp://id.test/", "https://", "https://a:b@id.test/", "https://id.test/ x", "id.test", ""]
)
def test_what_is_no_url(text):
    with pytest.raises(ValueError, match="http or https"):
        url_of(text)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://id.test/", False),
        ("http://id.test/", True),
        ("http://localhost:8080/", False),
        ("http://127.0.0.1/", False),
        ("http://[::1]/", False),
    ],
)
def test_in_the_open(url, found):
    assert url_of(url) == url
    assert in_the_open(url) is found
