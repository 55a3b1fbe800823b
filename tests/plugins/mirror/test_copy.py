"""Recording bodies, copies of requests, pairs of answers."""

import pytest

from gateway.errors import ClientClosed, Forbidden
from gateway.http import Body, Exchange, Response
from gateway.testing import Chunks, read, request
from plugins.mirror.copy import Pair, copy_of, record
from plugins.mirror.difference import Seen


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param(Body(b"1234"), [b"1234"], id="whole"),
        pytest.param(Body(b"12345"), [None], id="whole and too large"),
        pytest.param(Body(None, Chunks([b"12", b"34"])), [b"1234"], id="streamed"),
        pytest.param(Body(None, Chunks([])), [b""], id="streamed and empty"),
        pytest.param(Body(None, Chunks([b"123", b"45", b"6"])), [None], id="streamed and too large"),
        pytest.param(Body(None, Chunks([b"12345"]), 5), [None], id="declared too large"),
    ],
)
async def test_a_body_is_recorded_as_it_passes(body, told):
    got, length = [], body.length
    record(body, 4, got.append)
    assert body.length == length
    asked = request()
    asked.body = body
    await read(asked)
    assert got == told


async def test_a_body_that_breaks_off_never_becomes_whole():
    got, asked = [], request("POST", chunks=Chunks([b"1"], error=ClientClosed()))
    record(asked.body, 4, got.append)
    with pytest.raises(ClientClosed):
        await read(asked)
    assert got == []


def test_a_copy_is_marked_and_has_nothing_of_its_clients():
    asked = request(headers={"Authorization": "secret", "Cookie": "c", "X-A": "1", "X-Mirrored": "forged"})
    asked.inform, asked.upstream, asked.repeatable, asked.extras = print, "elsewhere", True, {"a": 1}
    copy = copy_of(asked, ("X-Mirrored", "orders"), ("authorization", "Cookie"))
    assert dict(copy.headers) == {"X-A": "1", "Host": "gateway.test", "X-Mirrored": "orders"}
    assert (copy.inform, copy.upstream, copy.repeatable) == (None, None, False)
    copy.extras["a"] = 2
    assert (asked.headers["Authorization"], asked.extras, asked.edited) == ("secret", {"a": 1}, False)


def ended():
    return Exchange(request(), None, 200, 0.0)


def test_a_pair_is_compared_once_when_both_are_there():
    calls = []
    pair, seen = Pair(lambda *both: calls.append(both)), Seen(Response(200))
    pair.copy(seen)
    assert calls == []
    pair.over(ended())
    pair.client(seen)
    pair.copy(None)
    assert calls == [(None, seen)]


@pytest.mark.parametrize("refused", [True, False])
async def test_a_refusal_is_not_compared_with_an_answer(refused):
    calls = []
    pair = Pair(lambda *both: calls.append(both))
    response = Response(403, body=b"no")
    response.error = Forbidden() if refused else None
    pair.copy(None)
    pair.listen(response, 10)
    ((first, _),) = calls
    assert (first is None) is refused
    assert refused or first.body == b"no"
