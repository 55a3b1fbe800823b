from __future__ import annotations

import pytest

from gateway.errors import InternalError
from gateway.http import Body, Request
from gateway.http.peer import Peer
from gateway.transport.head import encode_head


def lines(request, target="/", host=b"t:1"):
    head = encode_head(request, target, host)
    assert head.endswith(b"\r\n\r\n")
    return head.decode().split("\r\n")[:-2]


def a_request(*fields, method="GET", trusted=False, **more):
    request = Request(method, "/", fields=[(n.encode(), v.encode()) for n, v in fields], host="client.example", **more)
    request.peer = Peer("192.0.2.7", 1234, trusted=trusted)
    return request


FORWARDING = ["X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http", "X-Forwarded-Host: client.example"]


@pytest.mark.parametrize(
    ("fields", "passed"),
    [
        pytest.param([("Accept", "*/*"), ("X-A", "1"), ("x-a", "2")],
                     ["Accept: */*", "X-A: 1", "x-a: 2"], id="order and repetition are kept"),
        pytest.param([("Connection", "X-Secret, close"), ("x-secret", "1"), ("X-B", "2")],
                     ["X-B: 2"], id="what Connection names is dropped"),
        pytest.param([("Connection", "Host, Via, X-Forwarded-For, X-B"), ("X-B", "2")],
                     [], id="but not what is ours to write"),
        pytest.param([("Keep-Alive", "5"), ("TE", "trailers"), ("Proxy-Connection", "x"), ("Upgrade", "h2c")], [],
                     id="hop-by-hop fields are dropped"),
        pytest.param([("Host", "evil"), ("Content-Length", "9"), ("Transfer-Encoding", "chunked"), ("Expect", "x")], [],
                     id="framing and Host are ours to write"),
    ],
)  # fmt: skip
def test_fields_of_the_client(fields, passed):
    found = lines(a_request(*fields))
    assert found == ["GET / HTTP/1.1", "Host: t:1", *passed, *FORWARDING, "Via: 1.1 sidegate"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param([("X-Forwarded-Host", "pub.example")],
                     [FORWARDING[0], "X-Forwarded-Host: pub.example", FORWARDING[1]], id="the host"),
        pytest.param([("X-Forwarded-Proto", "https")],
                     [FORWARDING[0], "X-Forwarded-Proto: https", FORWARDING[2]], id="the scheme"),
        pytest.param([("X-Forwarded-For", "1.2.3.4")],
                     ["X-Forwarded-For: 1.2.3.4", *FORWARDING[1:]], id="the client"),
        pytest.param([("Forwarded", "for=1.2.3.4")],
                     [*FORWARDING, "Forwarded: for=1.2.3.4"], id="in the standard's words"),
    ],
)  # fmt: skip
def test_what_a_plugin_says_of_the_client_stands_for_our_own(fields, expected):
    assert lines(a_request(*fields)) == ["GET / HTTP/1.1", "Host: t:1", *expected, "Via: 1.1 sidegate"]


def test_a_trusted_proxy_is_continued():
    found = lines(a_request(("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https"), trusted=True))
    assert "X-Forwarded-For: 1.2.3.4, 192.0.2.7" in found
    assert "X-Forwarded-Proto: https" in found


def test_via_is_continued():
    assert lines(a_request(("Via", "1.0 fred")))[-1] == "Via: 1.0 fred, 1.1 sidegate"


@pytest.mark.parametrize(
    ("method", "body", "expected"),
    [
        pytest.param("GET", Body(), None, id="GET without a body says nothing of one"),
        pytest.param("POST", Body(), "Content-Length: 0", id="POST without a body says so"),
        pytest.param("GET", Body(b"x"), "Content-Length: 1", id="GET with a body"),
        pytest.param("POST", Body(None, None, 7), "Content-Length: 7", id="a stream of known length"),
        pytest.param("POST", Body(None, None, None), "Transfer-Encoding: chunked", id="a stream of unknown length"),
        pytest.param(
            "GET", Body(None, None, None), "Transfer-Encoding: chunked", id="also with a method that has none"
        ),
    ],
)
def test_framing(method, body, expected):
    found = [line for line in lines(a_request(method=method, body=body)) if line.startswith(("Content-L", "Transfer"))]
    assert found == ([expected] if expected else [])


def test_host_is_the_clients_where_none_is_given():
    assert lines(a_request(), host=b"")[1] == "Host: client.example"


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/a\n"])
def test_a_target_that_would_be_more_than_one_is_not_sent(target):
    with pytest.raises(InternalError):
        encode_head(a_request(), target, b"t")


def test_id_and_trace_are_told_where_there_are_any():
    request = a_request()
    request.id, request.trace = "0197-id", b"00-trace-span-01"
    assert lines(request)[-2:] == ["X-Request-Id: 0197-id", "traceparent: 00-trace-span-01"]


TRACE, OTHER = f"00-{'ab' * 16}-{'cd' * 8}-01", f"00-{'12' * 16}-{'cd' * 8}-01"


@pytest.mark.parametrize(
    ("fields", "passed"),
    [
        pytest.param([("traceparent", TRACE), ("tracestate", "a=1"), ("Tracestate", "b=2")],
                     ["tracestate: a=1", "Tracestate: b=2"], id="with its trace"),
        pytest.param([("tracestate", "a=1")], [], id="not without one"),
        pytest.param([("traceparent", OTHER), ("tracestate", "a=1")], [], id="not with another"),
        pytest.param([("traceparent", TRACE), ("traceparent", OTHER), ("tracestate", "a=1")], [],
                     id="not where two traces are named"),
        pytest.param([("traceparent", TRACE), ("tracestate", ",".join(["a=1"] * 33))], [], id="not with 33 members"),
    ],
)  # fmt: skip
def test_tracestate_goes_on(fields, passed):
    request = a_request(*fields)
    request.id, request.trace = "0197-id", TRACE.encode()
    assert [line for line in lines(request) if line.lower().startswith("tracestate")] == passed


def test_an_upgrade_is_asked_for():
    request = a_request(("Upgrade", "websocket"), ("Connection", "upgrade"))
    request.upgrade = "websocket"
    assert lines(request)[-2:] == ["Connection: Upgrade", "Upgrade: websocket"]


def test_connection_takes_out_nothing_that_a_plugin_set():
    request = a_request(("Connection", "X-User, X-Hop"), ("X-User", "mallory"), ("X-Hop", "1"))
    request.edit_headers()["X-User"] = "alice"
    assert "X-User: alice" in lines(request)
    assert "X-Hop: 1" not in lines(request)
