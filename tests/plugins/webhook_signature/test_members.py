"""Members of JSON documents: as written, and nothing else."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.webhook_signature.members import Members, elements

A, AB = ("a",), ("a", "b")


@pytest.mark.parametrize(
    ("document", "found"),
    [
        pytest.param(b'{"a":"x"}', {A: "x"}, id="text"),
        pytest.param(b'{"a":"\\u00e9\\n"}', {A: "\u00e9\n"}, id="escapes"),
        pytest.param(b'{"a":1.10}', {A: "1.10"}, id="a number as written"),
        pytest.param(b'{"a":true}', {A: "true"}, id="a truth"),
        pytest.param(b'{"a":null}', {}, id="null"),
        pytest.param(b'{"a":[1]}', {}, id="a list"),
        pytest.param(b'{"a":{"b":"y","c":[{}]}}', {AB: "y"}, id="below"),
        pytest.param(b"{}", {}, id="nothing"),
        pytest.param(b' { "a" :\n"x" } ', {A: "x"}, id="blanks"),
    ],
)
def test_find(document, found):
    assert Members([A, AB]).find(document) == found


@pytest.mark.parametrize("document", [b"", b"[]", b'"a"', b"{", b'{"a":"x"} x', b"\xff", b'{"a":"\xff"}'])
def test_what_is_no_object(document):
    with pytest.raises(ValueError):
        Members([A]).find(document)


def test_without_paths_nothing_is_read():
    assert Members([]).find(b"no JSON") == {}


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=5), st.text(max_size=5))
@settings(max_examples=100)
def test_as_json_reads_it(document, value):
    found = Members([("key-1",)]).find(json.dumps({**document, "key-1": value}).encode())
    assert found == {("key-1",): value}


def test_elements():
    assert [bytes(each) for each in elements(b'{"a":{"b":[{"x":1}, 2]}}', ("a", "b"))] == [b'{"x":1}', b"2"]


@pytest.mark.parametrize("document", [b"{}", b'{"a":1}', b'{"a":{}}', b"[]", b'{"a":[' + b"1," * 100 + b"1]}"])
def test_no_elements(document):
    with pytest.raises(ValueError):
        elements(document, ("a",))
