"""Components as RFC 9421 §2 writes them; the values are the RFC's own where it has some."""

import pytest
from multidict import CIMultiDict

from plugins.http_signature.component import Unusable, View, component_of, parse_component, value_of

REQUEST = View(
    CIMultiDict(
        [
            ("X-OWS-Header", "  Leading and trailing whitespace.   "),
            ("X-Obs-Fold-Header", "Obsolete\r\n    line folding."),
            ("Cache-Control", "max-age=60"),
            ("Cache-Control", "    must-revalidate"),
            ("Example-Dict", "  a=1,    b=2;x=1;y=2,   c=(a   b   c), d"),
            ("Example-Header", "value, with, lots"),
            ("Example-Header", "of, commas"),
            ("X-Empty-Header", ""),
        ]
    ),
    "POST",
    "https",
    "WWW.Example.com:443",
    "/path",
    "param=value&foo=bar&baz=batman&qux=&a%20b=c+d&fa%C3%A7ade%22%3A%20=something&x=1&x=2",
    trailers=CIMultiDict({"Expires": "Wed, 9 Nov 2022 07:28:00 GMT"}),
)
ANSWER = View(CIMultiDict({"Content-Type": "text/plain"}), status=503, request=REQUEST)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("@method", "POST"),
        ("@target-uri", f"https://www.example.com/path?{REQUEST.query}"),
        ("@authority", "www.example.com"),
        ("@scheme", "https"),
        ("@request-target", f"/path?{REQUEST.query}"),
        ("@path", "/path"),
        ("@query", f"?{REQUEST.query}"),
        ('@query-param;name="baz"', "batman"),
        ('@query-param;name="qux"', ""),
        ('@query-param;name="a%20b"', "c%20d"),
        ('@query-param;name="fa%C3%A7ade%22%3A%20"', "something"),
        ("x-ows-header", "Leading and trailing whitespace."),
        ("cache-control", "max-age=60, must-revalidate"),
        ("cache-control;sf", "max-age=60, must-revalidate"),
        ("x-empty-header", ""),
        ("example-dict;sf", "a=1, b=2;x=1;y=2, c=(a b c), d"),
        ('example-dict;key="a"', "1"),
        ('example-dict;key="b"', "2;x=1;y=2"),
        ('example-dict;key="c"', "(a b c)"),
        ('example-dict;key="d"', "?1"),
        ("example-header;bs", ":dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:"),
        ("expires;tr", "Wed, 9 Nov 2022 07:28:00 GMT"),
    ],
)
def test_values_of_a_request(text, value):
    assert value_of(parse_component(text), REQUEST, {"example-dict": "dictionary"}) == value


@pytest.mark.parametrize(
    ("text", "value"), [("@status", "503"), ("@method;req", "POST"), ("content-type", "text/plain")]
)
def test_values_of_an_answer(text, value):
    assert value_of(parse_component(text), ANSWER, {}) == value


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("@status", REQUEST),
        ("@method", ANSWER),
        ("@method;req", REQUEST),
        ('@query-param;name="x"', REQUEST),
        ('@query-param;name="none"', REQUEST),
        ("none", REQUEST),
        ("expires", REQUEST),
        ("content-type;tr", ANSWER),
        ("example-dict;sf", REQUEST),
        ('example-dict;key="z"', REQUEST),
        ('x-ows-header;key="z"', REQUEST),
    ],
)
def test_what_cannot_be_had(text, view):
    with pytest.raises(Unusable):
        value_of(parse_component(text), view, {})


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("@x", {}),
        ("A", {}),
        ("", {}),
        (3, {}),
        ("a", {"x": True}),
        ("a", {"sf": 1}),
        ("a", {"name": "x"}),
        ("a", {"key": 1}),
        ("a", {"bs": True, "key": "x"}),
        ("@query-param", {}),
        ("@method", {"tr": True}),
    ],
)
def test_what_is_no_component(name, parameters):
    with pytest.raises(Unusable):
        component_of(name, parameters)
