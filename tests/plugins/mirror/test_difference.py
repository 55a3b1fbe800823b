"""Two answers: what counts as a difference, where it is, and that no value is told."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import Response
from plugins.mirror.difference import MOST, Rules, Seen

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def seen(body=b"", status=200, media="application/json", **headers):
    given = {"Content-Type": media, **{name.replace("_", "-"): value for name, value in headers.items()}}
    made = Seen(Response(status, headers=given))
    made.body = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    return made


def rules(**given):
    return Rules(**{"status": True, "headers": True, "body": True, **given})


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        pytest.param(seen({"a": 1}), seen({"a": 1}), {}, id="the same"),
        pytest.param(seen(b'{"a":1,"b":2}'), seen(b'{ "b": 2, "a": 1 }'), {}, id="JSON is compared by value"),
        pytest.param(seen({}), seen({}, 500), {"status": ["200 and 500"]}, id="status"),
        pytest.param(seen({"a": 1}), seen({"a": 2}), {"body": ["/a"]}, id="a value"),
        pytest.param(seen({"a": 1}), seen({}), {"body": ["/a"]}, id="a member that is missing"),
        pytest.param(seen({}), seen({"a": None}), {"body": ["/a"]}, id="null is not absent"),
        pytest.param(seen({"a": 1}), seen({"a": True}), {"body": ["/a"]}, id="true is not 1"),
        pytest.param(seen({"a": 1}), seen({"a": 1.0}), {"body": ["/a"]}, id="another kind of number"),
        pytest.param(seen([1, 2]), seen([1]), {"body": ["/1"]}, id="an element"),
        pytest.param(seen([{"a": [0, {"b": 1}]}]), seen([{"a": [0, {"b": 2}]}]), {"body": ["/0/a/1/b"]}, id="deep"),
        pytest.param(seen({"a/b~": 1}), seen({"a/b~": 2}), {"body": ["/a~1b~0"]}, id="a name with signs"),
        pytest.param(seen({"a\n": 1}), seen({}), {"body": ["/a\\n"]}, id="a name cannot forge a log line"),
        pytest.param(seen(1), seen(2), {"body": ["(all)"]}, id="the whole document"),
        pytest.param(seen(b"{"), seen(b"["), {"body": ["(not JSON)"]}, id="broken JSON"),
        pytest.param(seen(b"a", media="a/b"), seen(b"b", media="a/b"), {"body": ["(not JSON)"]}, id="text"),
        pytest.param(seen(b"a", media="a/b"), seen(b"a", media="a/b"), {}, id="the same text"),
        pytest.param(seen(X_A="1"), seen(X_A="2", X_B="1"), {"headers": ["x-a", "x-b"]}, id="header fields"),
        pytest.param(seen(Date="a", ETag="1", Connection="close"), seen(Date="b", Age="1"), {}, id="never the same"),
        pytest.param(seen(None), seen({"a": 1}), {}, id="a body that was not kept"),
        pytest.param(
            seen(gzip.compress(b'{"a":1}'), Content_Encoding="gzip"), seen({"a": 1}), {"headers": ["content-encoding"]},
            id="compressed and not",
        ),
        pytest.param(
            seen(gzip.compress(b'{"a":1}', 1), Content_Encoding="gzip"),
            seen(gzip.compress(b'{"a":2}', 9), Content_Encoding="gzip"),
            {"body": ["/a"]},
            id="both compressed",
        ),
        pytest.param(seen(b"x", Content_Encoding="br"), seen(b"y", Content_Encoding="br"), {}, id="a coding not known"),
    ],
)  # fmt: skip
def test_differences(first, second, found):
    assert rules().differences(first, second) == found


@pytest.mark.parametrize(
    ("ignored", "found"),
    [
        pytest.param(
            {"ignore_paths": ["/took"]}, {"body": ["/items/0/id", "/items/1/id"], "headers": ["x-node"]}, id="one"
        ),
        pytest.param({"ignore_paths": ["/took", "/items/*/id"]}, {"headers": ["x-node"]}, id="any element"),
        pytest.param({"ignore_paths": ["/*"]}, {"headers": ["x-node"]}, id="any member"),
        pytest.param({"ignore_headers": ["X-Node"], "body": False}, {}, id="fields, and no body"),
        pytest.param({"headers": False, "ignore_paths": ["/took", "/items"]}, {}, id="all below"),
    ],
)
def test_what_is_passed_over(ignored, found):
    first = seen({"took": 1, "items": [{"id": 1, "n": 1}, {"id": 2, "n": 1}]}, X_Node="a")
    second = seen({"took": 2, "items": [{"id": 3, "n": 1}, {"id": 4, "n": 1}]}, X_Node="b")
    assert rules(**ignored).differences(first, second) == found


def test_few_places_are_named():
    assert len(rules().differences(seen(list(range(50))), seen([]))["body"]) == MOST


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * 5000 + b"1" + b"]" * 5000, id="deeper than can be followed"),
        pytest.param(b"\xff", id="no text"),
        pytest.param(gzip.compress(b"0" * 20_000_000), id="a bomb"),
        pytest.param(b"no gzip", id="no gzip"),
        pytest.param(gzip.compress(b"{}")[:-4], id="cut gzip"),
    ],
)
@pytest.mark.parametrize("coding", ["", "gzip"])
def test_whatever_a_target_answers_nothing_is_raised(body, coding):
    more = {"Content_Encoding": coding} if coding else {}
    rules().differences(seen(body, **more), seen({"a": 1}, **more))


@given(JSON, JSON)
def test_the_same_differs_in_nothing_and_different_in_something(one, other):
    first, second = (seen(json.dumps(each).encode()) for each in (one, other))
    assert rules().differences(first, first) == {}
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (rules().differences(first, second) == {}) is same
