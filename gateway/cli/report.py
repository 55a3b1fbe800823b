"""How problems look: ``file:line:column: error: path: what``, the line itself, and a caret below it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final, TextIO

from gateway.plugin.tree import Position, Problem, Severity

_LONGEST_LINE: Final = 160
"""Characters of a source line that are shown."""
_LARGEST_FILE: Final = 8 * 1024 * 1024
"""Bytes of a file of which lines are shown: what the loader reads."""
_SECRET: Final = re.compile(
    r"secret|passw|token|credential|private|keys?\b|authorization|bearer|basic|cookie|://[^/\s]*@", re.IGNORECASE
)
"""A line with one of these, or below one, may hold a secret, and reports end in the logs of build servers."""
_RED, _YELLOW, _BOLD, _DIM, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[1m", "\x1b[2m", "\x1b[0m"


def coloured(stream: TextIO) -> bool:
    """Whether colour is right: a terminal, and nobody who objects (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def report(problems: Iterable[Problem], stream: TextIO, *, files: Iterable[Path] = ()) -> None:
    """Print problems, with the lines they are about where these stand in one of ``files``.

    Other files, those named by ``{file: …}``, hold keys and passwords as a rule: their lines are never shown.
    """
    shown = {str(file) for file in files}
    colour = coloured(stream)
    for problem in problems:
        text = _painted(problem) if colour else str(problem)
        print(_printable(text, colour=colour), file=stream)
        line = excerpt(problem.position) if problem.position.file in shown else None
        if line is not None:
            line = _printable(line, colour=False)
            print(f"{_DIM}{line}{_PLAIN}" if colour else line, file=stream)


def _painted(problem: Problem) -> str:
    text = str(problem)
    head, found, rest = text.partition(f": {problem.severity}: ")
    paint = _RED if problem.severity is Severity.ERROR else _YELLOW
    return f"{_BOLD}{head}:{_PLAIN} {paint}{problem.severity}:{_PLAIN} {rest}" if found else text


def excerpt(position: Position) -> str | None:
    """The line of a position with a caret below the column; None if there is none, or none that may be shown."""
    lines = _lines(position.file)
    if not 0 < position.line <= len(lines):
        return None
    line = lines[position.line - 1].rstrip()
    at = position.column - 1
    if not line or at > len(line) or any(_SECRET.search(each) for each in _around(lines, position.line - 1)):
        return None
    begin = max(0, at - _LONGEST_LINE // 2) if len(line) > _LONGEST_LINE else 0
    line = line[begin : begin + _LONGEST_LINE]
    lead = "".join("\t" if letter == "\t" else " " for letter in line[: at - begin])
    return f"{position.line:6} | {line}\n{'':6} | {lead}^"


def _around(lines: list[str], index: int) -> Iterable[str]:
    """A line, and those above it that are less indented: the keys under which it stands."""
    yield lines[index]
    depth = _depth(lines[index])
    for line in reversed(lines[:index]):
        if not depth:
            return
        if line.strip() and _depth(line) < depth:
            depth = _depth(line)
            yield line


def _depth(line: str) -> int:
    """Twice the indent; an item of a list is deeper than its key, which may stand as far left."""
    inner = line.lstrip()
    return 2 * (len(line) - len(inner)) + inner.startswith("-")


@cache
def _lines(file: str) -> list[str]:
    try:
        path = Path(file)
        if not path.is_file() or path.stat().st_size > _LARGEST_FILE:
            return []
        # As YAML counts lines: universal newlines, and nothing else that Python takes for the end of one.
        return path.read_text(encoding="utf-8-sig", errors="replace").split("\n")
    except (OSError, ValueError):
        return []


def _printable(text: str, *, colour: bool) -> str:
    """Without control characters, which a file might hold to play tricks on a terminal; our own colours stay."""
    kept = "\n\t\x1b" if colour else "\n\t"
    return "".join(letter if letter.isprintable() or letter in kept else "\N{REPLACEMENT CHARACTER}" for letter in text)
