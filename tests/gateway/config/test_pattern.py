"""The small languages inside routing settings: what is taken, and what is said of the rest."""

import pytest

from gateway.config import pattern


@pytest.mark.parametrize(
    ("check", "text", "expected"),
    [
        pytest.param(pattern.check_host, "API.Example.com.", "api.example.com", id="a host in one spelling"),
        pytest.param(pattern.check_host, "*.Example.com", "*.example.com", id="a wildcard"),
        pytest.param(pattern.check_host, "localhost", "localhost", id="one label"),
        pytest.param(pattern.check_host, "10.0.0.1", "10.0.0.1", id="IPv4"),
        pytest.param(pattern.check_host, "[::1]", "[::1]", id="IPv6"),
        pytest.param(pattern.check_host, "my_service", "my_service", id="an underscore, as in compose files"),
        pytest.param(pattern.check_host, "bücher.example", "xn--bcher-kva.example", id="an international name"),
        pytest.param(pattern.check_target, "preserve", "preserve", id="the client's host"),
        pytest.param(pattern.check_target, "A.example:8080", "a.example:8080", id="a fixed host with port"),
        pytest.param(pattern.check_target, "[::1]:80", "[::1]:80", id="a fixed IPv6 host with port"),
        pytest.param(pattern.check_method, "get", "GET", id="a method in capitals"),
        pytest.param(pattern.check_header_name, "X-A", "X-A", id="a header"),
        pytest.param(pattern.check_exact, "/a/b:c", "/a/b:c", id="a path"),
        pytest.param(pattern.check_exact, "/a*b", "/a*b", id="a star that is not alone"),
        pytest.param(pattern.check_segments, "/a/{id}/{rest...}", "/a/{id}/{rest...}", id="segments"),
        pytest.param(pattern.check_template, "/a-{id}", "/a-{id}", id="a template"),
        pytest.param(pattern.check_location, "/a-{id}?x=1", "/a-{id}?x=1", id="a template with a query"),
        pytest.param(pattern.check_location, "https://a.b:1/{x}", "https://a.b:1/{x}", id="a URL"),
        pytest.param(pattern.check_regex, "/v[0-9]+", "/v[0-9]+", id="a regular expression"),
    ],
)
def test_is_taken(check, text, expected):
    assert check(text) == expected


@pytest.mark.parametrize(
    ("check", "text", "expected"),
    [
        pytest.param(pattern.check_host, "a.example:80", "port", id="a port"),
        pytest.param(pattern.check_host, "http://a.example", "scheme", id="a scheme"),
        pytest.param(pattern.check_host, "*", "host name", id="a star alone"),
        pytest.param(pattern.check_host, "a.*.example", "host name", id="a star inside"),
        pytest.param(pattern.check_host, "a..example", "host name", id="an empty label"),
        pytest.param(pattern.check_host, "", "host name", id="nothing"),
        pytest.param(pattern.check_host, "a" * 64 + ".example", "host name", id="a label too long"),
        pytest.param(pattern.check_host, "é" * 300, "host name", id="an international name too long"),
        pytest.param(pattern.check_target, "*.example", "fixed host", id="a wildcard to send"),
        pytest.param(pattern.check_target, "a:99999", "fixed host", id="a port out of range"),
        pytest.param(pattern.check_method, "GET POST", "a method", id="two methods in one"),
        pytest.param(pattern.check_header_name, "X A", "name", id="a space in a header's name"),
        pytest.param(pattern.check_exact, "a", "begins with /", id="no slash"),
        pytest.param(pattern.check_exact, "/a/{id}", "without {}", id="a parameter in an exact path"),
        pytest.param(pattern.check_exact, "/a?b", "query", id="a query"),
        pytest.param(pattern.check_exact, "/a b", "%20", id="a space"),
        pytest.param(pattern.check_exact, "/a\\b", "backslash", id="a backslash"),
        pytest.param(pattern.check_exact, "/a//b", "//", id="an empty segment"),
        pytest.param(pattern.check_exact, "//", "//", id="nothing but slashes"),
        pytest.param(pattern.check_exact, "/api/*", "prefix", id="a star, as other gateways have it"),
        pytest.param(pattern.check_exact, "/a/../b", "dot segments", id="dots"),
        pytest.param(pattern.check_exact, "/a/%2e%2E/b", "dot segments", id="encoded dots"),
        pytest.param(pattern.check_exact, "/a/..;x/b", "dot segments", id="dots with a parameter"),
        pytest.param(pattern.check_exact, "/%zz", "hex", id="a broken escape"),
        pytest.param(pattern.check_exact, "/%00", "control", id="NUL"),
        pytest.param(pattern.check_exact, "/%E9", "UTF-8", id="Latin-1"),
        pytest.param(pattern.check_exact, "/%252F", "twice", id="encoded twice"),
        pytest.param(pattern.check_exact, "/%25%32%46", "twice", id="encoded twice, in pieces"),
        pytest.param(pattern.check_exact, "/" + "a" * 2048, "2048", id="too long"),
        pytest.param(pattern.check_segments, "/v{n}/x", "whole segment", id="a parameter in a part of a segment"),
        pytest.param(pattern.check_segments, "/{a...}/x", "at the end", id="the rest in the middle"),
        pytest.param(pattern.check_segments, "/{a}/{a}", "once", id="a parameter twice"),
        pytest.param(pattern.check_segments, "/{1a}", "whole segment", id="a name that is none"),
        pytest.param(pattern.check_segments, "/{}", "whole segment", id="no name"),
        pytest.param(pattern.check_template, "/{a", "{name}", id="half a brace"),
        pytest.param(pattern.check_template, "/a?x=1", "query", id="a query in a rewrite"),
        pytest.param(pattern.check_template, "https://a.example/", "begins with /", id="a URL in a rewrite"),
        pytest.param(pattern.check_location, "//evil.example", "//", id="another host"),
        pytest.param(pattern.check_location, "https://{tenant}.example/", "host name", id="a parameter in the host"),
        pytest.param(pattern.check_location, "https://u@a.example/", "host name", id="a user"),
        pytest.param(pattern.check_location, "https://a.example:0/", "fixed host", id="port 0"),
        pytest.param(pattern.check_location, "javascript:alert(1)", "begins with /", id="another scheme"),
        pytest.param(pattern.check_location, "/a?x={id}", "query", id="a parameter in the query"),
        pytest.param(pattern.check_regex, "/(a", "regular expression", id="half a group"),
        pytest.param(pattern.check_regex, "/é", "%C3%A9", id="a regex that can match no path"),
        pytest.param(pattern.check_regex, "/" + "a" * 2048, "2048", id="a regex too long"),
    ],
)
def test_is_refused(check, text, expected):
    with pytest.raises(ValueError, match="expected") as caught:
        check(text)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("regex", "expected"),
    [
        pytest.param("/(a+)+", True, id="the classic"),
        pytest.param("/(?:a*)*", True, id="stars"),
        pytest.param("/(?P<x>[a-z]+){2,}", True, id="counted"),
        pytest.param("/((ab)+x?)+", True, id="one deeper"),
        pytest.param("/(?:[a-z]+)/.*", False, id="one repetition"),
        pytest.param("(?:/[a-z]+)+", False, id="divided by slashes"),
        pytest.param("/((?:/a+)+b)+", True, id="around one that is divided"),
        pytest.param("/(?:a++)+", False, id="possessive inside"),
        pytest.param("/(a+)?", False, id="optional is not repeated"),
        pytest.param("/[(a+)]+", False, id="only looks like a group"),
        pytest.param("/\\(a+\\)+", False, id="escaped"),
    ],
)
def test_repetition_of_repetition(regex, expected):
    assert pattern.backtracks(regex) is expected
