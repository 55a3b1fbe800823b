"""transform: what becomes of JSON, what keeps its bytes, and what cannot be changed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.errors import Forbidden
from gateway.testing import answering, exchange, opened, request, settings_of
from plugins.transform import Transform

EXAMPLE = {"request": {"remove": ["/a"]}}
JSON = {"Content-Type": "application/json"}
DOCUMENT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc*"), inner, max_size=3),
    max_leaves=8,
)


async def down(changes, body, headers=JSON, **more):
    """What the target gets."""
    target = answering(200)
    response = await exchange(
        Transform, {"request": changes}, request("POST", "/", headers=headers, body=body, **more), target
    )
    assert response.status == 200, response.error
    return target.bodies[0].decode()


@pytest.mark.parametrize(
    ("changes", "body", "made"),
    [
        pytest.param({"remove": ["/a"]}, '{"a":1,"b":2}', '{"b":2}', id="a member goes"),
        pytest.param({"remove": ["/x"]}, '{ "a": 1 }', '{ "a": 1 }', id="one that is not there changes nothing"),
        pytest.param({"remove": ["/a/b"]}, '{"a":{"b":1,"c":2}}', '{"a":{"c":2}}', id="further down"),
        pytest.param({"remove": ["/*/b"]}, '[{"b":1,"c":2},{"b":3},4]', '[{"c":2},{},4]', id="of every list member"),
        pytest.param({"remove": ["/*/b"]}, '{"x":{"b":1},"y":2}', '{"x":{},"y":2}', id="of every object member"),
        pytest.param({"remove": ["/0"]}, '["x","y"]', '["y"]', id="by its place in a list"),
        pytest.param({"remove": ["/*"]}, '{"a":1}', "{}", id="all of them"),
        pytest.param({"remove": ["/a~1b", "/c~0d"]}, '{"a/b":1,"c~d":2,"e":3}', '{"e":3}', id="odd names, escaped"),
        pytest.param({"rename": {"/a": "b"}}, '{"a":1,"c":2}', '{"b":1,"c":2}', id="renamed in its place"),
        pytest.param({"rename": {"/a": "c"}}, '{"a":1,"c":2}', '{"c":1}', id="renamed to one that is there"),
        pytest.param({"rename": {"/x/a": "b"}}, '{"x":{"a":1}}', '{"x":{"b":1}}', id="renamed further down"),
        pytest.param({"set": {"/a": 5}}, '{"a":1}', '{"a":5}', id="set over what is there"),
        pytest.param({"set": {"/x/y": True}}, "{}", '{"x":{"y":true}}', id="set with the objects on the way"),
        pytest.param({"set": {"/who": "{principal}@{tenant}"}}, "{}", '{"who":"ada@acme"}', id="set by template"),
        pytest.param({"set": {"/x": {"k": [None]}}}, "{}", '{"x":{"k":[null]}}', id="set to a document"),
        pytest.param({"set": {"/*/seen": True}}, '[{"a":1}]', '[{"a":1,"seen":true}]', id="set in every member"),
        pytest.param({"add": {"/a": 5, "/b": 6}}, '{"a":1}', '{"a":1,"b":6}', id="added where it is not"),
        pytest.param(
            {"remove": ["/a"], "set": {"/b": 2}},
            '{"a":1,"n":1.10,"m":12345678901234567890123}',
            '{"n":1.10,"m":12345678901234567890123,"b":2}',
            id="numbers keep their digits",
        ),
        pytest.param({"set": {"/a/b": 1}}, '{"a":[1]}', '{"a":[1]}', id="a list is not made an object"),
        pytest.param({"remove": ["/a"]}, "5", "5", id="a number has no members"),
        pytest.param({"remove": ["/a/b"]}, '{"a":{"b":1},"a":{}}', '{"a":{}}', id="hidden, the name comes again"),
        pytest.param(
            {"remove": ["/a/b"]},
            '{"a": {"b": 1}, "\\u0061": 2}',
            '{"a":2}',
            id="hidden, the name escaped",
        ),
        pytest.param(
            {"remove": ["/*/a/b"]}, '[{"a":{"b":1},"a":{}},3]', '[{"a":{}},3]', id="hidden in a member of a list"
        ),
        pytest.param({"remove": ["/a"]}, ' \n{"a":1}', "{}", id="space in front"),
    ],
)
async def test_what_becomes_of_json(changes, body, made):
    assert await down(changes, body, principal="ada", tenant="acme") == made


@pytest.mark.parametrize(
    ("headers", "changed"),
    [
        pytest.param({"Content-Type": "application/json; charset=utf-8"}, True, id="with a parameter"),
        pytest.param({"Content-Type": "application/vnd.acme+JSON"}, True, id="a kind of JSON"),
        pytest.param({"Content-Type": "text/plain"}, False, id="text"),
        pytest.param({}, False, id="no media type"),
    ],
)
async def test_by_media_type(headers, changed):
    assert await down({"remove": ["/a"]}, '{"a":1}', headers) == ("{}" if changed else '{"a":1}')


async def test_answers_are_changed_and_their_validators_say_so():
    target = answering(
        200, headers={**JSON, "ETag": '"v1"', "Content-Digest": "sha-256=:x:"}, chunks=[b'{"secret":1,', b'"b":2}']
    )
    asked = request("GET", "/", headers={"Accept-Encoding": "gzip", "Range": "bytes=0-5", "If-Range": '"v1"'})
    response = await exchange(Transform, {"response": {"remove": ["/secret"]}}, asked, target)
    assert response.body.whole == b'{"b":2}'
    assert (response.headers["ETag"], "Content-Digest" in response.headers) == ('W/"v1"', False)
    assert target.request.headers["Accept-Encoding"] == "identity"
    assert "Range" not in target.request.headers


async def test_the_head_of_an_answer_promises_no_length_of_another():
    target = answering(200, headers={**JSON, "Content-Length": "100"})
    response = await exchange(Transform, {"response": {"remove": ["/a"]}}, request("HEAD"), target)
    assert "Content-Length" not in response.headers


async def test_refusals_of_others_are_left_alone():
    async def refusing(_request):
        raise Forbidden

    response = await exchange(Transform, {"response": {"remove": ["/code"]}}, request(), refusing)
    assert json.loads(response.body.whole)["code"] == "forbidden"


LARGE = b'{"a":"' + b"x" * 100 + b'"}'


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        pytest.param(LARGE, JSON, 413, "payload_too_large", id="too large"),
        pytest.param(b'{"a":', JSON, 400, "unusable_json", id="cut"),
        pytest.param(b'{"a":1}{"a":2}', JSON, 400, "unusable_json", id="two documents"),
        pytest.param(b"\xff", JSON, 400, "unusable_json", id="no UTF-8"),
        pytest.param(b'{"b":"\xff"}', JSON, 400, "unusable_json", id="no UTF-8 within"),
        pytest.param(b"[" * 90, JSON, 400, "unusable_json", id="nothing but brackets"),
        pytest.param(b"\x1f\x8b", {**JSON, "Content-Encoding": "gzip"}, 400, "unusable_json", id="compressed"),
    ],
)
@pytest.mark.parametrize("otherwise", ["refuse", "pass"])
async def test_what_cannot_be_changed(body, headers, status, code, otherwise):
    target = answering(200)
    given_settings = {**EXAMPLE, "max_size": "100B", "otherwise": otherwise}
    asked = request("POST", "/", headers=headers, chunks=[body[:3], body[3:]] if len(body) > 3 else [body])
    response = await exchange(Transform, given_settings, asked, target)
    if otherwise == "refuse":
        assert (response.status, response.error.code, target.calls) == (status, code, 0)
    else:
        assert (response.status, target.bodies) == (200, [body])


@pytest.mark.parametrize("otherwise", ["refuse", "pass"])
async def test_an_answer_that_cannot_be_changed(otherwise):
    target = answering(200, headers=JSON, chunks=[LARGE[:50], LARGE[50:]])
    given_settings = {"response": {"remove": ["/a"]}, "max_size": "100B", "otherwise": otherwise}
    response = await exchange(Transform, given_settings, request(), target)
    if otherwise == "refuse":
        assert (response.status, response.error.code) == (502, "unusable_answer")
        assert target.sources[0].closed
    else:
        assert (response.status, response.body.whole) == (200, LARGE)


async def test_shadow_counts_and_passes():
    target = answering(200)
    async with opened(Transform, EXAMPLE, mode="shadow") as live:
        response = await live(request("POST", "/", headers=JSON, body="{"), target)
        assert (response.status, target.bodies) == (200, [b"{"])
        assert live.ports.would_refuse == ["unusable_json"]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="nothing to do"),
        pytest.param({"request": {"remove": ["a"]}}, id="no pointer"),
        pytest.param({"request": {"remove": [""]}}, id="the document itself"),
        pytest.param({"request": {"remove": ["/a" * 40]}}, id="too deep"),
        pytest.param({"request": {"set": {"/a": "{nobody}"}}}, id="a placeholder that is not known"),
        pytest.param({"request": {"remove": ["/a"]}, "max_size": 0}, id="no room"),
    ],
)
def test_settings_that_are_refused(settings):
    with pytest.raises(ValidationError):
        settings_of(Transform, settings)


@given(DOCUMENT)
async def test_a_member_that_was_removed_is_nowhere(document):
    body = json.dumps(document)
    made = json.loads(await down({"remove": ["/a", "/*/a"]}, body))

    def without(value, depth=2):
        if isinstance(value, dict):
            return {k: without(v, depth - 1) if depth > 1 else v for k, v in value.items() if k != "a"}
        return [without(v, depth - 1) if depth > 1 else v for v in value] if isinstance(value, list) else value

    assert made == without(document)


@given(DOCUMENT)
async def test_nothing_to_do_changes_no_byte(document):
    body = json.dumps(document, indent=1)
    assert await down({"remove": ["/zz", "/*/zz"]}, body) == body
