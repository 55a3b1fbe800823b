"""Text with placeholders for what is signed, compiled once to parts that are bytes or give bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from gateway.plugin.settings import expected

_BRACES: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_STEP: Final = re.compile(r"[A-Za-z0-9_$@-]{1,100}")
PLAIN: Final = frozenset(
    {"body", "method", "url", "path", "query", "form_sorted", "body_sha256", "body_crc32", "timestamp", "id", "secret"}
)
"""Placeholders without a name of their own behind a dot."""
NAMED: Final = frozenset({"header", "json", "query", "value"})


class Absent(KeyError):
    """A part that is not in the request; its argument says which."""


def split_path(text: str) -> tuple[str, ...]:
    """The names on the way to a member of a JSON object. Raises ValueError."""
    steps = tuple(text.split("."))
    if len(steps) > 8 or not all(_STEP.fullmatch(step) for step in steps):
        raise expected("names of members joined by dots, such as `signature.token`, eight at most")
    return steps


def _pieces(text: str) -> Iterator[str | tuple[str, str]]:
    """Literal text, and placeholders as kind and name. Raises ValueError."""
    position = 0
    for found in _BRACES.finditer(text):
        yield text[position : found.start()]
        position = found.end()
        if found[1] is None:
            if len(found[0]) == 1:
                raise expected("text in which { and } stand in pairs, {{ and }} for braces of their own")
            yield found[0][0]
            continue
        kind, dot, name = found[1].partition(".")
        if not dot and kind in PLAIN:
            yield kind, ""
        elif kind in NAMED and name:
            if kind == "json":
                split_path(name)
            yield kind, name
        else:
            known = ", ".join(
                [f"{{{each}}}" for each in sorted(PLAIN)] + [f"{{{each}.NAME}}" for each in sorted(NAMED)]
            )
            raise expected(f"placeholders out of {known}")
    yield text[position:]


def placeholders(text: str) -> set[str]:
    """Those that stand in it, as written. Raises ValueError."""
    return {f"{each[0]}.{each[1]}" if each[1] else each[0] for each in _pieces(text) if isinstance(each, tuple)}


class Template:
    """A text, compiled."""

    __slots__ = ("_parts", "text")

    def __init__(self, text: str) -> None:
        """Raises ValueError."""
        self.text = text
        self._parts: list[bytes | tuple[str, str]] = [
            each.encode() if isinstance(each, str) else each for each in _pieces(text) if each != ""
        ]

    @property
    def asks(self) -> list[tuple[str, str]]:
        """The placeholders, as kind and name."""
        return [each for each in self._parts if isinstance(each, tuple)]

    def fill(self, get: Callable[[str, str], bytes]) -> bytes:
        """The bytes that it stands for. Raises what ``get`` raises."""
        return b"".join([part if type(part) is bytes else get(*part) for part in self._parts])
