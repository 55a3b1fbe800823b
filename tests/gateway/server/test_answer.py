"""Heads of answers: framing is the server's to write, everything else passes in its order."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import InternalError
from gateway.http import Body, Request, Response
from gateway.server.answer import encode_answer, encode_interim, without_body


class Clock:
    """The part of an edge that a head needs."""

    def date(self) -> bytes:
        return b"Date: now"


class Endless:
    trailers = None

    async def read(self) -> bytes:
        return b"x"

    def close(self) -> None:
        pass


def encoded(response: Response, *, method: str = "GET", version: int = 11, closing: bool = False) -> list[bytes]:
    request = Request(method, "/", id="id")
    request.version = version
    bodiless = method == "HEAD" or without_body(response.status)
    edge: Any = Clock()
    head = encode_answer(request, response, edge, closing, bodiless)
    assert head.endswith(b"\r\n\r\n")
    assert head.count(b"\r\n\r\n") == 1
    return head[:-4].split(b"\r\n")


NONE = b"HTTP/1.1 204 No Content"
OK, DATE, ID = b"HTTP/1.1 200 OK", b"Date: now", b"X-Request-Id: id"
CHUNKED, CLOSE, KEEP = b"Transfer-Encoding: chunked", b"Connection: close", b"Connection: keep-alive"


def length(size: int) -> bytes:
    return b"Content-Length: %d" % size


@pytest.mark.parametrize(
    ("response", "options", "lines"),
    [
        pytest.param(Response(200, body=b"abc"), {}, [OK, DATE, ID, length(3)], id="whole"),
        pytest.param(Response(200), {}, [OK, DATE, ID, length(0)], id="empty"),
        pytest.param(Response(200, body=b"abc"), {"closing": True}, [OK, DATE, ID, length(3), CLOSE], id="last"),
        pytest.param(Response(200, body=b"abc"), {"version": 10}, [OK, DATE, ID, length(3), KEEP], id="1.0, kept"),
        pytest.param(
            Response(200, body=b"abc"), {"version": 10, "closing": True}, [OK, DATE, ID, length(3), CLOSE], id="1.0"
        ),
        pytest.param(Response(200, body=Body(None, Endless())), {}, [OK, DATE, ID, CHUNKED], id="streamed"),
        pytest.param(
            Response(200, body=Body(None, Endless())),
            {"closing": True},
            [OK, DATE, ID, CHUNKED, CLOSE],
            id="streamed, the last one",
        ),
        pytest.param(
            Response(200, body=Body(None, Endless())), {"version": 10}, [OK, DATE, ID, CLOSE], id="streamed to 1.0"
        ),
        pytest.param(Response(200, body=Body(None, Endless(), 7)), {}, [OK, DATE, ID, length(7)], id="length known"),
        pytest.param(Response(200, body=b"abc"), {"method": "HEAD"}, [OK, DATE, ID, length(3)], id="HEAD tells it"),
        pytest.param(
            Response(200, fields=[(b"Content-Length", b"9")]), {"method": "HEAD"}, [OK, length(9), DATE, ID],
            id="HEAD, the target's length",
        ),
        pytest.param(
            Response(200, headers={"Content-Length": "9"}, body=b"abc"), {"method": "HEAD"}, [OK, length(9), DATE, ID],
            id="HEAD, a plugin's length and a body: one of them",
        ),
        pytest.param(Response(204, body=b"abc"), {}, [NONE, DATE, ID], id="204"),
        pytest.param(
            Response(204, headers={"Content-Length": "0"}), {}, [NONE, DATE, ID], id="204, not even 0"
        ),
        pytest.param(
            Response(304, headers={"Content-Length": "9", "ETag": "x"}), {},
            [b"HTTP/1.1 304 Not Modified", length(9), b"ETag: x", DATE, ID], id="304 may tell the length",
        ),
        pytest.param(
            Response(200, headers={"content-length": "9", "Transfer-Encoding": "gzip", "Connection": "x", "A": "b"}),
            {}, [OK, b"A: b", DATE, ID, length(0)], id="framing is not a plugin's to write",
        ),
        pytest.param(
            Response(200, headers={"Date": "then", "X-Request-Id": "mine"}), {}, [OK, b"Date: then", ID, length(0)],
            id="its own date, our own id",
        ),
        pytest.param(
            Response(200, fields=[(b"b", b"1"), (b"A", b"2"), (b"b", b"3")]), {},
            [OK, b"b: 1", b"A: 2", b"b: 3", DATE, ID, length(0)], id="order, case and repetitions",
        ),
        pytest.param(Response(200, reason=b"Fine"), {}, [b"HTTP/1.1 200 Fine", DATE, ID, length(0)], id="its reason"),
        pytest.param(Response(299), {}, [b"HTTP/1.1 299 ", DATE, ID, length(0)], id="a status without a phrase"),
        pytest.param(Response(599, reason=b"Odd"), {}, [b"HTTP/1.1 599 Odd", DATE, ID, length(0)], id="and with one"),
    ],
)  # fmt: skip
def test_encode_answer(response: Response, options: dict[str, Any], lines: list[bytes]):
    assert encoded(response, **options) == lines


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\0b", "a\rb"])
def test_a_value_that_would_split_the_answer_is_an_error(value: str):
    with pytest.raises(InternalError):
        encoded(Response(200, headers={"X": value}))


@pytest.mark.parametrize("name", ["a b", "a:b", "a\r\nb", "a\n"])
def test_a_name_that_would_split_the_answer_is_an_error(name: str):
    with pytest.raises(InternalError):
        encoded(Response(200, headers={name: "x"}))


def test_encode_interim():
    fields = [(b"Link", b"</a>"), (b"Connection", b"close"), (b"Content-Length", b"5"), (b"Link", b"</b>")]
    assert encode_interim(103, fields) == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n"
    assert encode_interim(199, ()) == b"HTTP/1.1 199 \r\n\r\n"


@pytest.mark.parametrize(
    ("status", "ends"), [(100, True), (103, True), (200, False), (204, True), (205, False), (304, True), (404, False)]
)
def test_without_body(status: int, ends: bool):
    assert without_body(status) is ends
