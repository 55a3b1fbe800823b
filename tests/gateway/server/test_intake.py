"""From what aiohttp's parser made to a request, from its errors to ours. More in test_connection*.py, over sockets."""

from __future__ import annotations

import pytest
from aiohttp.http_exceptions import BadHttpMessage, BadStatusLine, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD

from gateway.errors import GatewayError, HeadTooLarge, MalformedMessage, UriTooLong, VersionNotSupported
from gateway.http import Request, Response
from gateway.server.intake import address_of, behind, refusal


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        pytest.param(LineTooLong(b"GET /secret", 8190), UriTooLong, id="the line"),
        pytest.param(LineTooLong(b"X-Secret", 8192), HeadTooLarge, id="a field"),
        pytest.param(BadHttpMessage("Too many headers received"), HeadTooLarge, id="too many fields"),
        pytest.param(
            BadStatusLine(error="Bad status line:\n  Invalid HTTP version:\n"), VersionNotSupported, id="version"
        ),
        pytest.param(BadHttpMessage("Pause on PRI/Upgrade:\n\n  b''"), VersionNotSupported, id="HTTP/2"),
        pytest.param(BadHttpMessage("Invalid header token:\n\n  b'secret'"), MalformedMessage, id="anything else"),
        pytest.param(BadHttpMessage(""), MalformedMessage, id="nothing said"),
    ],
)
def test_refusal(error, kind: type[GatewayError]):
    found = refusal(error, 8190)
    assert type(found) is kind or isinstance(found, kind)
    assert found.closes
    assert "secret" not in (found.detail + found.reason).lower()


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (("127.0.0.1", 1), "127.0.0.1"),
        (("::1", 1, 0, 0), "::1"),
        (("::ffff:10.0.0.1", 1, 0, 0), "10.0.0.1"),
        (("::ffff:0:1", 1, 0, 0), "::ffff:0:1"),
        ("", ""),
        (b"\0abstract", ""),
        (None, ""),
    ],
)
def test_address_of(name, address: str):
    assert address_of(name) == address


def test_behind():
    one = [(object(), EMPTY_PAYLOAD)]
    assert behind(one, b"GET / HTTP/1.1\r\n\r\nearly") == b"early"
    assert behind(one, b"\n\r\n") == b""
    assert behind(one * 2, b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nearly") == b""
    assert behind([(object(), object())], b"x\r\n\r\nbody") == b""


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param(b"", ("", None), id="nothing"),
        pytest.param(b"X-Request-Id: abc-1\r\n", ("abc-1", None), id="an id of its own"),
        pytest.param(b"X-Request-Id: a b\r\n", ("", None), id="an id that cannot stand in a log"),
        pytest.param(
            b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
            ("", b"00-0af7651916cd43dd8448eb211c80319c-"),
            id="a trace is continued",
        ),
        pytest.param(b"traceparent: nonsense\r\n", ("", None), id="a trace that is none"),
        pytest.param(
            b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
            b"traceparent: 00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
            ("", None),
            id="two traces",
        ),
    ],
)
async def test_ids(front, headers: bytes, expected: tuple[str, bytes | None]):
    got: list[Request] = []

    async def keep(request: Request) -> Response:
        got.append(request)
        return Response(204)

    gateway = await front(keep)
    async with await gateway.connect() as wire:
        await wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n")
        answer = await wire.answer()
    (request,) = got
    assert answer.one(b"X-Request-Id") == request.id.encode()
    assert request.id == expected[0] or (not expected[0] and len(request.id) == 36)
    assert request.trace.startswith(expected[1] or b"00-")
    assert (b"0af7651916cd43dd8448eb211c80319c" in request.trace) is (expected[1] is not None)


@pytest.mark.parametrize(
    ("headers", "protocol"),
    [
        (b"Connection: Upgrade\r\nUpgrade: websocket\r\n", "websocket"),
        (b"Connection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\n", "websocket"),
        (b"Connection: Upgrade\r\nUpgrade: custom/2\r\n", "custom/2"),
        (b"Upgrade: websocket\r\n", ""),
        (b"Connection: Upgrade\r\nUpgrade: h2c\r\n", ""),
        (b"Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n", ""),
        (b"Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n", ""),
        (b"Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", ""),
        (b"Connection: Upgrade\r\nUpgrade: a b\r\n", ""),
        (b"Connection: Upgrade\r\n", ""),
    ],
)
async def test_upgrades(front, headers: bytes, protocol: str):
    got: list[Request] = []

    async def keep(request: Request) -> Response:
        got.append(request)
        return Response(204)

    gateway = await front(keep)
    async with await gateway.connect() as wire:
        await wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n")
        assert (await wire.answer()).status == 204
        await wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")  # declined: the connection goes on
        assert (await wire.answer()).status == 204
    assert got[0].upgrade == protocol


async def test_http_1_0_cannot_upgrade(front):
    got: list[Request] = []

    async def keep(request: Request) -> Response:
        got.append(request)
        return Response(204)

    gateway = await front(keep)
    async with await gateway.connect() as wire:
        await wire.send(b"GET / HTTP/1.0\r\nConnection: Upgrade, keep-alive\r\nUpgrade: websocket\r\n\r\n")
        assert (await wire.answer()).status == 204
    assert got[0].upgrade == ""
