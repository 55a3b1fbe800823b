"""A path pattern, compiled: what it needs to be looked up in a tree of segments, or matched by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final

from gateway.config.routing import PathMatch
from gateway.errors import UriTooLong
from gateway.http.path import PathPolicy, comparable, normalize

LONGEST_TRIED: Final = 2048
"""Characters of a path or value that a regular expression is tried on; Python's take more than linear time for some."""

_KEEP: Final = PathPolicy(encoded_slash=True, path_parameters=True)
_PARAMETER: Final = re.compile(r"\{(\w+)(\.\.\.)?\}", re.ASCII)


class Step(IntEnum):
    """What a pattern says at one segment, most specific first; `Pattern.steps` compare as tuples."""

    LITERAL = 0
    END = 0
    PARAMETER = 1
    REGEX = 2
    PREFIX = 3


class Pattern:
    """One path pattern of a route.

    ``exact`` is set for a literal path, ``regex`` for an expression; ``segments`` holds the literals (None: a
    parameter) that lead to the pattern's place in the tree; ``steps`` its precedence.
    """

    __slots__ = ("exact", "names", "regex", "rest", "segments", "steps", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.exact: str | None = None
        self.regex: re.Pattern[str] | None = None
        self.segments: tuple[str | None, ...] = ()
        self.names: tuple[tuple[str, int], ...] = ()
        """Parameters and the number of their segment in ``path.split("/")``."""
        self.rest: tuple[str, int] | None = None
        self.steps: tuple[int, ...] = ()

    @property
    def is_prefix(self) -> bool:
        return bool(self.steps) and self.steps[-1] == Step.PREFIX

    def matches(self, key: str) -> bool:
        """Whether a comparable path matches; the slow way, for `explain`. Raises UriTooLong."""
        if self.exact is not None:
            return key == self.exact
        if self.regex is not None:
            return tried(self.regex, key) is not None
        parts = key.split("/")[1:]
        if len(parts) < len(self.segments) or (not self.is_prefix and len(parts) > len(self.segments)):
            return False
        return all(
            part == segment if segment is not None else bool(part)
            for part, segment in zip(parts, self.segments, strict=False)
        )

    def parameters(self, segments: Sequence[str]) -> dict[str, str]:
        """Values in ``path.split("/")`` of a path that matches, percent-encoded as the client sent them."""
        values = {name: segments[number] for name, number in self.names}
        if self.rest is not None:
            values[self.rest[0]] = "/".join(segments[self.rest[1] :])
        return values

    def groups(self, key: str) -> dict[str, str]:
        """Values of a regular expression's named groups; empty for one that took no part."""
        found = self.regex.fullmatch(key) if self.regex is not None else None
        return {name: value or "" for name, value in found.groupdict().items()} if found else {}


def tried(regex: re.Pattern[str], path: str) -> re.Match[str] | None:
    """Match the whole path. Raises UriTooLong: to go on to the next route would leave this one's plugins out."""
    if len(path) > LONGEST_TRIED:
        raise UriTooLong(reason="a path longer than a regular expression is tried on")
    return regex.fullmatch(path)


def fold(key: str, ignore_case: bool) -> str:
    return key.lower() if ignore_case else key


def everything() -> Pattern:
    """The pattern of a route that says nothing of the path: the prefix ``/``."""
    pattern = Pattern("/")
    pattern.steps = (Step.PREFIX,)
    return pattern


def compile_path(path: PathMatch, *, ignore_case: bool = False) -> Pattern:
    """One path pattern as configured. Raises MalformedPath for text that `PathMatch` would not accept."""
    pattern = Pattern(path.text)
    if path.kind == "regex":
        pattern.regex = re.compile(path.text, re.IGNORECASE if ignore_case else 0)
        pattern.segments = tuple(fold(part, ignore_case) for part in literal_start(path.text))
        pattern.steps = (*_steps(pattern.segments), Step.REGEX)
    elif path.kind == "exact" or (path.kind == "template" and "{" not in path.text):
        pattern.exact = fold(comparable(normalize(path.text, _KEEP)), ignore_case)
    else:
        _compile_segments(pattern, path, ignore_case)
    return pattern


def path_test(path: PathMatch, *, ignore_case: bool = False) -> Callable[[str], bool]:
    """Whether a path in normal form matches, for a `when` or whatever else asks about paths beside the route table.

    Compares as the table does, so that no other spelling (``%3A`` for ``:``) walks around it. May raise UriTooLong.
    """
    pattern = compile_path(path, ignore_case=ignore_case)
    if pattern.exact is None and (pattern.regex is not None or pattern.names or not pattern.is_prefix):
        return lambda text: pattern.matches(fold(comparable(text), ignore_case))
    if pattern.exact is not None:
        wanted = pattern.exact
        return lambda text: fold(comparable(text), ignore_case) == wanted
    prefix = "/".join(("", *(segment or "" for segment in pattern.segments)))

    def begins(text: str) -> bool:
        key = fold(comparable(text), ignore_case)
        return key == prefix or key.startswith(prefix + "/")

    return begins


def _compile_segments(pattern: Pattern, path: PathMatch, ignore_case: bool) -> None:
    parts = path.text.split("/")
    if path.kind == "prefix" and parts[-1] == "":
        parts.pop()
    segments: list[str | None] = []
    names: list[tuple[str, int]] = []
    last: Step = Step.PREFIX if path.kind == "prefix" else Step.END
    for number, part in enumerate(parts[1:], start=1):
        found = _PARAMETER.fullmatch(part)
        if found is None:
            segments.append(fold(comparable(normalize("/" + part, _KEEP))[1:], ignore_case))
        elif found[2]:
            pattern.rest = (found[1], number)
            last = Step.PREFIX
        else:
            names.append((found[1], number))
            segments.append(None)
    pattern.segments, pattern.names = tuple(segments), tuple(names)
    pattern.steps = (*_steps(segments), last)


def _steps(segments: Sequence[str | None]) -> tuple[int, ...]:
    return tuple(Step.PARAMETER if segment is None else Step.LITERAL for segment in segments)


def literal_start(regex: str) -> list[str]:
    """The whole segments that every match of a regular expression begins with; none when in doubt.

    ``/api/v[0-9]+/.*`` → ``["api"]``. An alternative or an option anywhere makes it none.
    """
    if "|" in regex or "(?" in regex.replace("(?P<", "").replace("(?:", "") or not regex.startswith("/"):
        return []
    literal = ""
    for position, character in enumerate(regex):
        if character in r".^$*+?{}[]\()":
            if character in "*?{+" and position:
                literal = literal[:-1]
            break
        literal += character
    return literal.split("/")[1:-1]
