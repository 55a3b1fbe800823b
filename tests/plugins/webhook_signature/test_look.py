"""How a request looks to a signature: its URL, its form, its values."""

import pytest

from gateway.testing import request
from plugins.webhook_signature.look import Look, Malformed, called_url, other_port, unescaped
from plugins.webhook_signature.members import Members
from plugins.webhook_signature.template import Absent

FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.mark.parametrize(
    ("public", "url"),
    [
        pytest.param(None, "http://gateway.test/hook?a=1", id="as it came"),
        pytest.param("https://hooks.example.com", "https://hooks.example.com/hook?a=1", id="an origin"),
        pytest.param("https://h.example/other", "https://h.example/other?a=1", id="all but the query"),
        pytest.param("https://h.example/other?b=2", "https://h.example/other?b=2", id="all of it"),
    ],
)
def test_called_url(public, url):
    assert called_url(request("POST", "/hook?a=1"), public) == url


@pytest.mark.parametrize(
    ("url", "other"),
    [
        pytest.param("https://a.test/x:1", "https://a.test:443/x:1", id="added"),
        pytest.param("http://a.test/", "http://a.test:80/", id="added to http"),
        pytest.param("https://a.test:8443/x", "https://a.test/x", id="taken off"),
        pytest.param("https://[::1]/x", "https://[::1]:443/x", id="an IPv6 address"),
    ],
)
def test_other_port(url, other):
    assert other_port(url) == other


def test_unescaped():
    assert unescaped("https://a/%3A%2f%3F%20") == "https://a/:/?%20"


def look(body=b"", headers=(), path="/"):
    return Look(request("POST", path, headers=headers, body=body), body, Members([("a",)]), values={"v": "value"})


@pytest.mark.parametrize(
    ("seen", "kind", "name", "filled"),
    [
        pytest.param(look(b"x"), "body", "", b"x", id="the body"),
        pytest.param(look(), "method", "", b"POST", id="the method"),
        pytest.param(look(path="/p?q=1"), "path", "", b"/p", id="the path"),
        pytest.param(look(path="/p?q=1"), "query", "", b"q=1", id="the query"),
        pytest.param(look(path="/p?q=%41"), "query", "q", b"A", id="a parameter"),
        pytest.param(look(headers={"X-A": "1"}), "header", "x-a", b"1", id="a field"),
        pytest.param(look(b'{"a":"b"}'), "json", "a", b"b", id="a member"),
        pytest.param(look(b"{}"), "json", "a", b"", id="a member that is not there"),
        pytest.param(look(), "value", "v", b"value", id="an operator's value"),
        pytest.param(look(b"abc"), "body_crc32", "", b"891568578", id="a checksum"),
        pytest.param(look(b"b=2&a=1&b=1&a=1&c=", FORM), "form_sorted", "", b"a1b1b2c", id="a form"),
    ],
)
def test_fill(seen, kind, name, filled):
    assert seen.fill(kind, name) == filled


@pytest.mark.parametrize(
    ("seen", "kind", "name", "error"),
    [
        pytest.param(look(), "header", "X-A", Absent, id="no such field"),
        pytest.param(look(headers=[("X-A", "1"), ("X-A", "2")]), "header", "X-A", Absent, id="two such fields"),
        pytest.param(look(path="/?q=1&q=2"), "query", "q", Absent, id="two such parameters"),
        pytest.param(look(), "id", "", Absent, id="no id"),
        pytest.param(look(b"no"), "json", "a", Malformed, id="no JSON"),
        pytest.param(look(b"a=1"), "form_sorted", "", Malformed, id="a form that does not say so"),
        pytest.param(look(b"a=\xff", FORM), "form_sorted", "", Malformed, id="a form that is no text"),
        pytest.param(look(b"a&" * 2000, FORM), "form_sorted", "", Malformed, id="a form of very many"),
    ],
)
def test_what_is_not_there(seen, kind, name, error):
    with pytest.raises(error):
        seen.fill(kind, name)


def test_an_id_must_be_there_and_not_empty():
    with pytest.raises(Absent):
        look(b'{"a":""}').strictly("json", "a")
