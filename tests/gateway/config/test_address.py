"""Addresses as they are written in YAML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.address import Address, Origin, is_loopback, parse_bind, parse_origin


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        (":8080", Address("", 8080)),
        ("*:8080", Address("", 8080)),
        ("[::1]:8080", Address("::1", 8080)),
        ("[::]:0", Address("::", 0)),
        ("localhost:80", Address("localhost", 80)),
        ("unix:/run/a.sock", Address(path="/run/a.sock")),
        ("unix:///run/a.sock", Address(path="/run/a.sock")),
    ],
)
def test_where_to_listen(text: str, address: Address):
    assert parse_bind(text) == address
    assert parse_bind(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8080",
        "localhost",
        "a:65536",
        "a:-1",
        "a:b",
        "::1:80",
        "[1.2.3.4]:80",
        "[::g]:80",
        "1.2.3.4.5:80",
        "256.1.1.1:80",
        "-a:80",
        "a..b:80",
        "a b:80",
        "http://a:80",
        "unix:",
        "unix:a",
        "unix:/" + "x" * 107,
        "unix:/a\0b",
        "127.0.0.1:80 ",
        "a:٣",
    ],
)
def test_where_nobody_can_listen(text: str):
    with pytest.raises(ValueError, match="expected"):
        parse_bind(text)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("http://127.0.0.1:9000", Origin("http", Address("127.0.0.1", 9000))),
        ("http://app", Origin("http", Address("app", 80))),
        ("https://app.example.com/", Origin("https", Address("app.example.com", 443))),
        ("HTTP://App:1", Origin("http", Address("App", 1))),
        ("http://[::1]:9000", Origin("http", Address("::1", 9000))),
        ("unix:/run/app.sock", Origin("http", Address(path="/run/app.sock"))),
    ],
)
def test_where_a_target_is(text: str, origin: Origin):
    assert parse_origin(text) == origin
    assert parse_origin(str(origin)) == origin


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("app:9000", "such as http", id="no scheme"),
        pytest.param("ftp://app", "such as http", id="another scheme"),
        pytest.param("http://", "such as http", id="no host"),
        pytest.param("http://*:1", "valid host", id="every host"),
        pytest.param("http://app:0", "valid host and port", id="port 0"),
        pytest.param("http://app:99999", "valid host and port", id="a port that is none"),
        pytest.param("http://app/v1", "without a path", id="a path"),
        pytest.param("http://app?x", "without a path", id="a query"),
        pytest.param("http://u:p@app", "without a user name or password", id="credentials"),
        pytest.param("http://a_b..c", "valid host", id="an empty label"),
        pytest.param("http://app\r\nX: y", "such as http|without a path", id="a line end"),
    ],
)
def test_what_no_target_is(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        parse_origin(text)


@given(st.text(alphabet=st.sampled_from("htps:/[]@.*-_0123456789aunix\0 "), max_size=25))
def test_any_text_is_an_address_or_refused(text: str):
    for parse in (parse_bind, parse_origin):
        try:
            found = parse(text)
        except ValueError:
            continue
        assert parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("unix:/a", True),
        (":1", False),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("example.com:1", False),
    ],
)
def test_what_only_this_machine_reaches(text: str, expected: bool):
    assert is_loopback(parse_bind(text)) is expected
