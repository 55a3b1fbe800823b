"""respond: a fixed answer, made once."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.testing import answering, exchange, opened, request, settings_of
from plugins.respond import Respond

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("settings", "status", "headers", "body"),
    [
        pytest.param({}, 200, {}, b"", id="nothing given"),
        pytest.param({"status": 204}, 204, {}, b"", id="a status"),
        pytest.param({"body": "hi"}, 200, {"Content-Type": "text/plain; charset=utf-8"}, b"hi", id="text"),
        pytest.param({"body": "é"}, 200, {"Content-Type": "text/plain; charset=utf-8"}, "é".encode(), id="UTF-8"),
        pytest.param(
            {"body": "<p>", "content_type": "text/html"}, 200, {"Content-Type": "text/html"}, b"<p>", id="a media type"
        ),
        pytest.param({"json": {"a": [1]}}, 200, {"Content-Type": "application/json"}, b'{"a":[1]}', id="JSON"),
        pytest.param({"json": None}, 200, {"Content-Type": "application/json"}, b"null", id="null is JSON"),
        pytest.param(
            {"json": 1, "content_type": "application/x+json"},
            200,
            {"Content-Type": "application/x+json"},
            b"1",
            id="a kind",
        ),
        pytest.param(
            {"body": "x", "headers": {"content-TYPE": "a/b"}},
            200,
            {"content-TYPE": "a/b"},
            b"x",
            id="one type, not two",
        ),
        pytest.param(
            {"status": 503, "headers": {"Retry-After": "5"}}, 503, {"Retry-After": "5"}, b"", id="further fields"
        ),
    ],
)
async def test_answers(settings, status, headers, body):
    target = answering()
    response = await exchange(Respond, settings, request("POST", body="ignored"), target)
    assert (response.status, dict(response.headers), response.body.whole) == (status, headers, body)
    assert target.calls == 0, "nothing behind it is asked"
    assert response.error is None


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"body": "a", "json": 1}, id="two bodies"),
        pytest.param({"body": "a", "json": None}, id="null is a body"),
        pytest.param({"status": 204, "body": "a"}, id="a body with 204"),
        pytest.param({"status": 304, "json": {}}, id="a body with 304"),
        pytest.param({"status": 101}, id="an interim status"),
        pytest.param({"status": 600}, id="a status there is none of"),
        pytest.param({"headers": {"Content-Length": "5"}}, id="framing"),
        pytest.param({"headers": {"X": "a\r\nb"}}, id="a line break in a field"),
        pytest.param({"body": "x", "content_type": "a\r\nb"}, id="a line break in the media type"),
        pytest.param({"text": "x"}, id="a key that is not known"),
    ],
)
def test_settings_that_are_refused(settings):
    with pytest.raises(ValidationError):
        settings_of(Respond, settings)


async def test_one_answer_dressed_by_an_outer_plugin_does_not_dress_the_next():
    async with opened(Respond, {"body": "x"}) as live:
        first = await live()
        first.edit_headers()["Set-Cookie"] = "a=b"
        assert "Set-Cookie" not in (await live()).headers


@given(JSON)
async def test_any_document_comes_out_as_it_went_in(document):
    response = await exchange(Respond, {"json": document})
    assert json.loads(response.body.whole) == document
