"""The PROXY protocol, both versions, and who may speak it."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http import Request, Response
from gateway.server.proxy_protocol import (
    SIGNATURE,
    V1_LIMIT,
    V2_LIMIT,
    Announced,
    ProxyPreface,
    ProxyProtocolError,
    parse,
)

GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def v2(body: bytes, *, command: int = 0x21, family: int = 0x11, length: int | None = None) -> bytes:
    return SIGNATURE + bytes([command, family]) + (len(body) if length is None else length).to_bytes(2, "big") + body


def four(source: str = "203.0.113.7", port: int = 4711, extras: bytes = b"") -> bytes:
    return (
        ipaddress.IPv4Address(source).packed
        + ipaddress.IPv4Address("10.0.0.1").packed
        + port.to_bytes(2, "big")
        + (443).to_bytes(2, "big")
        + extras
    )


def six(source: str) -> bytes:
    return ipaddress.IPv6Address(source).packed + ipaddress.IPv6Address("::1").packed + b"\x12\x67\x01\xbb"


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


LONGEST_V1 = b"PROXY TCP6 " + b" ".join([b":".join([b"ffff"] * 8)] * 2) + b" 65535 65535\r\n"

WHOLE = [
    pytest.param(b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n", ("203.0.113.7", 4711), id="v1 TCP4"),
    pytest.param(b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n", ("2001:db8::7", 4711), id="v1 TCP6"),
    pytest.param(b"PROXY TCP6 ::ffff:203.0.113.7 ::1 1 2\r\n", ("203.0.113.7", 1), id="v1 TCP6, mapped IPv4"),
    pytest.param(LONGEST_V1, ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535), id="v1, the longest with addresses"),
    pytest.param(b"PROXY UNKNOWN\r\n", ("", 0), id="v1 UNKNOWN"),
    pytest.param(b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", ("", 0), id="v1 UNKNOWN, the rest is ignored"),
    pytest.param(v2(four()), ("203.0.113.7", 4711), id="v2 TCP over IPv4"),
    pytest.param(v2(six("2001:db8::7"), family=0x21), ("2001:db8::7", 0x1267), id="v2 TCP over IPv6"),
    pytest.param(v2(six("::ffff:203.0.113.7"), family=0x21), ("203.0.113.7", 0x1267), id="v2, mapped IPv4"),
    pytest.param(v2(b"/run/x".ljust(216, b"\0"), family=0x31), ("", 0), id="v2 unix"),
    pytest.param(v2(b"", family=0x00), ("", 0), id="v2 unspecified"),
    pytest.param(v2(four(), command=0x20), ("", 0), id="v2 LOCAL, its addresses are ignored"),
    pytest.param(v2(b"", command=0x20, family=0x00), ("", 0), id="v2 LOCAL, empty"),
    pytest.param(v2(four(extras=tlv(0x04, b"x" * 40))), ("203.0.113.7", 4711), id="v2 with extra values"),
    pytest.param(
        v2(four(extras=b"\x04" + (V2_LIMIT - 15).to_bytes(2, "big") + bytes(V2_LIMIT - 15))),
        ("203.0.113.7", 4711),
        id="v2, the longest that is taken",
    ),
]


@pytest.mark.parametrize(("data", "client"), WHOLE)
def test_parse(data: bytes, client: tuple[str, int]):
    found = parse(data + b"GET / HTTP/1.1\r\n")
    assert found is not None
    assert (found.address, found.port) == client
    assert found.size == len(data)


@pytest.mark.parametrize(("data", "client"), WHOLE)
def test_parse_in_pieces(data: bytes, client: tuple[str, int]):
    assert all(parse(data[:end]) is None for end in range(1, len(data)))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET / HTTP/1.1\r\n", id="no header at all"),
        pytest.param(b"\x16\x03\x01\x00\xa5", id="TLS"),
        pytest.param(b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", id="v1 in lower case"),
        pytest.param(b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", id="v1, two spaces"),
        pytest.param(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", id="v1, a space at the end"),
        pytest.param(b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", id="v1, a word missing"),
        pytest.param(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", id="v1, a word too many"),
        pytest.param(b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", id="v1, another family"),
        pytest.param(b"PROXY TCP4 ::1 ::1 1 2\r\n", id="v1 TCP4 with IPv6"),
        pytest.param(b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", id="v1 TCP6 with IPv4"),
        pytest.param(b"PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n", id="v1, a leading zero in an address"),
        pytest.param(b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", id="v1, a short address"),
        pytest.param(b"PROXY TCP4 1.2.3.4 x 1 2\r\n", id="v1, no destination"),
        pytest.param(b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", id="v1, a port too large"),
        pytest.param(b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", id="v1, a leading zero in a port"),
        pytest.param(b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", id="v1, a negative port"),
        pytest.param(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 \xb2\r\n", id="v1, digits of another script"),
        pytest.param(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n" + b" " * V1_LIMIT, id="v1 ended by bare LF"),
        pytest.param(b"PROXY UNKNOWN " + b"x" * V1_LIMIT, id="v1 that does not end"),
        pytest.param(b"PROXY\r\n" + b" " * 10, id="v1 of one word"),
        pytest.param(SIGNATURE[:-1] + b"\r", id="v2, another signature"),
        pytest.param(v2(four(), command=0x11), id="v2, version 1"),
        pytest.param(v2(four(), command=0x31), id="v2, version 3"),
        pytest.param(v2(four(), command=0x22), id="v2, an unknown command"),
        pytest.param(v2(four()[:-1]), id="v2, addresses cut short"),
        pytest.param(v2(six("::1")[:-1], family=0x21), id="v2, IPv6 cut short"),
        pytest.param(v2(bytes(215), family=0x31), id="v2, unix cut short"),
        pytest.param(v2(four(), family=0x12), id="v2, datagrams"),
        pytest.param(v2(four(), family=0x10), id="v2, no protocol"),
        pytest.param(v2(four(), family=0x41), id="v2, an unknown family"),
        pytest.param(v2(b"", length=V2_LIMIT + 1), id="v2, longer than is taken"),
        pytest.param(v2(four(extras=b"\x04\x00")), id="v2, half an extra value"),
        pytest.param(v2(four(extras=b"\x04\x00\x05abcd")), id="v2, an extra value beyond the end"),
    ],
)  # fmt: skip
def test_parse_refuses(data: bytes):
    with pytest.raises(ProxyProtocolError):
        parse(data)


@pytest.mark.parametrize(
    ("extras", "tls"),
    [
        pytest.param(b"", False, id="nothing said"),
        pytest.param(tlv(0x20, b"\x01\0\0\0\0"), True, id="TLS"),
        pytest.param(tlv(0x20, b"\x00\0\0\0\0"), False, id="not TLS"),
        pytest.param(tlv(0x04, b"pad") + tlv(0x20, b"\x05\0\0\0\0"), True, id="TLS, after another value"),
        pytest.param(tlv(0x20, b"\x01"), False, id="too short to say"),
    ],
)
def test_tls_at_the_balancer(extras: bytes, tls: bool):
    found = parse(v2(four(extras=extras)))
    assert found is not None
    assert found.tls is tls


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_parse_survives_anything(data: bytes):
    for given_data in (data, SIGNATURE + data, b"PROXY " + data):
        try:
            found = parse(given_data)
        except ProxyProtocolError:
            continue
        assert found is None or 0 < found.size <= len(given_data)


async def told(request: Request) -> Response:
    return Response(
        200, body=f"{request.client_ip} {request.peer.port} {request.scheme} {request.peer.trusted}".encode()
    )


@pytest.mark.parametrize(
    ("header", "seen"),
    [
        pytest.param(b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n", b"203.0.113.7 4711 http False", id="v1"),
        pytest.param(v2(four()), b"203.0.113.7 4711 http False", id="v2"),
        pytest.param(
            v2(four("10.9.9.9")), b"10.9.9.9 4711 http True", id="a proxy behind the balancer is trusted itself"
        ),
        pytest.param(v2(four(extras=tlv(0x20, b"\x01\0\0\0\0"))), b"203.0.113.7 4711 https False", id="TLS before"),
    ],
)
@pytest.mark.parametrize("step", [1, 5, 1000])
async def test_the_client_is_whom_the_balancer_says(front, header: bytes, seen: bytes, step: int):
    gateway = await front(told, preface=ProxyPreface, trusted=("127.0.0.0/8", "10.0.0.0/8"))
    async with await gateway.connect() as wire:
        data = header + GET
        for at in range(0, len(data), step):
            await wire.send(data[at : at + step])
            if step < 100:
                await wire.writer.drain()
        assert (await wire.answer()).body == seen


@pytest.mark.parametrize(
    ("header", "trusted"),
    [
        pytest.param(v2(b"", command=0x20, family=0), b"True", id="LOCAL: the balancer speaks for itself"),
        pytest.param(b"PROXY UNKNOWN\r\n", b"False", id="UNKNOWN: somebody, and not to be believed"),
    ],
)
async def test_without_an_address_the_socket_s_own_stands(front, header: bytes, trusted: bytes):
    gateway = await front(told, preface=ProxyPreface, trusted=("127.0.0.0/8",))
    async with await gateway.connect() as wire:
        await wire.send(header + GET)
        body = (await wire.answer()).body.split(b" ")
    assert (body[0], body[3]) == (b"127.0.0.1", trusted)


@pytest.mark.parametrize(
    ("header", "trusted"),
    [
        pytest.param(v2(four()), ("192.0.2.0/24",), id="a peer that is not trusted"),
        pytest.param(v2(four()), (), id="nobody is trusted"),
        pytest.param(b"", ("127.0.0.0/8",), id="a trusted peer without a header"),
        pytest.param(b"PROXY TCP4 x\r\n", ("127.0.0.0/8",), id="a trusted peer with a broken one"),
    ],
)
async def test_is_turned_away(front, header: bytes, trusted: tuple[str, ...]):
    gateway = await front(told, preface=ProxyPreface, trusted=trusted)
    async with await gateway.connect() as wire:
        await wire.send(header + GET)
        with pytest.raises(ConnectionError):
            if await wire.rest() == b"":
                raise ConnectionError
    assert gateway.runtime.exchanges == []
    assert gateway.edge.refused_connections == 1


async def test_only_the_first_request_has_a_preface(front):
    gateway = await front(told, preface=ProxyPreface, trusted=("127.0.0.0/8",))
    async with await gateway.connect() as wire:
        await wire.send(v2(four()) + GET.replace(b"Connection: close\r\n", b"") * 2 + v2(four()) + GET)
        assert [(await wire.answer()).status for _ in range(3)] == [200, 200, 400]


def test_announced_keeps_what_it_does_not_know():
    assert Announced(10) == Announced(10, "", 0, own=False, tls=False)
