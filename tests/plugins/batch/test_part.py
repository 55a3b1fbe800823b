"""Parts: what can be sent, what is a part's to say, and how its answer is read."""

import base64
import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import Body, Response
from gateway.testing import request
from plugins.batch.part import Unusable, answer_of, encode, failed, parse, request_of

METHODS = frozenset({"GET", "POST", "HEAD"})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def one(**part):
    return parse(json.dumps([{"path": "/", **part}]).encode(), METHODS)[0]


@pytest.mark.parametrize(
    ("body", "part"),
    [
        pytest.param(b"", None, id="nothing"),
        pytest.param(b"{}", None, id="no array"),
        pytest.param(b"[1]", None, id="no object"),
        pytest.param(b"[{}]", None, id="no path"),
        pytest.param(b'[{"path":"/","pth":1}]', None, id="a member that means nothing"),
        pytest.param(b'[{"path":"/"}', None, id="cut"),
        pytest.param(b"\xff", None, id="no text"),
        pytest.param(b'[{"path":"/","body":"\xff"}]', None, id="no text in a body"),
        pytest.param(b"[" * 100_000, None, id="deep"),
        pytest.param(b'[{"path":"/","body":' + b"[" * 100_000, None, id="a deep body"),
        pytest.param(b'[{"path":"/"},{"path":"x"}]', 1, id="a path that does not begin with /"),
        pytest.param(b'[{"path":"http://other/"}]', 0, id="another host"),
        pytest.param(b'[{"path":"/a b"}]', 0, id="a blank"),
        pytest.param(b'[{"path":"/a HTTP/1.1\\r\\nX: 1"}]', 0, id="a second request"),
        pytest.param(b'[{"path":"/a\\u0000"}]', 0, id="a control character"),
        pytest.param('[{"path":"/ä"}]'.encode(), 0, id="not percent-encoded"),
        pytest.param(b'[{"path":"/a#b"}]', 0, id="a fragment"),
        pytest.param(b'[{"path":"/' + b"a" * 8000 + b'"}]', 0, id="a path too long"),
        pytest.param(b'[{"path":"/","method":"TRACE"}]', 0, id="a method that parts may not have"),
        pytest.param(b'[{"path":"/","method":"get"}]', 0, id="a method in small letters"),
        pytest.param(b'[{"path":"/","headers":{"a b":"1"}}]', 0, id="a name that is none"),
        pytest.param(b'[{"path":"/","headers":{"":"1"}}]', 0, id="no name"),
        pytest.param(b'[{"path":"/","headers":{"a":"\\u0001"}}]', 0, id="a control character in a value"),
        pytest.param(b'[{"path":"/","headers":{"a":["b","\\u007f"]}}]', 0, id="the last control character in a value"),
        pytest.param(b'[{"path":"/","headers":{"A":"1\\r\\nB: 2"}}]', 0, id="a value that splits the message"),
        pytest.param(b'[{"path":"/","headers":{"A":["1","2\\n"]}}]', 0, id="the second value does"),
        pytest.param(b'[{"path":"/","encoding":"base64","body":"?"}]', 0, id="no base64"),
        pytest.param(b'[{"path":"/","encoding":"text","body":1}]', 0, id="no text"),
        *[
            pytest.param(json.dumps([{"path": "/", "headers": {name: "x"}}]).encode(), 0, id=f"{name} is not a part's")
            for name in (
                "Host", "content-length", "Transfer-Encoding", "Connection", "Upgrade", "X-Forwarded-For", "Forwarded",
                "X-Real-IP", "X-Request-Id", "traceparent", "Expect", "TE", "Origin", "sec-fetch-site", "User-Agent",
                "X_Forwarded_For", "Client-Cert", "True-Client-IP", "Proxy",
            )
        ],
    ],
)  # fmt: skip
def test_what_is_no_batch(body, part):
    with pytest.raises(Unusable) as caught:
        parse(body, METHODS)
    assert caught.value.part == part
    assert str(caught.value).endswith(".") or part is None


@given(st.binary(max_size=60))
def test_bytes_are_a_batch_or_unusable(body):
    with contextlib.suppress(Unusable):
        parse(body, METHODS)


@pytest.mark.parametrize(
    ("part", "body", "media"),
    [
        pytest.param({}, b"", None, id="none"),
        pytest.param({"body": {"a": 1}}, b'{"a": 1}', "application/json", id="JSON"),
        pytest.param({"body": None}, b"null", "application/json", id="null is a body"),
        pytest.param({"body": "ä", "encoding": "text"}, "ä".encode(), "text/plain; charset=utf-8", id="text"),
        pytest.param({"body": "AAH/", "encoding": "base64"}, b"\0\1\xff", "application/octet-stream", id="bytes"),
        pytest.param({"body": 1, "headers": {"content-type": "a/b"}}, b"1", "a/b", id="a type of its own"),
    ],
)
def test_bodies(part, body, media):
    made = request_of(one(method="POST", **part), 0, request("POST", "/batch", body="[]"), ())
    assert (made.body.whole, made.headers.get("Content-Type")) == (body, media)
    assert made.headers.get("Content-Length") == (str(len(body)) if media else None)


def test_what_a_part_has_of_the_batch():
    outer = request(
        "POST",
        "/batch",
        headers=[
            ("Authorization", "outer"),
            ("Cookie", "c"),
            ("Origin", "https://page"),
            ("User-Agent", "me"),
            ("X-Forwarded-For", "192.0.2.7"),
            ("Content-Type", "application/json"),
            ("X-Other", "1"),
        ],
        host="api.test",
        id="r1",
        principal="ann",
    )
    plain, own = (
        request_of(one(path="/a?b=c", headers=headers), number, outer, ("Authorization",))
        for number, headers in enumerate([{"X-A": ["1", "2"]}, {"authorization": "own"}])
    )
    assert (plain.method, plain.path, plain.query, plain.host, plain.id) == ("GET", "/a", "b=c", "api.test", "r1-1")
    assert sorted(plain.headers.items()) == [
        ("Authorization", "outer"),
        ("Host", "api.test"),
        ("Origin", "https://page"),
        ("User-Agent", "me"),
        ("X-A", "1"),
        ("X-A", "2"),
        ("X-Forwarded-For", "192.0.2.7"),
    ]
    assert own.headers.getall("Authorization") == ["own"]
    assert (outer.path, outer.headers["X-Other"]) == ("/batch", "1")


@pytest.mark.parametrize(
    ("headers", "body", "shown"),
    [
        pytest.param({"Content-Type": "application/json"}, b'{"a": 1}', ({"a": 1}, None), id="JSON"),
        pytest.param({"Content-Type": "application/vnd.x+json; v=1"}, b"[1]", ([1], None), id="a kind of JSON"),
        pytest.param({"Content-Type": "application/json"}, b"{", ("ew==", "base64"), id="broken JSON"),
        pytest.param({"Content-Type": "application/json"}, b'"\xff"', ("Iv8i", "base64"), id="JSON that is no text"),
        pytest.param({"Content-Type": "text/plain"}, "ä".encode(), ("ä", "text"), id="text"),
        pytest.param({"Content-Type": "text/plain"}, b"\xff", ("/w==", "base64"), id="text in another charset"),
        pytest.param({"Content-Type": "image/png"}, b"\0", ("AA==", "base64"), id="bytes"),
        pytest.param({}, b"x", ("eA==", "base64"), id="no type"),
        pytest.param(
            {"Content-Type": "application/json", "Content-Encoding": "gzip"}, b"{}", ("e30=", "base64"), id="compressed"
        ),
        pytest.param({"Content-Type": "application/json"}, b"", (None, None), id="no body"),
    ],
)
def test_answers(headers, body, shown):
    told = json.loads(encode([answer_of(Response(201, headers=headers), body, one(id="x"))]))[0]
    assert (told["status"], told["id"], told["headers"]) == (201, "x", headers)
    assert (told.get("body"), told.get("encoding")) == shown


def test_fields_of_an_answer():
    fields = [
        ("Set-Cookie", "s=1"),
        ("Link", "a"),
        ("link", "b"),
        ("Connection", "close"),
        ("Date", "now"),
        ("Link", "c"),
    ]
    told = answer_of(Response(200, headers=fields), b"", one())
    assert told.headers == {"Link": ["a", "c"], "link": "b"}


@given(JSON)
def test_json_bodies_pass_both_ways(value):
    raw = json.dumps(value).encode()
    made = request_of(one(method="POST", body=value), 0, request("POST", "/batch"), ())
    assert made.body.whole == raw
    told = answer_of(Response(200, headers={"Content-Type": "application/json"}, body=Body(raw)), raw, one())
    assert json.loads(encode([told]))[0].get("body") == value


@given(st.binary(min_size=1, max_size=40))
def test_any_bytes_pass_both_ways(data):
    made = request_of(
        one(method="POST", body=base64.b64encode(data).decode(), encoding="base64"), 0, request("POST", "/batch"), ()
    )
    assert made.body.whole == data
    told = msgspec.json.decode(encode([answer_of(Response(200), data, one())]))[0]
    assert base64.b64decode(told["body"]) == data


def test_a_part_that_failed():
    told = json.loads(encode([failed(504, "Gateway timeout", "deadline_exceeded", one(id=7))]))[0]
    assert (told["status"], told["id"], told["body"]["code"]) == (504, 7, "deadline_exceeded")
