"""Requests and answers of the harness are those that a server and a target would make."""

import pytest

from gateway.errors import Forbidden, TruncatedAnswer
from gateway.http import Principal
from gateway.testing import Chunks, answering, read, request


def test_a_request_out_of_nothing():
    asked = request()
    assert (asked.method, asked.path, asked.query, asked.host) == ("GET", "/", "", "gateway.test")
    assert asked.headers["Host"] == "gateway.test"
    assert asked.body.whole == b""
    assert asked.peer.address == asked.client_ip == "192.0.2.1"
    assert not asked.edited


@pytest.mark.parametrize(
    ("given", "attribute", "value"),
    [
        pytest.param({"path": "/a?b=c?d"}, "query", "b=c?d", id="the query"),
        pytest.param({"path": "/a?b"}, "path", "/a", id="the path"),
        pytest.param({"principal": "ann"}, "principal", Principal("ann"), id="a principal by name"),
        pytest.param({"principal": Principal("a", tenant="t")}, "principal", Principal("a", tenant="t"), id="in full"),
        pytest.param({"params": {"id": "7"}}, "path_params", {"id": "7"}, id="parameters"),
        pytest.param({"tenant": "t"}, "tenant", "t", id="a tenant"),
        pytest.param({"id": "x"}, "id", "x", id="an id"),
    ],
)
def test_a_request_with(given, attribute, value):
    assert getattr(request(**given), attribute) == value


def test_a_body_is_framed_as_a_client_would():
    assert request("POST", body="é").headers["Content-Length"] == "2"
    streamed = request("POST", chunks=[b"a"])
    assert streamed.headers["Transfer-Encoding"] == "chunked"
    assert (streamed.body.length, streamed.body.whole) == (None, None)
    assert request("POST", headers={"content-length": "9"}, body="x").headers.getall("Content-Length") == ["9"]


def test_headers_may_repeat():
    asked = request(headers=[("A", "1"), ("a", "2")])
    assert asked.headers.getall("A") == ["1", "2"]
    assert (b"a", b"2") in asked.fields


async def test_answering_remembers_what_it_got():
    target = answering(201, {"X": "1"}, "hello")
    first, second = request("POST", body="a"), request("POST", chunks=[b"b", b"", b"c"])
    for asked in (first, second):
        response = await target(asked)
        assert (response.status, response.headers["x"], await read(response)) == (201, "1", b"hello")
    assert (target.calls, target.bodies, target.request, target.body) == (2, [b"a", b"bc"], second, b"bc")


def test_asking_for_what_never_arrived_says_so():
    with pytest.raises(AssertionError, match="no request got as far"):
        _ = answering().request
    with pytest.raises(AssertionError, match="no request got as far"):
        _ = answering().body


async def test_a_streamed_answer():
    target = answering(chunks=[b"a", b"b"], trailers={"T": "1"})
    response = await target(request())
    assert response.body.length is None
    assert await read(response) == b"ab"
    assert response.body.trailers["t"] == "1"
    assert target.sources[0].ended


async def test_a_target_that_fails_before_and_after_its_head():
    with pytest.raises(Forbidden):
        await answering(error=Forbidden())(request())
    response = await answering(chunks=[b"a"], error=TruncatedAnswer())(request())
    assert await response.body.pull() == b"a"
    with pytest.raises(TruncatedAnswer):
        await response.body.pull()


async def test_what_is_closed_is_not_read_by_mistake():
    source = Chunks([b"a"])
    source.close()
    with pytest.raises(AssertionError):
        await source.read()
