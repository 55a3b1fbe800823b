"""`Prefer` (RFC 7240): whether and how a client would have its answer later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_LONGEST: Final = 6
"""Digits of ``wait``."""


@dataclass(frozen=True, slots=True)
class Preference:
    """What a request prefers."""

    respond_async: bool = False
    wait: float | None = None
    """Seconds; None if it does not say, or not so that it can be understood."""
    others: str = ""
    """The preferences that are not met here, as they were written."""


def preference_of(lines: Sequence[str]) -> Preference:
    """What the field's lines say. Of one that stands twice the first counts (§2)."""
    asked, wait, waits, others = False, None, False, []
    for part in _parts(lines):
        name, _, value = part.partition(";")[0].partition("=")
        match name.strip().lower():
            case "respond-async":
                asked = True
            case "wait":
                if not waits:
                    wait, waits = _seconds(value), True
            case "":
                pass
            case _:
                others.append(part)
    return Preference(asked, wait, ", ".join(others))


def _parts(lines: Sequence[str]) -> list[str]:
    """Between commas, but not those within quotes."""
    parts, begin, quoted = [], 0, False
    text = ",".join(lines)
    position = 0
    while position < len(text):
        sign = text[position]
        if quoted and sign == "\\":
            position += 1
        elif sign == '"':
            quoted = not quoted
        elif sign == "," and not quoted:
            parts.append(text[begin:position].strip())
            begin = position + 1
        position += 1
    return [*parts, text[begin:].strip()]


def _seconds(value: str) -> float | None:
    text = value.strip().strip('"')
    return float(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST else None
