"""Requests: forks, the end of a segment, and who calls."""

import gc
import weakref

import pytest

from gateway.errors import InternalError
from gateway.http import Body, Exchange, Principal, Request, Response
from gateway.testing import Chunks, request


def ended(asked, **more):
    return Exchange(asked, Response(200), status=200, duration=0.0, **more)


# -- forks -------------------------------------------------------------------------------------------------------------


def test_a_fork_has_fields_of_its_own():
    asked = request(headers={"A": "1"}, principal="p", params={"id": "1"})
    asked.edit_headers()["A"] = "2"
    twin = asked.fork()
    twin.edit_headers()["A"] = "3"
    assert (asked.headers["A"], twin.headers["A"]) == ("2", "3")
    asked.edit_headers()["B"] = "4"
    assert "B" not in twin.headers


def test_a_fork_of_what_nobody_edited_shares_until_it_is_edited():
    asked = request(headers={"A": "1"})
    twin = asked.fork()
    assert twin.fields is asked.fields
    twin.edit_headers()["A"] = "2"
    assert asked.headers["A"] == "1"


def test_a_fork_carries_everything_but_the_callbacks_and_the_answer():
    asked = request("POST", "/a?b", principal=Principal("p", tenant="t"), body=b"x")
    calls = []
    asked.when_done(calls.append)
    asked.answer = Response(200)
    twin = asked.fork()
    kept = [name for name in Request.__slots__ if name not in ("_done", "answer")]
    assert all(getattr(twin, name) == getattr(asked, name) for name in kept)
    twin.finish(ended(twin))
    assert calls == []
    assert twin.answer is None
    asked.finish(ended(asked))
    assert len(calls) == 1


def test_a_fork_may_have_another_body():
    asked = request("POST", body=b"x")
    assert asked.fork(body=Body(b"y")).body.whole == b"y"
    assert asked.body.whole == b"x"


def test_a_detached_request_does_not_share_its_clients_body():
    asked = request("POST", body=b"x")
    twin = asked.detach()
    assert twin.detached
    asked.body.replace(b"gone")
    assert twin.body.whole == b"x"


def test_a_stream_ends_with_its_client_so_it_cannot_be_detached():
    with pytest.raises(InternalError):
        request("POST", chunks=[b"x"]).detach()


async def test_a_held_stream_can_be_detached():
    asked = request("POST", chunks=[b"x"])
    await asked.body.read(1)
    assert asked.detach().body.whole == b"x"


# -- the end -----------------------------------------------------------------------------------------------------------


def test_done_runs_once_innermost_first():
    asked, order = request(), []
    for name in ("outer", "middle", "inner"):
        asked.when_done(lambda _exchange, name=name: order.append(name))
    asked.finish(ended(asked))
    asked.finish(ended(asked))
    assert order == ["inner", "middle", "outer"]


def test_one_done_that_fails_does_not_keep_the_others_from_theirs(caplog):
    asked, order = request(), []
    asked.when_done(order.append)
    asked.when_done(lambda _exchange: 1 / 0)
    asked.finish(ended(asked))
    assert len(order) == 1
    assert "ZeroDivisionError" in caplog.text


def test_abandoning_closes_what_had_come_up():
    source = Chunks([b"a"])
    asked = request()
    asked.answer = Response(200, body=Body(None, source))
    asked.abandon()
    asked.abandon()
    assert source.closed


def test_abandoning_closes_a_tunnel():
    class Wire:
        closed = False

        def close(self):
            self.closed = True

    asked, wire = request(), Wire()
    asked.answer = Response(101)
    asked.answer.tunnel = wire
    asked.abandon()
    assert wire.closed


def test_what_belongs_to_an_exchange_is_freed_without_the_garbage_collector():
    """Cycles on the path of a request would be collected in bursts, which shows in p99."""

    class Plain:
        def note(self, exchange):
            self.exchange = exchange

    gc.disable()
    try:
        note = Plain()
        asked = request("POST", body=b"x")
        asked.headers, asked.edit_headers()
        asked.when_done(note.note)
        answer = asked.answer = Response(200)
        asked.finish(Exchange(asked, answer, status=200, duration=0.1))
        gone = weakref.ref(note)
        del asked, answer, note
        assert gone() is None
    finally:
        gc.enable()


# -- small types -------------------------------------------------------------------------------------------------------


def test_a_principal_is_compared_without_pain():
    one = Principal("a", claims={"x": [1]})
    assert hash(one) == hash(Principal("a", claims={"y": [2]}))
    assert one != Principal("a", claims={"y": [2]})
    with pytest.raises(AttributeError):
        one.id = "b"
    with pytest.raises(TypeError):
        Principal("a").claims["x"] = 1
