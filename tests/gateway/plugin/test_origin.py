"""Origins: which spellings are taken, and which pages are meant by them."""

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.plugin.origin import Origin, OriginPattern, origin_matcher

READ = TypeAdapter(Origin).validate_python


@pytest.mark.parametrize(
    ("given", "read"),
    [
        pytest.param("https://App.Example.com", "https://app.example.com", id="lower case"),
        pytest.param("https://a.test:443", "https://a.test", id="no default port"),
        pytest.param("http://a.test:8080", "http://a.test:8080", id="another port"),
        pytest.param("http://[::1]:80", "http://[::1]", id="an address"),
        pytest.param("null", "null", id="null"),
        pytest.param({"regex": "https://a[.]test"}, OriginPattern(regex="https://a[.]test"), id="a pattern"),
    ],
)
def test_what_is_read(given, read):
    assert READ(given) == read


@pytest.mark.parametrize(
    "given",
    ["a.test", "https://a.test/", "https://.a.test", "https://a.*.test", "https://", "", 5, {"regex": "("}],
)
def test_what_is_refused(given):
    with pytest.raises(ValidationError):
        READ(given)


@pytest.mark.parametrize(
    ("origin", "meant"),
    [
        pytest.param("https://a.test", True, id="exact"),
        pytest.param("http://a.test", False, id="another scheme"),
        pytest.param("https://x.b.test", True, id="a subdomain"),
        pytest.param("https://x.y.b.test", True, id="one below it"),
        pytest.param("https://b.test", False, id="not the domain itself"),
        pytest.param("https://evilb.test", False, id="a name that ends alike"),
        pytest.param("https://x.b.test.evil", False, id="a name that begins alike"),
        pytest.param("https://pr-7.c.test", True, id="by pattern"),
        pytest.param("https://pr-7.c.test.evil", False, id="the pattern holds for the whole"),
        pytest.param("null", False, id="null is not everybody"),
    ],
)
def test_who_is_meant(origin, meant):
    given = ["https://a.test", "https://*.b.test", {"regex": "https://pr-[0-9]+[.]c[.]test"}]
    assert origin_matcher([READ(each) for each in given])(origin) is meant
