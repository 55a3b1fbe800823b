"""Documents' bytes: JSON and YAML mean the same, and what is doubtful is an error with its place."""

import pytest

from gateway.plugin.openapi import OpenApiError
from gateway.plugin.openapi.reading import read_values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param('{"a": [1, 2.5, null, true, "x"]}', {"a": [1, 2.5, None, True, "x"]}, id="JSON"),
        pytest.param("a: [1, 2.5, ~, true, x]", {"a": [1, 2.5, None, True, "x"]}, id="YAML"),
        pytest.param("{a: 1}", {"a": 1}, id="YAML in flow style"),
        pytest.param("a: off\nb: 'yes'\nc: 012\nd: 2024-01-01", {"a": "off", "b": "yes", "c": 12, "d": "2024-01-01"},
                     id="words and dates are text"),
        pytest.param("200: {description: x}", {"200": {"description": "x"}}, id="keys are text"),
        pytest.param("a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}", {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}},
                     id="anchors"),
        pytest.param("", None, id="nothing"),
    ],
)  # fmt: skip
def test_values(text, value):
    assert read_values(text.encode()) == value


def test_aliases_are_shared_not_multiplied():
    bomb = "a0: &a0 [x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}]\n" for i in range(1, 40)
    )
    assert len(read_values(bomb.encode())) == 40


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(b'{"a": 1, "a": 2}', "twice", id="a key twice in JSON"),
        pytest.param(b"a: 1\na: 2", "line 2: the key 'a' stands twice", id="a key twice in YAML"),
        pytest.param(b'{"a": NaN}', "NaN", id="NaN"),
        pytest.param(b"a: &x [*x]", "alias", id="an alias of itself"),
        pytest.param(b"a: [", "line", id="half a document"),
        pytest.param(b"? [a]\n: b", "not text", id="a key that is a list"),
        pytest.param(b"\xff", "UTF-8", id="not text"),
        pytest.param(b"[" * 100_000, "deeply|read|JSON", id="too deep for JSON"),
        pytest.param(b"- " * 1000 + b"x", "deeply|read", id="too deep for YAML"),
    ],
)
def test_mistakes(content, told):
    with pytest.raises(OpenApiError, match=told):
        read_values(content)
