"""Validation errors in the operator's words."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from gateway.config.wording import find, path_text, place, problems, suggest
from gateway.plugin.document import Reading, plain
from gateway.plugin.settings import Count, Duration, Settings
from gateway.plugin.yaml import compose


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("routes", 0, "match"), "routes[0].match"),
        (("upstreams", "a-b_c", "targets", 1), "upstreams.a-b_c.targets[1]"),
        (("headers", "X Y", "z"), "headers['X Y'].z"),
        ((0, "a"), "[0].a"),
    ],
)
def test_path_text(path: tuple[Any, ...], text: str):
    assert path_text(path) == text


@pytest.mark.parametrize(
    ("wrong", "known", "hint"),
    [
        ("tagrets", ["targets", "timeout"], "did you mean 'targets'?"),
        ("time-out", ["time_out", "x"], "did you mean 'time_out'?"),
        ("zzz", ["targets"], ""),
        ("x" * 100_000, ["targets"], ""),
        ("a", [], ""),
    ],
)
def test_suggest(wrong: str, known: list[str], hint: str):
    assert suggest(wrong, known) == hint


class Part(Settings):
    text: str = ""
    number: Count = 0


class Whole(Settings):
    part: Part = Part()
    parts: tuple[Part, ...] = Field(default=(), max_length=2)
    mixed: int | Literal["auto"] = 1
    ratio: float = 1
    switch: bool = False
    word: Literal["one", "two"] = "one"
    names: dict[Annotated[str, Field(pattern="^/")], int] = Field(default={})
    wait: Annotated[Duration, Field(ge=0.5, le=7200)] = 1.0
    letters: Annotated[str, Field(min_length=2, max_length=3, pattern="^[a-z]+$")] = "ab"
    either: Part | tuple[Part, ...] = Part()


def told(text: str, model: type[BaseModel] = Whole) -> list[str]:
    root = compose(text, "g").root
    reading = Reading(root.directory)
    raw = plain(root, reading)
    with pytest.raises(ValidationError) as caught:
        model.model_validate(raw, context=reading)
    return [
        str(problem).removeprefix("g:").replace("error: ", "") for problem in problems(caught.value, root, raw, reading)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("part: 3", ["1:7: part: expected a mapping, got the number 3"], id="a number for a mapping"),
        pytest.param("part: ", ["1:7: part: expected a mapping, got nothing"], id="nothing for a mapping"),
        pytest.param("part: [1]", ["1:1: part: expected a mapping, got a list"], id="a list for a mapping"),
        pytest.param("parts: {}", ["1:1: parts: expected a list, got a mapping"], id="a mapping for a list"),
        pytest.param("parts: [{}, {}, {}]", ["1:1: parts: expected at most 2"], id="too many"),
        pytest.param("part: {text: 1}", ["1:14: part.text: expected text, got the number 1"], id="a number for text"),
        pytest.param(
            "part: {number: 1.5}",
            ["1:16: part.number: expected a whole number, got the number 1.5"],
            id="a part of a number",
        ),
        pytest.param(
            "part: {number: x}", ["1:16: part.number: expected a whole number, got 'x'"], id="text for a number"
        ),
        pytest.param("ratio: x", ["1:8: ratio: expected a number, got 'x'"], id="text for a ratio"),
        pytest.param(
            "ratio: 1e999", ["1:8: ratio: expected a finite number, got the number inf"], id="a number beyond all"
        ),
        pytest.param(
            "switch: maybe", ["1:9: switch: expected true or false, got 'maybe'"], id="neither true nor false"
        ),
        pytest.param(
            "word: twoo", ["1:7: word: expected 'one' or 'two', got 'twoo' (did you mean 'two'?)"], id="no such word"
        ),
        pytest.param("mixed: x", ["1:8: mixed: expected a whole number or 'auto', got 'x'"], id="neither of a union"),
        pytest.param(
            "names: {a: 1, /b: x}",
            [
                "1:9: names.a: as a key, expected a path that begins with /",
                "1:19: names['/b']: expected a whole number, got 'x'",
            ],
            id="keys and values",
        ),
        pytest.param("wait: 100ms", ["1:7: wait: expected at least 500ms, got '100ms'"], id="a bound in its unit"),
        pytest.param("wait: 3h", ["1:7: wait: expected at most 2h, got '3h'"], id="an upper bound in its unit"),
        pytest.param("letters: a", ["1:10: letters: expected at least 2 characters, got 'a'"], id="too short"),
        pytest.param(
            "letters: AB", ["1:10: letters: expected text that matches ^[a-z]+$, got 'AB'"], id="another pattern"
        ),
        pytest.param(
            f"word: {'x' * 61}",
            ["1:7: word: expected 'one' or 'two', got 61 characters"],
            id="a long text is not repeated",
        ),
        pytest.param(
            "either: {text: 1}",
            ["1:16: either.text: expected text, got the number 1"],
            id="the branch that got further speaks",
        ),
        pytest.param(
            "part: {txt: a}\nparts: [{nmber: 1}]",
            [
                "1:8: part.txt: unknown key 'txt' (did you mean 'text'?)",
                "2:10: parts[0].nmber: unknown key 'nmber' (did you mean 'number'?)",
            ],
            id="unknown keys of different models",
        ),
        pytest.param(
            "word: http://u:pw@h", ["1:7: word: expected 'one' or 'two', got 'http://***@h'"], id="a password in a URL"
        ),
    ],
)
def test_told(text: str, expected: list[str]):
    assert told(text) == expected


class Secretive(Settings):
    token: int = 0
    client_secret: int = 0
    keys: int = 0
    monkey: int = 0


def test_under_a_name_that_sounds_secret_no_text_is_shown():
    found = told("{token: hunter2, client_secret: hunter2, keys: hunter2}", Secretive)
    assert [line.split(": ", 1)[1].split(": ", 1)[1] for line in found] == ["expected a whole number, got text"] * 3


def test_find_leaves_out_what_the_file_does_not_have():
    root = compose("a: {b: [1, 2]}", "g").root
    path, node, parent = find(root, ("a", "tag", "b", 1, 0))
    assert (path, node.value) == (("a", "b", 1), 2)
    assert parent is root.step("a").step("b")


@pytest.mark.parametrize(
    ("path", "of_key", "position"),
    [
        (("a", "b", 1), False, "g:2:10"),
        (("a", "b"), False, "g:2:3"),
        (("a", "c"), False, "g:3:6"),
        (("a", "c"), True, "g:3:3"),
        (("a", "missing"), False, "g:1:1"),
        ((), False, "g:1:1"),
    ],
)
def test_place(path: tuple[Any, ...], of_key: bool, position: str):
    root = compose("a:\n  b: [1, 2]\n  c: 3", "g").root
    assert str(place(root, path, of_key=of_key)) == position
