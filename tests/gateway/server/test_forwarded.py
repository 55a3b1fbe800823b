"""Who the client is: said by trusted proxies only, in all the forms they use."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import Request, Response
from gateway.server.forwarded import bare, parse_forwarded

PROXY = "127.0.0.0/8"
INNER = "10.0.0.0/8"
INNER_SIX = "fd00::/8"

XFF = b"X-Forwarded-For: "
FORWARDED = b"Forwarded: "


async def told(request: Request) -> Response:
    return Response(200, body=f"{request.client_ip} {request.scheme}".encode())


async def asked(front, headers: bytes, trusted: tuple[str, ...]) -> str:
    gateway = await front(told, trusted=trusted)
    async with await gateway.connect() as wire:
        await wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n\r\n")
        return (await wire.answer()).body.decode()


@pytest.mark.parametrize(
    ("headers", "seen"),
    [
        pytest.param(b"X: 1", "127.0.0.1 http", id="nothing said"),
        pytest.param(XFF + b"203.0.113.7", "203.0.113.7 http", id="one address"),
        pytest.param(b"x-forwarded-for: 203.0.113.7", "203.0.113.7 http", id="in lower case"),
        pytest.param(XFF + b"198.51.100.1, 203.0.113.7", "203.0.113.7 http", id="left of it is invented"),
        pytest.param(XFF + b"203.0.113.7, 10.0.0.1, 10.0.0.2", "203.0.113.7 http", id="a chain"),
        pytest.param(XFF + b"203.0.113.7\r\nX-Forwarded-For: 10.0.0.1", "203.0.113.7 http", id="two lines"),
        pytest.param(XFF + b"10.0.0.1, 10.0.0.2", "10.0.0.1 http", id="all trusted: the first of them"),
        pytest.param(XFF + b"203.0.113.7:4711", "203.0.113.7 http", id="with a port"),
        pytest.param(XFF + b"2001:db8::7", "2001:db8::7 http", id="IPv6"),
        pytest.param(XFF + b"[2001:db8::7]:4711", "2001:db8::7 http", id="IPv6 with a port"),
        pytest.param(XFF + b"2001:DB8:0::7", "2001:db8::7 http", id="IPv6 in one form"),
        pytest.param(XFF + b"::ffff:203.0.113.7", "203.0.113.7 http", id="IPv4 in IPv6"),
        pytest.param(XFF + b"203.0.113.7, fd00::1", "203.0.113.7 http", id="a trusted IPv6 proxy"),
        pytest.param(XFF + b"203.0.113.7, unknown", "127.0.0.1 http", id="unknown ends the search"),
        pytest.param(XFF + b"203.0.113.7, x, 10.0.0.1", "10.0.0.1 http", id="what is none, too"),
        pytest.param(XFF + b",,", "127.0.0.1 http", id="empty items"),
        pytest.param(XFF + b"fe80::1%<x>", "fe80::1 http", id="a zone is dropped"),
        pytest.param(XFF + b"" + b"10.0.0.1," * 800 + b"203.0.113.7", "203.0.113.7 http", id="very long"),
        pytest.param(b"X-Forwarded-Proto: https", "127.0.0.1 https", id="the scheme"),
        pytest.param(b"X-Forwarded-Proto: HTTPS", "127.0.0.1 https", id="the scheme in capitals"),
        pytest.param(b"X-Forwarded-Proto: javascript", "127.0.0.1 http", id="another scheme"),
        pytest.param(XFF + b"1.1.1.1\r\nX-Forwarded-Proto: https, http", "1.1.1.1 http", id="the last scheme"),
        pytest.param(FORWARDED + b"for=203.0.113.7;proto=https", "203.0.113.7 https", id="Forwarded"),
        pytest.param(FORWARDED + b'For="[2001:db8::7]:4711"', "2001:db8::7 http", id="Forwarded, IPv6"),
        pytest.param(
            FORWARDED + b"for=1.1.1.1, for=203.0.113.7;by=x, for=10.0.0.1", "203.0.113.7 http", id="a chain of them"
        ),
        pytest.param(FORWARDED + b"for=203.0.113.7, for=_hidden", "127.0.0.1 http", id="Forwarded, hidden"),
        pytest.param(FORWARDED + b"proto=https, for=203.0.113.7", "203.0.113.7 http", id="the last element's scheme"),
        pytest.param(
            FORWARDED + b'for="a,b;for=1.1.1.1";x, for=203.0.113.7', "203.0.113.7 http", id="quoted separators"
        ),
        pytest.param(
            FORWARDED + b"for=1.1.1.1;proto=https\r\nX-Forwarded-For: 203.0.113.7",
            "203.0.113.7 http",
            id="both: X- wins",
        ),
    ],
)
async def test_a_trusted_proxy_is_believed(front, headers: bytes, seen: str):
    assert await asked(front, headers, (PROXY, INNER, INNER_SIX)) == seen


@pytest.mark.parametrize(
    "headers",
    [
        b"X-Forwarded-For: 203.0.113.7",
        b"X-Forwarded-Proto: https",
        b"Forwarded: for=203.0.113.7;proto=https",
        b"X-Real-IP: 203.0.113.7",
    ],
)
@pytest.mark.parametrize("trusted", [(), (INNER,)], ids=["nobody is trusted", "others are"])
async def test_nobody_else_is(front, headers: bytes, trusted: tuple[str, ...]):
    assert await asked(front, headers, trusted) == "127.0.0.1 http"


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("11.0.0.1", False),
        ("::1", False),
        ("fd00::1", True),
        ("::ffff:10.0.0.1", True),
        ("::ffff:11.0.0.1", False),
        ("fe80::1%eth0", False),
        ("", True),
        ("nonsense", False),
    ],
)
async def test_is_trusted(front, address: str, trusted: bool):
    gateway = await front(trusted=(PROXY, INNER, INNER_SIX))
    assert gateway.edge.is_trusted(address) is trusted


async def test_a_unix_socket_is_not_trusted_where_nobody_is(front):
    gateway = await front()
    assert gateway.edge.is_trusted("") is False


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        pytest.param("", [], id="empty"),
        pytest.param("for=a;proto=b", [{"for": "a", "proto": "b"}], id="one element"),
        pytest.param(' FOR = "a" ; x ', [{"for": "a"}], id="spaces, capitals, no value"),
        pytest.param(r'for="a\"b,c"', [{"for": 'a"b,c'}], id="an escaped quote"),
        pytest.param('for="a, for=b', [{"for": '"a, for=b'}], id="a quote that does not end"),
        pytest.param("for=a,,for=b", [{"for": "a"}, {}, {"for": "b"}], id="an empty element"),
    ],
)
def test_parse_forwarded(text: str, elements: list[dict[str, str]]):
    assert parse_forwarded(text) == elements


@given(st.text(max_size=200))
def test_parse_forwarded_survives_anything(text: str):
    for element in parse_forwarded(text):
        assert all("=" not in name for name in element)


@given(st.text(max_size=60))
def test_bare_is_an_address_or_nothing(text: str):
    found = bare(text)
    assert found == "" or str(ipaddress.ip_address(found)) == found
