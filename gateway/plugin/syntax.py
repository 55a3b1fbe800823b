"""What keeps a text from being YAML, in words for whoever wrote it: where to look, and what to write instead.

A parser says what it had hoped to find, in terms of its grammar and mostly one line too late. The usual mistakes are
few, so they are told by the lines around.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

_KEY: Final = re.compile(r"\s*(?:- +)?[^\s#'\"\[{][^#]*?:(?:\s|$)")
_START: Final = re.compile(r"found character '(.)' that cannot start any token")
_WANTED: Final = re.compile(r"expected ',' or '(.)', but got '(.*)'", re.DOTALL)

Told = tuple[int, int, str]
"""Line and column, from 1, and a sentence."""


def explain(error: Any, text: str) -> Told | None:
    """What ``error``, one of ruamel.yaml's with marks, is about; None if it is about nothing that has a place."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return None
    lines = text.splitlines() or [""]
    line, column = min(mark.line, len(lines) - 1), mark.column
    begun = error.context_mark or mark
    problem, context = str(error.problem or ""), str(error.context or "")
    return (
        _tab(lines, line)
        or _flow(problem, lines, line, column, begun)
        or _unclosed(problem, context, begun)
        or _colon(problem, lines, line, column, begun)
        or _indentation(problem, lines, line, begun)
        or _character(problem, context, mark)
        or (mark.line + 1, mark.column + 1, "not YAML: " + " ".join(part for part in (context, problem) if part))
    )


def _tab(lines: Sequence[str], line: int) -> Told | None:
    indentation = lines[line][: _indent(lines[line])]
    if "\t" not in indentation:
        return None
    return line + 1, indentation.index("\t") + 1, "a tab in the indentation: YAML indents by spaces"


def _flow(problem: str, lines: Sequence[str], line: int, column: int, begun: Any) -> Told | None:
    found = _WANTED.search(problem)
    if found is None:
        return None
    close, got = found[1], found[2]
    opened = "[" if close == "]" else "{"
    if got == "<stream end>":
        return begun.line + 1, begun.column + 1, f"{opened} is opened here and not closed"
    if got == "{" and lines[line][max(0, column - 1) : column] == "$":
        return line + 1, column, f'within {opened} {close} a variable stands in quotes: "${{NAME}}"'
    if got == ":" and begun.line < line:
        return begun.line + 1, begun.column + 1, f"{opened} is opened here and not closed before line {line + 1}"
    if got == ":":
        return (
            line + 1,
            column + 1,
            f"a second `: ` before the next comma or {close}: a value with a colon stands in quotes",
        )
    return line + 1, column + 1, f"expected a comma or {close} here, for the {opened} in line {begun.line + 1}"


def _unclosed(problem: str, context: str, begun: Any) -> Told | None:
    if "quoted scalar" not in context or "unexpected end of stream" not in problem:
        return None
    return begun.line + 1, begun.column + 1, "a quote is opened here and not closed"


def _colon(problem: str, lines: Sequence[str], line: int, column: int, begun: Any) -> Told | None:
    if "could not find expected ':'" in problem:
        at = min(begun.line, len(lines) - 1)
        return at + 1, begun.column + 1, "expected `key: value`, or `- item` of a list; there is no `: ` in this line"
    if "mapping values are not allowed" not in problem:
        return None
    above = _above(lines, line)
    here = _indent(lines[line])
    if _KEY.match(lines[line][:column]):  # a key came before this colon
        return line + 1, column + 1, "a second `: ` in one line: a value with a colon in it stands in quotes"
    if above is None:
        return None
    if not _KEY.match(lines[above]):
        return above + 1, _indent(lines[above]) + 1, "expected `key: value`; there is no `: ` in this line"
    told = f"indented by {here} spaces, and line {above + 1}, which has its value, by {_indent(lines[above])}: "
    return line + 1, here + 1, told + "the keys of one mapping begin in one column"


def _indentation(problem: str, lines: Sequence[str], line: int, begun: Any) -> Told | None:
    if "expected <block end>" not in problem:
        return None
    here = _indent(lines[line])
    item = lines[line][here : here + 2] in ("- ", "-")
    block = "list" if lines[min(begun.line, len(lines) - 1)][begun.column : begun.column + 1] == "-" else "mapping"
    if block == "list" and here == begun.column and not item:
        told = f"expected `- ` here, as of the other items of the list that begins in line {begun.line + 1}"
    else:
        told = f"indented by {here} spaces, which fits no line above: the {block} that begins in line {begun.line + 1} "
        told += f"is indented by {begun.column}"
    return line + 1, here + 1, told


def _character(problem: str, context: str, mark: Any) -> Told | None:
    found = _START.search(problem)
    if found is not None:
        return mark.line + 1, mark.column + 1, f"a value that begins with {found[1]} stands in quotes"
    if "scanning an alias" in context or "scanning an anchor" in context:
        sign = "*" if "alias" in context else "&"
        return mark.line + 1, max(1, mark.column), f"a value that begins with {sign} stands in quotes"
    return None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _above(lines: Sequence[str], line: int) -> int | None:
    """The nearest line above that is neither empty nor a comment."""
    for at in range(line - 1, -1, -1):
        if lines[at].strip() and not lines[at].lstrip().startswith("#"):
            return at
    return None
