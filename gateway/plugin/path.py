"""Path patterns in a plugin's settings, written and compared as those of routes.

One that ends in ``/`` is a prefix on a segment boundary, ``{name}`` takes any one segment and ``{name...}`` at the end
all that follow; anything else is this path and no other. Paths are compared by `key_of`, so that no other spelling of
one (``%3A`` for ``:``) walks around a pattern.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator

from gateway.errors import MalformedPath
from gateway.http.path import PathPolicy, comparable, normalize
from gateway.plugin.settings import expected

LONGEST: Final = 2048
"""Characters of a pattern."""

_LAX: Final = PathPolicy(encoded_slash=True, path_parameters=True)
_NAME: Final = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
_REST: Final = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\.\.\.\}")


def key_of(path: str, *, ignore_case: bool = False) -> str:
    """A path in normal form as patterns compare it."""
    key = comparable(path) if "%" in path else path
    return key.lower() if ignore_case else key


class Path:
    """A pattern, compiled."""

    __slots__ = ("_literal", "rest", "segments")

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        """Raises ValueError."""
        parts = _checked(text).split("/")[1:]
        self.rest = parts[-1] == "" or _REST.fullmatch(parts[-1]) is not None
        """Whatever follows the segments matches too, nothing included."""
        if self.rest:
            parts.pop()
        self.segments: tuple[str | None, ...] = tuple(
            None if _NAME.fullmatch(part) else key_of(normalize(f"/{part}", _LAX), ignore_case=ignore_case)[1:]
            for part in parts
        )
        """None takes any one that is not empty."""
        self._literal: str | None = None
        if None not in self.segments:
            self._literal = "".join(f"/{part}" for part in self.segments)

    def matches(self, key: str) -> bool:
        """Whether a path does, given by `key_of`."""
        literal = self._literal
        if literal is not None:
            if not self.rest:
                return key == literal
            return key.startswith(literal) and key[len(literal) : len(literal) + 1] in ("/", "")
        parts = key.split("/")[1:]
        if len(parts) < len(self.segments) or (not self.rest and len(parts) > len(self.segments)):
            return False
        return all(
            part == segment if segment is not None else bool(part)
            for part, segment in zip(parts, self.segments, strict=False)
        )

    def covers(self, other: Path) -> bool:
        """Whether every path that matches ``other`` matches this, too."""
        if not self.rest and (other.rest or len(other.segments) != len(self.segments)):
            return False
        if len(other.segments) < len(self.segments):
            return False
        return all(mine is None or mine == theirs for mine, theirs in zip(self.segments, other.segments, strict=False))


def _checked(text: str) -> str:
    if not text.startswith("/") or len(text) > LONGEST:
        raise expected(f"a path that begins with /, {LONGEST} characters at most")
    parts = text.split("/")
    if _REST.fullmatch(parts[-1]):
        parts[-1] = "x"
    filled = "/".join("x" if _NAME.fullmatch(part) else part for part in parts)
    if "{" in filled or "}" in filled:
        raise expected("{name} as a whole segment, as in /users/{id}, and {name...} at the end only")
    if any(part in ("*", "**") for part in parts):
        raise expected("a path without *: one that ends in / is a prefix, {name} takes one segment, {name...} the rest")
    try:
        normal = normalize(filled, _LAX)
    except MalformedPath as error:
        raise expected(f"a path that can be asked for ({error.reason})") from None
    if normal.count("/") != filled.count("/"):
        raise expected("a path without empty and dot segments: they are removed from requests")
    return text


def _pattern(text: str) -> str:
    Path(text)
    return text


PathPattern = Annotated[str, AfterValidator(_pattern)]
"""A pattern as operators write it."""
