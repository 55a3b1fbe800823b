"""``Cache-Control`` and its targeted kin, read (RFC 9111 §5.2, RFC 9213): pure functions over field lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import http_sf

FOREVER: Final = 2**31
"""Seconds that a larger number, or one that overflows, counts as (RFC 9111 §1.2.2)."""
LONGEST: Final = 8192
"""Characters of one field that are read; what is longer says what its beginning says."""

Directives = Mapping[str, str | None]
"""Name in lower case → argument, None without one. Of a directive given twice the first counts (RFC 9111 §4.2.1)."""

NONE: Final[Directives] = MappingProxyType({})
FORBIDDING: Final = frozenset({"no-store", "no-cache", "private"})
_FIELD: Final = re.compile(r"[!#$%&*+.^_`|~0-9a-z-]+")
"""A field's name, without the apostrophe that RFC 9110 §5.6.2 allows and only mistakes have."""


def parse_directives(lines: Sequence[str]) -> Directives:
    """The directives of a field's lines."""
    if not lines:
        return NONE
    return _parse(lines[0] if len(lines) == 1 else ", ".join(lines))


@lru_cache(maxsize=2048)
def _parse(text: str) -> Directives:
    found: dict[str, str | None] = {}
    for item in split_list(text[:LONGEST]):
        name, equals, value = item.partition("=")
        # Blanks around the sign are no syntax, yet what forbids must not be lost by them: `number` refuses the value.
        key = name.strip().lower()
        if not key:
            continue
        argument = _unquoted(value) if equals else None
        if equals and (name != name.rstrip() or value != value.lstrip()):
            argument = "?"
        if key not in found:
            found[key] = argument
        elif key in ("no-cache", "private") and argument is None:
            found[key] = None  # without field names it forbids more
        if (forbids := key.partition(";")[0]) in FORBIDDING and forbids != key:
            found[forbids] = None
    if text.count('"') % 2:  # a quote that is never closed must not hide what forbids
        words = {part.partition("=")[0].strip(' \t"').lower() for part in text.split(",")}
        found.update(dict.fromkeys(FORBIDDING & words))
    return MappingProxyType(found)


def split_list(text: str) -> list[str]:
    """A list's members (RFC 9110 §5.6.1): commas within quotes part nothing, empty members are none."""
    if '"' not in text:
        return [item for part in text.split(",") if (item := part.strip(" \t"))]
    members: list[str] = []
    start, quoted, escaped = 0, False, False
    for index, char in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            members.append(text[start:index])
            start = index + 1
    members.append(text[start:])
    return [item for part in members if (item := part.strip(" \t"))]


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        inner = value[1:-1]
        if "\\" not in inner:
            return inner
        out, escaped = [], False
        for char in inner:
            if char == "\\" and not escaped:
                escaped = True
                continue
            escaped = False
            out.append(char)
        return "".join(out)
    return value


def number(directives: Directives, name: str) -> int | None:
    """A directive's delta-seconds; None if it is not there, 0 if it cannot be read: stale is safe (RFC 9111 §4.2.1)."""
    if name not in directives:
        return None
    value = directives[name]
    if value is None or not (value.isascii() and value.isdigit()):
        return 0
    return FOREVER if len(value) > 10 else min(int(value), FOREVER)


def fields_of(directives: Directives, name: str) -> frozenset[str] | None:
    """The field names, in lower case, that ``no-cache="…"`` or ``private="…"`` names; None if it names none."""
    value = directives.get(name)
    if not value or value == "?":
        return None
    names = frozenset(part.strip().lower() for part in value.split(",")) - {""}
    # What is no list of names is not guessed at: then it is about the whole answer.
    return names if names and all(_FIELD.fullmatch(name) for name in names) else None


def delta_seconds(lines: Iterable[str]) -> int:
    """``Age``: the first member of the first line, 0 if it is none (RFC 9111 §5.1)."""
    for line in lines:
        first = line.split(",")[0].strip()
        if first.isascii() and first.isdigit():
            return FOREVER if len(first) > 10 else min(int(first), FOREVER)
        return 0
    return 0


def targeted(lines: Sequence[str]) -> Directives | None:
    """A targeted field, a Dictionary of RFC 9651 (RFC 9213 §2.1); None if it is absent, empty or cannot be read."""
    if not lines:
        return None
    return _targeted(", ".join(lines))


@lru_cache(maxsize=1024)
def _targeted(text: str) -> Directives | None:
    try:
        members: Any = http_sf.parse(text.encode("ascii"), tltype="dictionary")
    except (ValueError, UnicodeError, http_sf.StructuredFieldError):
        return None
    found: dict[str, str | None] = {}
    for name, (value, _parameters) in members.items():
        if value is True:
            found[name] = None
        elif isinstance(value, bool):
            continue  # ?0: said to be off
        elif isinstance(value, int):
            found[name] = str(value)
        else:
            found[name] = value if isinstance(value, str) and name in ("no-cache", "private") else "?"
    return MappingProxyType(found) if members else None
