"""Every form of request that is refused: a clear status in HTTP/1.1, a closed connection, nothing of the client's."""

from __future__ import annotations

import asyncio

import pytest

from gateway.http import Response

MARK = b"ECHOED"
"""Stands in every request somewhere; in no answer."""

GET = b"GET /ECHOED HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /ECHOED HTTP/1.1\r\nHost: a\r\n"
CONNECT = b"CONNECT ECHOED:443 HTTP/1.1\r\nHost: ECHOED:443\r\n\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

REFUSED = [
    pytest.param(POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, id="CL, then TE"),
    pytest.param(POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400, id="TE, then CL"),
    pytest.param(POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400, id="CL twice, the same"),
    pytest.param(POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400, id="CL twice, different"),
    pytest.param(POST + b"Content-Length: 5, 5\r\n\r\nhello", 400, id="CL as a list"),
    pytest.param(POST + b"Content-Length: +5\r\n\r\nhello", 400, id="CL with a plus"),
    pytest.param(POST + b"Content-Length: -5\r\n\r\nhello", 400, id="CL negative"),
    pytest.param(POST + b"Content-Length: 0x5\r\n\r\nhello", 400, id="CL in hex"),
    pytest.param(POST + b"Content-Length: 5 5\r\n\r\nhello", 400, id="CL with a space in it"),
    pytest.param(POST + b"Content-Length:\r\n\r\n", 400, id="CL empty"),
    pytest.param(POST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400, id="CL beyond 64 bits"),
    pytest.param(POST + b"Content-Length: \xd9\xa5\r\n\r\nhello", 400, id="CL in Arabic digits"),
    pytest.param(POST + 2 * b"Transfer-Encoding: chunked\r\n" + b"\r\n0\r\n\r\n", 400, id="TE twice"),
    pytest.param(POST + b"Transfer-Encoding: identity\r\n\r\n", 400, id="TE identity"),
    pytest.param(POST + b"Transfer-Encoding: gzip\r\n\r\n", 400, id="TE that does not end in chunked"),
    pytest.param(POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n", 400, id="TE with chunked inside"),
    pytest.param(POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, id="TE with a coding unknown here"),
    pytest.param(POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, id="TE that only looks like chunked"),
    pytest.param(POST + b"Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n", 400, id="TE with a parameter"),
    pytest.param(POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400, id="TE with a vertical tab"),
    pytest.param(POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400, id="a space before the colon"),
    pytest.param(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, id="TE in HTTP/1.0"),
    pytest.param(GET + b"X: 1\r\n folded\r\n\r\n", 400, id="obs-fold with a space"),
    pytest.param(GET + b"X: 1\r\n\tfolded\r\n\r\n", 400, id="obs-fold with a tab"),
    pytest.param(b"GET /ECHOED HTTP/1.1\r\n Host: a\r\n\r\n", 400, id="a fold before the first field"),
    pytest.param(GET + b"X: 1\rY: 2\r\n\r\n", 400, id="bare CR in a value"),
    pytest.param(GET + b"X: 1\r\n\rY: 2\r\n\r\n", 400, id="bare CR before a name"),
    pytest.param(b"GET /ECHOED HTTP/1.1\nHost: a\n\n", 400, id="bare LF everywhere"),
    pytest.param(GET + b"X: 1\nY: 2\r\n\r\n", 400, id="bare LF after a field"),
    pytest.param(GET + b"\n", 400, id="bare LF at the end of the head"),
    pytest.param(GET + b"X\x00Y: 1\r\n\r\n", 400, id="NUL in a name"),
    pytest.param(GET + b"X\x7fY: 1\r\n\r\n", 400, id="DEL in a name"),
    pytest.param(GET + b"X Y: 1\r\n\r\n", 400, id="a space in a name"),
    pytest.param(GET + b"X\xc3\xa4: 1\r\n\r\n", 400, id="a name that is not ASCII"),
    pytest.param(GET + b"X@: 1\r\n\r\n", 400, id="a name that is no token"),
    pytest.param(GET + b": 1\r\n\r\n", 400, id="an empty name"),
    pytest.param(GET + b"no colon\r\n\r\n", 400, id="a field without a colon"),
    pytest.param(GET + b"X: a\x00b\r\n\r\n", 400, id="NUL in a value"),
    pytest.param(GET + b"X: a\x01b\r\n\r\n", 400, id="a control byte in a value"),
    pytest.param(GET + b"X: a\x7fb\r\n\r\n", 400, id="DEL in a value"),
    pytest.param(CHUNKED + b"g\r\n", 400, id="chunk size not hex"),
    pytest.param(CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", 400, id="chunk size with 0x"),
    pytest.param(CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", 400, id="chunk size negative"),
    pytest.param(CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n", 400, id="chunk size after a space"),
    pytest.param(CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n", 400, id="chunk size before a space"),
    pytest.param(CHUNKED + b"\r\n\r\n", 400, id="chunk size missing"),
    pytest.param(CHUNKED + b"ffffffffffffffffff\r\n", 400, id="chunk size beyond 64 bits"),
    pytest.param(CHUNKED + b"5\nhello\r\n0\r\n\r\n", 400, id="chunk size ended by bare LF"),
    pytest.param(CHUNKED + b"5\rhello\r\n0\r\n\r\n", 400, id="chunk size ended by bare CR"),
    pytest.param(CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n", 400, id="bare LF in a chunk extension"),
    pytest.param(CHUNKED + b"5;a\rb\r\nhello\r\n0\r\n\r\n", 400, id="bare CR in a chunk extension"),
    pytest.param(CHUNKED + b"5;a=\x00\r\nhello\r\n0\r\n\r\n", 400, id="NUL in a chunk extension"),
    pytest.param(CHUNKED + b"5\r\nhello0\r\n\r\n", 400, id="no CRLF after a chunk"),
    pytest.param(CHUNKED + b"5\r\nhello\n0\r\n\r\n", 400, id="bare LF after a chunk"),
    pytest.param(CHUNKED + b"4\r\nhello\r\n0\r\n\r\n", 400, id="a chunk longer than its size"),
    pytest.param(CHUNKED + b"0\r\nX\x00: 1\r\n\r\n", 400, id="control bytes in a trailer's name"),
    pytest.param(CHUNKED + b"0\r\nX: \x001\r\n\r\n", 400, id="NUL in a trailer's value"),
    pytest.param(b"GET /ECHOED HTTP/1.1\r\n\r\n", 400, id="no Host"),
    pytest.param(GET + b"Host: a\r\n\r\n", 400, id="Host twice, the same"),
    pytest.param(GET + b"Host: b\r\n\r\n", 400, id="Host twice, different"),
    pytest.param(b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, id="Host empty"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: ECHOED/x\r\n\r\n", 400, id="Host with a path"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: u@ECHOED\r\n\r\n", 400, id="Host with a user"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: ECHOED b\r\n\r\n", 400, id="Host with a space"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: ECHOED, b\r\n\r\n", 400, id="Host with a list"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: ECHOED:80a\r\n\r\n", 400, id="Host with a port that is none"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: ECHOED:99999\r\n\r\n", 400, id="Host with a port beyond 65535"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: ECHOED:1:2\r\n\r\n", 400, id="Host with two ports"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400, id="Host with half a bracket"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: [ECHOED]\r\n\r\n", 400, id="Host with brackets around a name"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: ECHOED\\x\r\n\r\n", 400, id="Host with a backslash"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: \xffECHOED\r\n\r\n", 400, id="Host that is not ASCII"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: ECHOED%\r\n\r\n", 400, id="Host with half an escape"),
    pytest.param(b"GET / HTTP/1.0\r\nHost: a/ECHOED\r\n\r\n", 400, id="an invalid Host in HTTP/1.0"),
    pytest.param(CONNECT, 405, id="CONNECT"),
    pytest.param(CONNECT + b"\x16\x03\x01", 405, id="CONNECT and early bytes"),
    pytest.param(b"TRACE /ECHOED HTTP/1.1\r\nHost: a\r\n\r\n", 405, id="TRACE"),
    pytest.param(b"GET /ECHOED\r\n\r\n", 400, id="HTTP/0.9"),
    pytest.param(b"GET /ECHOED HTTP/1.2\r\nHost: a\r\n\r\n", 505, id="HTTP/1.2"),
    pytest.param(b"GET /ECHOED HTTP/0.9\r\nHost: a\r\n\r\n", 505, id="a version of 0.9"),
    pytest.param(b"GET /ECHOED HTTP/2.0\r\nHost: a\r\n\r\n", 505, id="a version of 2.0"),
    pytest.param(b"GET /ECHOED HTTP/1.10\r\nHost: a\r\n\r\n", 400, id="a version of two digits"),
    pytest.param(b"GET /ECHOED http/1.1\r\nHost: a\r\n\r\n", 400, id="a version in lower case"),
    pytest.param(b"GET /ECHOED ICE/1.0\r\nHost: a\r\n\r\n", 400, id="another protocol's version"),
    pytest.param(PREFACE + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00ECHOED", 505, id="HTTP/2's preface"),
    pytest.param(
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + MARK * 20 + b"\r\n\r\n", 400, id="TLS on a plain port"
    ),
    pytest.param(b"ECHOED / HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="a method unknown to the parser"),
    pytest.param(b"get /ECHOED HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="a method in lower case"),
    pytest.param(b"GET  /ECHOED HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="two spaces before the target"),
    pytest.param(b"GET /ECHOED  HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="two spaces before the version"),
    pytest.param(b"GET     /ECHOED HTTP/1.0\r\n\r\n", 400, id="five spaces, HTTP/1.0"),
    pytest.param(b"OPTIONS  * HTTP/1.1\r\nHost: ECHOED\r\n\r\n", 400, id="two spaces before *"),
    pytest.param(b"\r\nGET  /ECHOED HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="two spaces behind an empty line"),
    pytest.param(b"POST  /ECHOED HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhe", 400, id="two spaces and a body"),
    pytest.param(b"GET\t/ECHOED HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="a tab after the method"),
    pytest.param(b"GET /ECHOED HTTP/1.1 \r\nHost: a\r\n\r\n", 400, id="a space after the version"),
    pytest.param(b"GET /ECHOED x HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="a space in the target"),
    pytest.param(b"GET /ECHO\x00ED HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="NUL in the target"),
    pytest.param(b"GET /ECHO\x01ED HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="a control byte in the target"),
    pytest.param(b"GET /ECHOED\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="a target that is not ASCII"),
    pytest.param(b"GET /ECHOED#x HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="a fragment"),
    pytest.param(b"GET /?ECHOED#x HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="a fragment after a query"),
    pytest.param(b"GET http://a/ECHOED#x HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="a fragment in absolute form"),
    pytest.param(b"GET ECHOED HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="a target without a slash"),
    pytest.param(b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="authority form without CONNECT"),
    pytest.param(b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="* without OPTIONS"),
    pytest.param(b"GET ftp://ECHOED/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="absolute form, another scheme"),
    pytest.param(b"GET http:///ECHOED HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="absolute form without a host"),
    pytest.param(b"GET http://u:p@ECHOED/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="absolute form with a user"),
    pytest.param(b"GET http://[::ECHOED/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="absolute form with half a bracket"),
    pytest.param(b"GET http://a:b/ECHOED HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="absolute form, a port that is none"),
    pytest.param(b"GET http://ECHOED/ HTTP/1.1\r\n\r\n", 400, id="absolute form without Host"),
    pytest.param(b"GET http://a/ HTTP/1.1\r\nHost: ECHOED/x\r\n\r\n", 400, id="absolute form with an invalid Host"),
    pytest.param(GET + b"Expect: ECHOED\r\n\r\n", 417, id="an unknown Expect"),
    pytest.param(GET + b"Expect: 100-continue, ECHOED\r\n\r\n", 417, id="100-continue and something else"),
    pytest.param(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, id="a long target"),
    pytest.param(b"GET /?" + b"a" * 9000, 414, id="a long target that does not end"),
    pytest.param(GET + b"X: " + b"a" * 9000 + b"\r\n\r\n", 431, id="a long value"),
    pytest.param(GET + b"X" * 9000 + b": 1\r\n\r\n", 431, id="a long name"),
    pytest.param(GET + b"X: " + b"a" * 9000, 431, id="a long value that does not end"),
    pytest.param(GET + b"".join(b"X: %d\r\n" % n for n in range(200)) + b"\r\n", 431, id="too many fields"),
    pytest.param(
        GET + b"".join(b"X%d: %b\r\n" % (n, b"a" * 4000) for n in range(20)) + b"\r\n", 431, id="all fields together"
    ),
    pytest.param(GET + b"X-Request-Id: ECHOED\r\nExpect: x\r\n\r\n", 417, id="with a request id of its own"),
]


@pytest.mark.parametrize(("data", "status"), REFUSED)
async def test_is_refused(front, data: bytes, status: int):
    async def read_all(request):
        await request.body.read(1 << 20)
        raise AssertionError("it went through")

    gateway = await front(read_all)
    answer = await gateway.talk(data)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert MARK not in answer
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nConnection: close" in head
    assert b"\r\nContent-Type: application/problem+json" in head
    assert int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]) == len(body)


@pytest.mark.parametrize(("data", "status"), REFUSED)
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_is_refused_behind_an_ordinary_request(front, data: bytes, status: int, version: bytes):
    """What is remembered of a connection's requests lets nothing through."""
    served = 0

    async def count(request):
        nonlocal served
        if request.path == "/ordinary":
            served += 1
        else:
            await request.body.read(1 << 20)
            raise AssertionError("it went through")
        return Response(200)

    gateway = await front(count)
    fields = b"Host: a\r\n" if version == b"1.1" else b"Connection: keep-alive\r\n"
    ordinary = b"GET /ordinary HTTP/%b\r\n%b\r\n" % (version, fields)
    async with await gateway.connect() as wire:
        for _ in range(2):
            await wire.send(ordinary)
            assert (await wire.answer()).status == 200
        await wire.send(data)
        answer = await asyncio.wait_for(wire.rest(), 60)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert MARK not in answer
    assert served == 2


@pytest.mark.parametrize(("data", "status"), [row for row in REFUSED if len(row.values[0]) <= 400])
async def test_is_refused_byte_by_byte(front, data: bytes, status: int):
    """However it was cut into packets."""

    async def read_all(request):
        await request.body.read(1 << 20)
        raise AssertionError("it went through")

    gateway = await front(read_all)
    async with await gateway.connect() as wire:
        connection = None
        for at in range(len(data)):
            wire.writer.write(data[at : at + 1])
            await wire.writer.drain()
            while connection is None:
                connection = next(iter(gateway.edge.connections), None)
                await asyncio.sleep(0)
            await asyncio.sleep(0)
        answer = await asyncio.wait_for(wire.rest(), 60)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert MARK not in answer
    assert answer.count(b"HTTP/1.1") == 1
