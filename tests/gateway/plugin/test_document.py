"""Files that a configuration is made of, or names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic_core import PydanticCustomError

from gateway.plugin.document import FileReference, Reading, parse, plain, read_bytes, read_limited


def test_a_file_that_is_no_text_says_where():
    tree = parse(b"a: 1\nb: \xff", "g.yaml")
    assert [str(problem) for problem in tree.problems] == ["g.yaml:2:4: error: not UTF-8 text"]
    assert not tree.complete


def test_a_byte_order_mark_is_no_content():
    assert plain(parse(b"\xef\xbb\xbfa: 1", "g.yaml").root) == {"a": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b'{"a": [1, }', "d.json:1:11: error: not JSON: Expecting value", id="no JSON"),
        pytest.param(b"[" * 100_000, "d.json:1:1: error: not JSON that can be read: ", id="nested too deep"),
        pytest.param(b"9" * 5000, "d.json:1:1: error: not JSON that can be read: ", id="a number of too many digits"),
    ],
)
def test_json_that_cannot_be_read(content: bytes, message: str):
    tree = parse(content, "d.json")
    assert str(tree.problems[0]).startswith(message)
    assert not tree.complete


def test_json_knows_its_file():
    root = parse(b'{"a": [{"b": 1}]}', "d.json").root
    assert plain(root) == {"a": [{"b": 1}]}
    assert str(root.step("a").position) == "d.json:1:1"  # type: ignore[union-attr]


def test_a_limit_on_what_is_read(tmp_path: Path):
    (tmp_path / "f").write_bytes(b"12345")
    assert read_limited(tmp_path / "f", 5) == b"12345"
    with pytest.raises(ValueError, match="larger than 4 bytes"):
        read_limited(tmp_path / "f", 4)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("no", "No such file or directory", id="not there"),
        pytest.param(".", "Is a directory", id="a directory"),
        pytest.param("a\0b", "embedded null byte", id="no path"),
        pytest.param("pipe", "not a regular file", id="a pipe that nobody writes to"),
        pytest.param("large", "larger than 3 bytes", id="too large"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, name: str, reason: str):
    (tmp_path / "large").write_bytes(b"1234")
    os.mkfifo(tmp_path / "pipe")
    reading = Reading(tmp_path)
    with pytest.raises(PydanticCustomError, match=reason):
        read_bytes(FileReference({"file": name}, tmp_path), reading, 3)
    assert reading.files == {}


def test_a_mapping_of_the_one_key_file_refers_to_a_file_beside_its_own():
    root = parse(b"a: {file: x}\nb: {file: x, c: 1}\nc: {file: [x]}", "/etc/g.yaml").root
    values = plain(root)
    assert isinstance(values["a"], FileReference)
    assert values["a"].path == Path("/etc/x")
    assert values["a"] == {"file": "x"}
    assert type(values["b"]) is type(values["c"]) is dict


def test_only_texts_from_elsewhere_are_noted():
    root = parse(b"a: text\nb: 1", "/etc/g.yaml").root
    reading = Reading(Path("/etc"))
    plain(root, reading)
    assert reading.placed == {}
    other = Reading(Path("/srv"))
    plain(root, other)
    assert list(other.placed.values()) == [("text", Path("/etc"))]
