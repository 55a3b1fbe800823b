"""What it would take to say all that is wrong with a value.

Whether a value is valid is found in microseconds; a list of failures is made whole, one for each value and each
alternative it was held to, before the first can be looked at. A sender must not choose how long that takes.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote

MOST: Final = 10_000
"""Failures that may be made at worst for one answer: some 0.1 s."""
_DEEPEST: Final = 40
_ALTERNATIVES: Final = ("anyOf", "oneOf")
_DEFINITIONS: Final = ("$defs", "definitions", "components")


def alternatives(schema: Any) -> int:
    """How many alternatives one value may be held to at worst, those within alternatives multiplied."""
    return _within(schema, schema, frozenset(), {}, 0)


def explainable(value: Any, fan: int) -> bool:
    """Whether the failures of a value may be listed, held to a schema with so many `alternatives`."""
    left = MOST // max(fan, 1)
    rest = [value]
    while rest:
        left -= 1
        if left < 0:
            return False
        inner = rest.pop()
        if isinstance(inner, dict):
            if len(inner) > left:
                return False
            rest.extend(inner.values())
        elif isinstance(inner, list):
            if len(inner) > left:
                return False
            rest.extend(inner)
    return True


def _within(schema: Any, root: Any, passing: frozenset[str], known: dict[str | int, int], depth: int) -> int:
    if depth > _DEEPEST:
        return 1
    if isinstance(schema, list):
        return max((_within(each, root, passing, known, depth + 1) for each in schema), default=1)
    if not isinstance(schema, dict):
        return 1
    if id(schema) in known:  # of documents, large ones, that share parts
        return known[id(schema)]
    most = 1
    for name, inner in schema.items():
        if name in _DEFINITIONS:
            continue
        if name in _ALTERNATIVES and isinstance(inner, list):
            found = sum(_within(each, root, passing, known, depth + 1) for each in inner)
        elif name == "$ref" and isinstance(inner, str):
            found = _referred(inner, root, passing, known, depth)
        else:
            found = _within(inner, root, passing, known, depth + 1)
        most = max(most, min(found, MOST))
    known[id(schema)] = most
    return most


def _referred(reference: str, root: Any, passing: frozenset[str], known: dict[str | int, int], depth: int) -> int:
    if reference in passing or not reference.startswith("#"):
        return 1
    if reference not in known:
        found = root
        for token in reference[1:].split("/")[1:]:
            name = unquote(token).replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, dict) else None
        known[reference] = _within(found, root, passing | {reference}, known, depth + 1)
    return known[reference]
