"""Requests and answers: header fields read for nothing and changed on a copy, forks, and the end of a segment."""

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Forbidden, InternalError
from gateway.http import Body, Exchange, Principal, Request, Response, decode, encode
from gateway.testing import Chunks, request

RAW = ((b"Host", b"a.example"), (b"X-Two", b"1"), (b"x-two", b"2"), (b"Odd", b"\xff\xc3\xa9"))
TOKEN = st.text("!#$%&'*+-.^_`|~0123456789abcXYZ", min_size=1, max_size=12)


def ended(asked, **more):
    return Exchange(asked, Response(200), status=200, duration=0.0, **more)


# -- header fields -----------------------------------------------------------------------------------------------------


def test_fields_leave_as_they_came_unless_edited():
    asked = Request("GET", "/", fields=RAW)
    assert asked.headers["x-TWO"] == "1"
    assert asked.headers.getall("X-Two") == ["1", "2"]
    assert asked.fields is RAW
    assert not asked.edited


def test_an_edit_is_what_is_sent_and_what_is_read():
    asked = Request("GET", "/", fields=RAW)
    view = asked.headers
    edited = asked.edit_headers()
    edited["X-Two"] = "3"
    edited.add("New", "n")
    assert asked.headers["x-two"] == "3"
    assert asked.fields == [(b"Host", b"a.example"), (b"X-Two", b"3"), (b"Odd", b"\xff\xc3\xa9"), (b"New", b"n")]
    assert view.getall("x-two") == ["1", "2"], "what was read before is not changed behind its reader's back"
    assert asked.edit_headers() is edited


def test_the_servers_own_view_is_used_and_never_edited():
    view = decode(RAW)
    asked = Request("GET", "/", fields=RAW, view=view)
    assert asked.headers is view
    asked.edit_headers()["Host"] = "b.example"
    assert view["Host"] == "a.example"


@given(
    st.lists(
        st.tuples(TOKEN.map(str.encode), st.binary(max_size=30).filter(lambda v: not set(v) & {0, 10, 13})), max_size=8
    )
)
def test_decoding_and_encoding_change_nothing(fields):
    assert encode(decode(fields)) == fields


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("X", "a\r\nSet-Cookie: b", id="a line break in a value"),
        pytest.param("X", "a\nb", id="a bare line feed"),
        pytest.param("X", "a\rb", id="a bare carriage return"),
        pytest.param("X", "a\0b", id="a null"),
        pytest.param("X\r\nY", "a", id="a line break in a name"),
        pytest.param("X:Y", "a", id="a colon in a name"),
        pytest.param("X Y", "a", id="a space in a name"),
        pytest.param("X\t", "a", id="a tab in a name"),
        pytest.param("", "a", id="no name"),
        pytest.param("Naïve", "a", id="a name that is not ASCII"),
    ],
)
def test_what_would_split_a_message_is_never_sent(name, value):
    answer = Response(200, headers=[(name, value)])
    with pytest.raises(InternalError):
        _ = answer.fields


@pytest.mark.parametrize("headers", [{"A": "1"}, [("A", "1")]])
def test_an_answer_takes_headers_or_fields(headers):
    assert Response(200, headers=headers).fields == Response(200, fields=[(b"A", b"1")]).fields
    assert Response(200, headers={"A": "1"}).headers["a"] == "1"


@pytest.mark.parametrize(("body", "data"), [(None, b""), (b"x", b"x"), (Body(b"y"), b"y")])
def test_an_answer_takes_a_body_in_any_form(body, data):
    assert Response(200, body=body).body.whole == data


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


def test_an_exchange_keeps_what_the_end_looked_like():
    asked = request()
    error = Forbidden()
    gone = Exchange(asked, None, status=499, duration=1.5, sent_bytes=3, received_bytes=4, aborted=True, error=error)
    assert (gone.status, gone.duration, gone.sent_bytes, gone.received_bytes, gone.aborted) == (499, 1.5, 3, 4, True)
    assert gone.error is error


@pytest.mark.parametrize("seen", [False, True], ids=["nobody read the fields", "somebody read them"])
@pytest.mark.parametrize("edited", [False, True], ids=["nobody changed them", "somebody changed them"])
def test_drop_takes_out_every_repetition_in_any_case(seen, edited):
    asked = Request("GET", "/", fields=((b"X-Key", b"1"), (b"A", b"2"), (b"x-key", b"3"), (b"B", b"4")))
    if seen:
        assert asked.headers["x-key"] == "1"
    if edited:
        asked.edit_headers()["A"] = "9"
    asked.drop("x-key", "b", "none")
    assert list(asked.fields) == [(b"A", b"9" if edited else b"2")]
    assert dict(asked.headers) == {"A": "9" if edited else "2"}
    assert asked.edited is edited
