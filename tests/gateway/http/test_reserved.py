"""What a client must not say of itself is taken out, however it is spelt."""

import pytest

from gateway.http import ReservedFields
from gateway.http.reserved import MOST_SPELLINGS
from gateway.testing import request


@pytest.mark.parametrize(
    ("sent", "left"),
    [
        pytest.param([("X-User", "root")], [], id="as we write it"),
        pytest.param([("x-USER", "root")], [], id="in another case"),
        pytest.param([("X_User", "root")], [], id="with an underscore, which CGI and WSGI read as a hyphen"),
        pytest.param([("X-User", "a"), ("x-user", "b")], [], id="twice"),
        pytest.param([("X-Users", "a")], [("X-Users", "a")], id="another name stays"),
        pytest.param([("Connection", "x-user")], [], id="and the wish that ours be dropped on the way"),
        pytest.param([("Connection", "close, X-User")], [], id="among other options"),
        pytest.param([("Connection", "close")], [("Connection", "close")], id="other options stay"),
    ],
)
def test_take_out(sent, left):
    asked = request(headers=sent)
    ReservedFields(["X-User"]).take_out(asked)
    assert [pair for pair in asked.headers.items() if pair[0] != "Host"] == left


def test_a_request_without_any_is_not_copied():
    asked = request(headers={"A": "1"})
    ReservedFields(["X-User"]).take_out(asked)
    assert not asked.edited


def test_ever_new_names_do_not_grow_it():
    reserved = ReservedFields(["X-User"])
    for number in range(MOST_SPELLINGS + 10):
        assert not reserved[f"X-{number}"]
    assert reserved["x_user"]
    assert len(reserved) <= MOST_SPELLINGS
