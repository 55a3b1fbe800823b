from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http import Response
from gateway.transport import connection as module
from gateway.transport.connection import Connection
from gateway.transport.plain import _REMEMBERED, Lines, Statuses, plain_answer

ORDINARY = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\nContent-Length: 2\r\n"
    b'Connection: keep-alive\r\nX-Request-Id: theirs\r\nETag: "a"\r\n\r\nok'
)


def taken(data: bytes) -> Response | None:
    return plain_answer(bytearray(data + b"left of an answer before\r\n\r\n"), len(data))


def test_what_an_ordinary_answer_means():
    response = taken(ORDINARY)
    assert response is not None
    assert (response.status, response.reason, response.body.whole, response.dated) == (200, b"OK", b"ok", True)
    assert response.lines == [b"Server: nginx", b"Date: Sat, 21 Nov 2026 10:00:00 GMT", b'ETag: "a"']


def answer(*lines: bytes, status: bytes = b"HTTP/1.1 200 OK", length: bytes = b"2", body: bytes = b"ok") -> bytes:
    return b"\r\n".join([status, b"Content-Length: " + length, *lines, b"", body])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(ORDINARY[:-1], id="a byte of the body is missing"),
        pytest.param(ORDINARY + b"H", id="a byte follows"),
        pytest.param(ORDINARY + ORDINARY, id="another answer follows"),
        pytest.param(ORDINARY[:60], id="half a head"),
        pytest.param(b"\r\n" + ORDINARY, id="an empty line first"),
        pytest.param(answer(status=b"HTTP/1.0 200 OK"), id="HTTP/1.0"),
        pytest.param(answer(status=b"HTTP/2.0 200 OK"), id="HTTP/2.0"),
        pytest.param(answer(status=b"HTTP/1.1 100 Continue"), id="interim"),
        pytest.param(answer(status=b"HTTP/1.1 101 Go"), id="101"),
        pytest.param(answer(status=b"HTTP/1.1 204 No"), id="204 has no body"),
        pytest.param(answer(status=b"HTTP/1.1 304 No"), id="304 has no body"),
        pytest.param(answer(status=b"HTTP/1.1 600 What"), id="a status there is not"),
        pytest.param(answer(status=b"HTTP/1.1 2000 OK"), id="four digits"),
        pytest.param(answer(status=b"HTTP/1.1 200"), id="no space behind the status"),
        pytest.param(answer(status=b"HTTP/1.1  200 OK"), id="two spaces before the status"),
        pytest.param(answer(status=b"HTTP/1.1 200 O\rK"), id="a CR in the reason"),
        pytest.param(answer(b"Content-Length: 2"), id="the length twice"),
        pytest.param(answer(b"content-length: 3"), id="two lengths"),
        pytest.param(answer(length=b"+2"), id="a signed length"),
        pytest.param(answer(length=b"0x2"), id="a length in hexadecimal"),
        pytest.param(answer(length=b"2, 2"), id="a list of lengths"),
        pytest.param(answer(length="²".encode()), id="a digit of another kind"),
        pytest.param(answer(length=b""), id="an empty length"),
        pytest.param(answer(length=b"0" * 20 + b"2"), id="a long length"),
        pytest.param(answer(b"Transfer-Encoding: chunked"), id="chunked too"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: 1\r\n\r\nok", id="no length"),
        pytest.param(answer(b"Upgrade: h2c"), id="an upgrade"),
        pytest.param(answer(b"Connection: close"), id="close"),
        pytest.param(answer(b"Connection: X-Hop"), id="fields named by Connection"),
        pytest.param(answer(b"Connection: Date"), id="Date named by Connection"),
        pytest.param(answer(b" folded"), id="a folded line"),
        pytest.param(answer(b"\tfolded: x"), id="a line folded with a tab"),
        pytest.param(answer(b"A : 1"), id="a space before the colon"),
        pytest.param(answer(b": 1"), id="no name"),
        pytest.param(answer(b"A"), id="no colon"),
        pytest.param(answer(b"A:1"), id="no space behind the colon"),
        pytest.param(answer(b"A:  1"), id="two spaces behind the colon"),
        pytest.param(answer(b"A: 1 "), id="a space at the end"),
        pytest.param(answer(b"A: "), id="an empty value"),
        pytest.param(answer(b"A: 1\nB: 2"), id="a bare LF"),
        pytest.param(answer(b"A: 1\rB: 2"), id="a bare CR"),
        pytest.param(answer(b"A: \x00"), id="NUL"),
        pytest.param(answer(b"A: \x7f"), id="DEL"),
        pytest.param(answer(b"A: \t1"), id="a tab"),
        pytest.param(answer(b"A(: 1"), id="a name that is no token"),
        pytest.param(answer("É: 1".encode()), id="a name beyond ASCII"),
    ],
)
def test_what_is_left_to_the_parser(data):
    for _ in range(2):  # what is remembered says the same
        assert taken(data) is None


class Transport(asyncio.Transport):
    """Takes what is written, and notes its end."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def write(self, data: Any) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.closed = True

    abort = close


async def seen(data: bytes, *, parser: bool, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a connection makes of an answer in one read, with and without the short way."""
    with monkeypatch.context() as patch:
        if parser:
            patch.setattr(module, "plain_answer", lambda _held, _size: None)
        freed: list[Connection] = []
        buffer = memoryview(bytearray(65536))
        made = Connection(asyncio.get_running_loop(), buffer, freed.append, lambda _connection: None)
        made.connection_made(Transport())
        head = made.start(b"", sent=True, head_only=False, idle=None, inform=None)
        buffer[: len(data)] = data
        made.buffer_updated(len(data))
        if not head.done():
            made.close()
            return "no head"
        if head.exception() is not None:
            return "refused"
        found = head.result()
        response = found if isinstance(found, Response) else found.response()
        made.connection_lost(None)
        lines = sorted(response.lines or [])
        return response.status, response.reason, lines, response.body.whole, response.dated, bool(freed)


NAMES = st.sampled_from(
    [b"Server", b"ETag", b"Date", b"X-Request-Id", b"Keep-Alive", b"Set-Cookie", b"Trailer", b"A b"]
)
VALUES = st.binary(max_size=6) | st.sampled_from([b"x", b"a b", "é".encode(), b"\xff", b"a  b", b"a\tb"])
FIELDS = st.tuples(NAMES, st.sampled_from([b": ", b":", b" : ", b":  "]), VALUES).map(b"".join)
STATUS = st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.1 404 ", b"HTTP/1.1 503 a  b \xff", b"HTTP/1.0 200 OK"])


@settings(max_examples=100, deadline=None)
@given(
    status=STATUS,
    fields=st.lists(FIELDS, max_size=4),
    length=st.sampled_from([b"Content-Length: 3", b"content-length: 3", b"Content-Length: 03", b"Connection: close"]),
    body=st.sampled_from([b"abc", b"ab", b"abcd", b"\r\n\r"]),
)
async def test_what_is_taken_means_what_it_means_to_the_parser(status, fields, length, body):
    data = b"\r\n".join([status, *fields, length, b"", body])
    monkeypatch = pytest.MonkeyPatch()
    if taken(data) is not None:
        short = await seen(data, parser=False, monkeypatch=monkeypatch)
        assert short == await seen(data, parser=True, monkeypatch=monkeypatch)


async def test_an_answer_that_nobody_waits_for_any_more_ends_the_connection(monkeypatch):
    freed: list[Connection] = []
    buffer = memoryview(bytearray(65536))
    for data in (ORDINARY, ORDINARY.replace(b"OK", b"OK\t")):
        made = Connection(asyncio.get_running_loop(), buffer, freed.append, lambda _connection: None)
        transport = Transport()
        made.connection_made(transport)
        made.start(b"", sent=True, head_only=False, idle=None, inform=None).cancel()
        buffer[: len(data)] = data
        made.buffer_updated(len(data))
        assert transport.closed
        assert made.lost
    assert freed == []


def test_what_is_remembered_is_bounded_and_holds_no_long_line():
    lines, statuses = Lines(), Statuses()
    for number in range(_REMEMBERED + 10):
        assert lines[b"ETag: %d" % number] == 0
        assert statuses[b"HTTP/1.1 200 %d" % number] == (200, b"%d" % number)
    assert len(lines) <= _REMEMBERED
    assert len(statuses) <= _REMEMBERED
    assert lines[b"Set-Cookie: " + b"x" * 200] == 0
    assert not any(len(line) > 128 for line in lines)
