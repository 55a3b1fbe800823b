"""Location: what it says, and that no request makes it say another host."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.routing import Redirect
from gateway.errors import BadRequest, MalformedPath
from gateway.http.path import STRICT, normalize
from gateway.route.redirect import compile_redirect


def location(redirect, path="/x", *, scheme="http", host="a.example", query="", params=None):
    return compile_redirect(Redirect(**redirect), STRICT)(scheme, host, path, query, params)


@pytest.mark.parametrize(
    ("redirect", "request_", "expected"),
    [
        pytest.param({"to": "/new"}, {}, "/new", id="a path"),
        pytest.param({"to": "/new"}, {"query": "a=1"}, "/new?a=1", id="keeps the query"),
        pytest.param({"to": "/new", "query": "drop"}, {"query": "a=1"}, "/new", id="drops the query"),
        pytest.param({"to": "/new?x=1"}, {"query": "a=1"}, "/new?x=1&a=1", id="adds to the query"),
        pytest.param({"to": "/u/{id}"}, {"params": {"id": "5"}}, "/u/5", id="a parameter"),
        pytest.param({"to": "/{rest}/y"}, {"params": {"rest": ""}}, "/y", id="nothing makes no //"),
        pytest.param(
            {"to": "https://b.example/{rest}"}, {"params": {"rest": "a/b"}}, "https://b.example/a/b", id="a whole URL"
        ),
        pytest.param({"to": "https://b.example"}, {}, "https://b.example/", id="a URL without path"),
        pytest.param({"to": "https://b.example:8443/"}, {}, "https://b.example:8443/", id="a URL with port"),
        pytest.param({"to": "http://b.example:80/"}, {}, "http://b.example/", id="a port that goes without saying"),
        pytest.param({"to": "http://[::1]:81/"}, {}, "http://[::1]:81/", id="an IPv6 URL"),
        pytest.param({"scheme": "https"}, {"query": "a"}, "https://a.example/x?a", id="https"),
        pytest.param({"scheme": "https"}, {"host": "A.example:8080"}, "https://a.example/x", id="https drops the port"),
        pytest.param({"scheme": "https", "port": 8443}, {}, "https://a.example:8443/x", id="https on a port"),
        pytest.param({"scheme": "https"}, {"scheme": "https"}, None, id="https already"),
        pytest.param(
            {"scheme": "https"}, {"scheme": "https", "host": "a.example:8443"}, None, id="https on a port already"
        ),
        pytest.param({"host": "www.example"}, {}, "http://www.example/x", id="another host"),
        pytest.param({"host": "www.example"}, {"host": "a:8080"}, "http://www.example:8080/x", id="keeps the port"),
        pytest.param({"host": "www.example"}, {"host": "WWW.example"}, None, id="that host already"),
        pytest.param({"host": "www.example", "to": "/n"}, {}, "http://www.example/n", id="another host and path"),
        pytest.param({"to": "/x"}, {}, None, id="there already"),
        pytest.param({"to": "/x"}, {"query": "a"}, None, id="there already, with its query"),
        pytest.param({"to": "/x", "query": "drop"}, {"query": "a"}, "/x", id="there but for the query"),
        pytest.param({"to": "/x?v=1"}, {"query": "v=1"}, None, id="there with the query it gives"),
        pytest.param({"host": "www.example"}, {"host": "bad host"}, "http://www.example/x", id="Host not needed"),
    ],
)
def test_location(redirect, request_, expected):
    assert location(redirect, **request_) == expected


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("evil.example/", id="a path"),
        pytest.param("user@evil.example", id="a user"),
        pytest.param("a\r\nSet-Cookie: x", id="a line end"),
        pytest.param("a.example\n", id="a line feed at the end"),
        pytest.param("", id="nothing"),
        pytest.param("a:b", id="a port that is none"),
    ],
)
def test_a_host_that_is_none_is_not_repeated(host):
    with pytest.raises(BadRequest):
        location({"scheme": "https"}, host=host)


@settings(max_examples=200)
@given(
    redirect=st.sampled_from(
        [{"to": "/{a}/{b}"}, {"to": "/{a}{b}/x"}, {"to": "https://b.example/{a}{b}"}, {"scheme": "https"}]
    ),
    path=st.sampled_from(["//evil.example/x", "/\\evil.example", "/.//evil.example", "/x", "/%0d%0aX:1", "/é"]),
    query=st.text(max_size=12),
    a=st.sampled_from(["", "/", "evil.example", "//evil.example", ".", "..", "%2", "a", "@evil.example", "\r\n", "é"]),
    b=st.sampled_from(["", "/", "F", "evil.example", "a"]),
)
def test_no_request_leads_elsewhere(redirect, path, query, a, b):
    try:
        found = location(redirect, normalize(path), query=query, params={"a": a, "b": b})
    except MalformedPath:
        return
    if found is None:
        return
    assert found.isascii()
    assert found.isprintable()
    assert " " not in found
    assert "\\" not in found
    parts = urlsplit(found)
    assert parts.netloc in {"", "a.example", "b.example"}
    assert not found.startswith("//")
    assert not parts.path.startswith("//")
