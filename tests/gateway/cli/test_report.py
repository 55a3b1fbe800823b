"""How problems are shown, and what is not."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.report import coloured, excerpt, report
from gateway.plugin.tree import Position, Problem, Severity


@pytest.mark.parametrize(
    ("text", "line", "column", "shown"),
    [
        pytest.param("a: 1\nbee: 2\n", 2, 6, "     2 | bee: 2\n       |      ^", id="the line and the column"),
        pytest.param("\tx\n", 1, 2, "     1 | \tx\n       | \t^", id="a tab stays one above and below"),
        pytest.param("a: 1\n", 9, 1, None, id="no such line"),
        pytest.param("a: 1\n", 1, 40, None, id="no such column"),
        pytest.param("\n", 1, 1, None, id="an empty line"),
        pytest.param("token: abc\n", 1, 8, None, id="a key that names a secret"),
        pytest.param("api_key: abc\n", 1, 10, None, id="a key that names a key"),
        pytest.param("url: redis://me:pw@host/0\n", 1, 6, None, id="a URL with a password"),
        pytest.param("secrets:\n  - 12\n", 2, 5, None, id="an item below such a key"),
        pytest.param("secrets:\n- 12\n", 2, 3, None, id="an item as deep as such a key"),
        pytest.param("passwords:\n  a:\n    b: 1\n", 3, 8, None, id="two levels below such a key"),
        pytest.param("secrets:\n  - 12\nb: 1\n", 3, 4, "     3 | b: 1\n       |    ^", id="after it is over"),
    ],
)
def test_excerpt(tmp_path: Path, text: str, line: int, column: int, shown: str | None):
    file = tmp_path / "f.yaml"
    file.write_text(text)
    assert excerpt(Position(str(file), line, column)) == shown


def test_a_long_line_is_cut_around_the_column(tmp_path: Path):
    file = tmp_path / "f.yaml"
    file.write_text("a" * 5000 + "!" + "b" * 5000)
    first, second = (excerpt(Position(str(file), 1, 5001)) or "").split("\n")
    assert len(first) < 200
    assert first[second.index("^")] == "!"


def test_a_file_that_is_gone_shows_nothing(tmp_path: Path):
    assert excerpt(Position(str(tmp_path / "gone"), 1, 1)) is None
    assert excerpt(Position(str(tmp_path), 1, 1)) is None


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "terminal", "colour"),
    [
        pytest.param({}, True, True, id="on a terminal"),
        pytest.param({}, False, False, id="not into a file"),
        pytest.param({"NO_COLOR": "1"}, True, False, id="not against NO_COLOR"),
        pytest.param({"NO_COLOR": ""}, True, True, id="an empty NO_COLOR says nothing"),
        pytest.param({"TERM": "dumb"}, True, False, id="not on a dumb terminal"),
    ],
)
def test_colour(monkeypatch: Any, variables: dict[str, str], terminal: bool, colour: bool):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stream = Terminal() if terminal else io.StringIO()
    assert coloured(stream) is colour
    report([Problem(Position("f", 1, 1), "a.b", "wrong", severity=Severity.WARNING)], stream)
    assert ("\x1b[33m" in stream.getvalue()) is colour


def test_only_named_files_are_quoted(tmp_path: Path):
    """What ``{file: …}`` names holds keys as a rule."""
    main, keys = tmp_path / "gateway.yaml", tmp_path / "list.yaml"
    main.write_text("visible: 1\n")
    keys.write_text("sk_live_123: {id: x}\n")
    stream = io.StringIO()
    problems = [Problem(Position(str(file), 1, 1), "", "wrong") for file in (main, keys)]
    report(problems, stream, files=[main])
    assert "visible" in stream.getvalue()
    assert "sk_live" not in stream.getvalue()


def test_control_characters_do_not_reach_a_terminal(tmp_path: Path):
    file = tmp_path / "f.yaml"
    file.write_text("a: \x1b[2Jx\n")
    stream = Terminal()
    report([Problem(Position(str(file), 1, 4), "", "got '\x07'")], stream, files=[file])
    assert "\x1b[2J" not in stream.getvalue()
    assert "\x07" not in stream.getvalue()
