"""Keys out of templates: where they are read, and that nothing a sender writes makes it fail."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.event import Event, note_event
from gateway.testing import request
from plugins.inbox.key import LONGEST, Look, compile_key, pointer

BODY = b'{"id": "evt", "n": 7, "f": 1.5, "t": true, "z": null, "o": {"a/b": "s", "m~n": "t", "": "e"}, "l": [1, "two"]}'


def read(text, body=BODY, **more):
    asked = request("POST", "/x", headers={"X-Id": "h"}, principal="ada", **more)
    note_event(asked, Event("stripe", "evt_1"))
    return compile_key(text)(Look(asked, body))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("{event}", "stripe:evt_1", id="the verified event"),
        pytest.param("{header.X-Id}", "h", id="a field"),
        pytest.param("{header.X-Other}", "", id="a field that is not there"),
        pytest.param("{principal}", "ada", id="who called"),
        pytest.param("{json./id}", "evt", id="a member"),
        pytest.param("{json./n}", "7", id="a number"),
        pytest.param("{json./f}", "1.5", id="a number with a point"),
        pytest.param("{json./t}", "", id="a truth value names nothing"),
        pytest.param("{json./z}", "", id="nor does null"),
        pytest.param("{json./o}", "", id="nor an object"),
        pytest.param("{json./o/a~1b}", "s", id="a name with a slash"),
        pytest.param("{json./o/m~0n}", "t", id="a name with a tilde"),
        pytest.param("{json./o/}", "e", id="an empty name"),
        pytest.param("{json./l/1}", "two", id="an element"),
        pytest.param("{json./l/9}", "", id="an element that is not there"),
        pytest.param("{json./l/-}", "", id="the element after the last"),
        pytest.param("{json./id/x}", "", id="below a text"),
        pytest.param("a{json./id}b{header.X-Id}", "aevtbh", id="several with text between"),
        pytest.param("{json./id}{header.X-Other}", "", id="one that is missing makes it all empty"),
        pytest.param("{{{json./id}}}", "{evt}", id="braces of their own"),
    ],
)
def test_what_is_read(text, value):
    assert read(text) == value


@pytest.mark.parametrize(
    ("body", "value"),
    [
        pytest.param(b"Body=hi&MessageSid=SM1", "SM1", id="a field of a form"),
        pytest.param(b"MessageSid=a+b%20c", "a b c", id="decoded"),
        pytest.param(b"MessageSid=1&MessageSid=2", "1", id="the first of several"),
        pytest.param(b"&".join(b"f%d=1" % n for n in range(300)), "", id="too many to look at"),
        pytest.param(b"\xff\xfe", "", id="no form"),
        pytest.param(b"", "", id="nothing"),
    ],
)
def test_forms(body, value):
    assert read("{form.MessageSid}", body) == value


def test_a_body_is_known_by_all_its_bytes():
    assert read("{body}", b"a") == read("{body}", b"a") != read("{body}", b"b")
    assert read("{body}", b"") == ""


def test_a_long_key_is_its_digest():
    one, two = read("{json./id}", b'{"id": "%s"}' % (b"x" * 5000)), read("{json./id}", b'{"id": "%sy"}' % (b"x" * 5000))
    assert one != two
    assert max(len(one), len(two)) < LONGEST


@pytest.mark.parametrize(
    "text", ["", "text", "{", "{}", "{nothing}", "{json.id}", "{json./a~2}", "{form.}", "{json.}", "{{}}", "a}b"]
)
def test_what_is_no_template(text):
    with pytest.raises(ValueError, match=r"."):
        compile_key(text)


def test_pointers():
    assert [pointer("/a/b"), pointer("/"), pointer("/~01")] == [("a", "b"), ("",), ("~1",)]


@settings(max_examples=100)
@given(body=st.binary(max_size=200), nested=st.integers(0, 3000))
def test_no_body_makes_it_fail(body, nested):
    for each in (body, b"[" * nested + b"]" * nested):
        for text in ("{json./a/0}", "{form.a}", "{body}"):
            assert isinstance(read(text, each), str)
