"""headers: what is removed, set and added, on both sides, and on refusals too."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.errors import Forbidden, InternalError
from gateway.testing import answering, exchange, request, settings_of
from plugins.headers import Headers

CAME = [("Host", "gateway.test"), ("A", "1"), ("a", "2"), ("B", "3")]


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        pytest.param({}, CAME, id="nothing"),
        pytest.param({"remove": ["A"]}, [CAME[0], ("B", "3")], id="remove takes every repetition, in any case"),
        pytest.param({"remove": ["None"]}, CAME, id="remove what is not there"),
        pytest.param({"set": {"A": "x"}}, [CAME[0], ("A", "x"), ("B", "3")], id="set replaces every repetition"),
        pytest.param({"set": {"C": "x"}}, [*CAME, ("C", "x")], id="set what was not there"),
        pytest.param({"add": {"A": "x"}}, [*CAME, ("A", "x")], id="add stands beside"),
        pytest.param(
            {"add": {"A": "added"}, "set": {"A": "set"}, "remove": ["B"]},
            [CAME[0], ("A", "set"), ("A", "added")],
            id="remove, set, add",
        ),
        pytest.param({"set": {"C": ""}}, [*CAME, ("C", "")], id="an empty value"),
        pytest.param({"set": {"C": "{request.id} {{x}}"}}, [*CAME, ("C", "test-request {x}")], id="placeholders"),
        pytest.param(
            {"set": {"C": "{header.b}"}, "remove": ["B"]}, [*CAME[:3], ("C", "")], id="a removed value is gone"
        ),
    ],
)
async def test_requests(changes, left):
    target = answering()
    await exchange(Headers, {"request": changes}, request(headers=CAME), target)
    assert [(name.lower(), value) for name, value in target.request.headers.items()] == [
        (name.lower(), value) for name, value in left
    ]


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        pytest.param({"set": {"X-User": "me"}}, {"x-user": "me"}, id="what is set"),
        pytest.param({"remove": ["X-User"]}, {}, id="what is removed"),
        pytest.param({"add": {"X-User": "me"}}, {"x_user": "root", "x-user": "me"}, id="but not beside what is added"),
        pytest.param({"set": {"X_User": "{header.x_user}!"}}, {"x_user": "root!"}, id="a name that is meant so"),
    ],
)
async def test_what_wsgi_cannot_tell_from_it_goes_too(changes, left):
    target = answering()
    await exchange(Headers, {"request": changes}, request(headers={"X_User": "root"}), target)
    assert {name.lower(): value for name, value in target.request.headers.items() if name != "Host"} == left


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        pytest.param({"remove": ["Server", "X-Powered-By"]}, {"content-type": "text/plain"}, id="remove"),
        pytest.param(
            {"set": {"Server": "x"}}, {"server": "x", "content-type": "text/plain", "x-powered-by": "z"}, id="set"
        ),
    ],
)
async def test_answers(changes, left):
    target = answering(200, {"Server": "y", "Content-Type": "text/plain", "X-Powered-By": "z"}, chunks=[b"a"])
    response = await exchange(Headers, {"response": changes}, request(), target)
    assert {name.lower(): value for name, value in response.headers.items()} == left
    assert response.body.whole == b"a"


async def test_refusals_are_dressed_too():
    response = await exchange(Headers, {"response": {"set": {"X": "1"}}}, request(), answering(error=Forbidden()))
    assert (response.status, response.headers["X"]) == (403, "1")


async def test_what_is_not_changed_is_passed_on_as_it_came():
    """No copy of the fields is made for a side that has no changes."""
    asked, target = request(headers=CAME), answering()
    fields = asked.fields
    await exchange(Headers, {"response": {"set": {"X": "1"}}}, asked, target)
    assert target.request.fields is fields


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"set": {"Content-Length": "0"}}, id="framing"),
        pytest.param({"set": {"transfer-encoding": "chunked"}}, id="framing in small letters"),
        pytest.param({"remove": ["Connection"]}, id="removing what is about the connection"),
        pytest.param({"add": {"Upgrade": "h2c"}}, id="an upgrade"),
        pytest.param({"set": {"X\r\nY": "1"}}, id="a line break in a name"),
        pytest.param({"set": {"X": "a\r\nSet-Cookie: b"}}, id="a line break in a value"),
        pytest.param({"set": {"": "x"}}, id="no name"),
        pytest.param({"set": {"X": "{nothing}"}}, id="a placeholder that is not known"),
        pytest.param({"replace": {"X": "y"}}, id="a key that is not known"),
        pytest.param({"set": {"X": 5}}, id="a number"),
    ],
)
@pytest.mark.parametrize("side", ["request", "response"])
def test_settings_that_are_refused(side, changes):
    with pytest.raises(ValidationError):
        settings_of(Headers, {side: changes})


@given(st.text("{}\r\n\0ab%", max_size=12))
async def test_no_value_from_a_request_splits_the_message(value):
    """A placeholder may carry anything a client sends; what would split a message ends in a 500, not on the wire."""
    asked = request(params={"id": value})
    target = answering()
    await exchange(Headers, {"request": {"set": {"X": "{path.id}"}}}, asked, target)
    if set(value) & set("\r\n\0"):
        with pytest.raises(InternalError):
            _ = target.request.fields
    else:
        assert dict(target.request.fields)[b"X"] == value.encode()
