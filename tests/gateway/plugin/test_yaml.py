"""YAML 1.2 as a tree with positions, and every mistake in it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.plugin.document import plain
from gateway.plugin.yaml import compose, resolve_scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[
            pytest.param(word, word, id=f"{word} is a word")
            for word in ("off", "on", "no", "yes", "y", "NO", "2026-11-21", "1:30", "1_000")
        ],
        *[pytest.param(word, None, id=f"{word or 'nothing'} is nothing") for word in ("", "~", "null", "NULL")],
        pytest.param("true", True, id="true"),
        pytest.param("False", False, id="false in another case"),
        pytest.param("010", 10, id="a leading zero is no octal number"),
        pytest.param("0o10", 8, id="octal"),
        pytest.param("0x1F", 31, id="hexadecimal"),
        pytest.param("-7", -7, id="negative"),
        pytest.param("1.5", 1.5, id="a point"),
        pytest.param(".5", 0.5, id="a point in front"),
        pytest.param("1e3", 1000.0, id="an exponent"),
        pytest.param(".inf", ".inf", id="infinity is a word: nothing here is infinite"),
        pytest.param(".nan", ".nan", id="and so is what is no number"),
        pytest.param("9" * 41, "9" * 41, id="a number longer than any that is meant"),
        pytest.param("-", "-", id="a dash"),
        pytest.param("1.2.3.4", "1.2.3.4", id="an address"),
        pytest.param("٣", "٣", id="a digit of another script"),
    ],
)
def test_unquoted_scalars(text: str, value: Any):
    found = resolve_scalar(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param(
            "a: '1'\nb: \"off\"\nc: !!str 1", {"a": "1", "b": "off", "c": "1"}, id="quotes and !!str make text"
        ),
        pytest.param("404: a\ntrue: b\nno: c", {"404": "a", "true": "b", "no": "c"}, id="keys are text"),
        pytest.param("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}, id="an alias"),
        pytest.param(
            "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}, id="a merge"
        ),
        pytest.param(
            "a: &x {b: 1}\nc: &y {b: 2, d: 3}\ne: {<<: [*x, *y]}",
            {"a": {"b": 1}, "c": {"b": 2, "d": 3}, "e": {"b": 1, "d": 3}},
            id="several merges: the earlier wins",
        ),
        pytest.param("a: |\n  one\n  two\n", {"a": "one\ntwo\n"}, id="a block of text"),
        pytest.param("%YAML 1.2\n---\na: 1\n...\n", {"a": 1}, id="a directive"),
        pytest.param('{"a": "\\ud83d\\ude00"}', {"a": "😀"}, id="JSON's two escapes of one character"),
        pytest.param("", None, id="nothing"),
        pytest.param("# only a comment", None, id="a comment"),
    ],
)
def test_values(text: str, value: Any):
    tree = compose(text, "g.yaml")
    assert tree.problems == []
    assert plain(tree.root) == value


@pytest.mark.parametrize(
    ("text", "messages", "complete"),
    [
        pytest.param(
            "a: 1\nb: 2\na: 3", ["g.yaml:3:1: error: the key 'a' stands twice, first in line 1"], True, id="a key twice"
        ),
        pytest.param(
            "a: !foo 1\nb: !!python/name:x y",
            [
                "g.yaml:1:4: error: a tag (!…) that is not understood",
                "g.yaml:2:4: error: a tag (!…) that is not understood",
            ],
            True,
            id="tags",
        ),
        pytest.param("? [a]\n: b\nc: 1", ["g.yaml:1:3: error: a key that is not text"], True, id="a list as a key"),
        pytest.param("a: *x", ["g.yaml:1:4: error: *x: no anchor &x ends before it"], True, id="an alias of nothing"),
        pytest.param(
            "a: &x [*x]", ["g.yaml:1:8: error: *x: no anchor &x ends before it"], True, id="an alias of itself"
        ),
        pytest.param(
            "<<: 3", ["g.yaml:1:1: error: <<: expects a mapping, or a list of them"], True, id="a merge of no mapping"
        ),
        pytest.param(
            "a: 1\n---\nb: 2", ["g.yaml:2:1: error: one document, got another after ---"], False, id="two documents"
        ),
        pytest.param(
            "a: [1\nb: 2",
            ["g.yaml:1:4: error: [ is opened here and not closed before line 2"],
            False,
            id="a bracket not closed",
        ),
        pytest.param(
            "a:\n\t- b",
            ["g.yaml:2:1: error: a tab in the indentation: YAML indents by spaces"],
            False,
            id="a tab",
        ),
        pytest.param(
            "[" * 70 + "]" * 70, ["g.yaml:1:66: error: nested deeper than 64 levels"], False, id="nested too deep"
        ),
        pytest.param(
            'a: "\\UFFFFFFFF"',
            ["g.yaml:1:1: error: not YAML that can be read near here: an escape that is no character"],
            False,
            id="an escape of no character",
        ),
        pytest.param(
            'a: "\\ud83d"', ["g.yaml:1:4: error: an escape that is half of a character"], True, id="half a character"
        ),
        pytest.param(
            "a: \x07",
            ["g.yaml:1:4: error: not YAML that can be read near here: a control character"],
            False,
            id="a control byte",
        ),
    ],
)
def test_mistakes(text: str, messages: list[str], complete: bool):
    tree = compose(text, "g.yaml")
    assert [str(problem) for problem in tree.problems] == messages
    assert tree.complete is complete


def test_positions_of_keys_and_values():
    root = compose("a:\n  - b: 1\n    c: [2,\n      3]\n", "g.yaml").root
    listed = root.step("a")
    assert listed is not None
    assert (str(root.keys["a"]), str(listed.position)) == ("g.yaml:1:1", "g.yaml:2:3")
    inner = listed.step(0)
    assert inner is not None
    assert str(inner.keys["c"]) == "g.yaml:3:5"
    numbers = inner.step("c")
    assert numbers is not None
    assert [str(number.position) for number in numbers.value if number is not None] == ["g.yaml:3:9", "g.yaml:4:7"]  # type: ignore[union-attr]


def test_variables_are_kept_apart_from_what_is_written():
    def expand(text: str) -> tuple[str, tuple[str, ...]]:
        if "MISSING" in text:
            raise LookupError("no")
        return text.replace("$A", "1").replace("$E", ""), ("A",)

    tree = compose("a: $A\nb: '$A'\nc: $E\nd: '$E'\ne: $MISSING\n$A: key", "g.yaml", expand)
    assert plain(tree.root) == {"a": "1", "b": "1", "c": None, "d": "", "e": None, "$A": "key"}
    assert [str(problem) for problem in tree.problems] == ["g.yaml:5:4: error: no"]
    assert tree.root.value["a"].variables == ("A",)  # type: ignore[index,union-attr,call-overload]
