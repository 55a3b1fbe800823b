"""Header fields: read for nothing, changed on a copy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InternalError
from gateway.http import Request, Response, decode, encode

RAW = ((b"Host", b"a.example"), (b"X-Two", b"1"), (b"x-two", b"2"), (b"Odd", b"\xff\xc3\xa9"))
TOKEN = st.text("!#$%&'*+-.^_`|~0123456789abcXYZ", min_size=1, max_size=12)


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
