"""Failures as clients are told them: where, and what was expected there. Never what was sent.

The member names are those of RFC 9457 §3: ``pointer`` (a JSON pointer as a URI fragment), else ``parameter`` and
``in``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from urllib.parse import quote

from gateway.plugin.openapi import escaped

LONGEST: Final = 300
"""Characters of a pointer or detail: keys are the sender's, and enumerations may be long."""
_DEEPEST: Final = 5
"""Alternatives within alternatives that are told of."""

Entry = dict[str, str]


class Findings:
    """What is wrong with a request, up to a number."""

    __slots__ = ("entries", "most")

    def __init__(self, most: int) -> None:
        self.entries: list[Entry] = []
        self.most = most

    @property
    def full(self) -> bool:
        return len(self.entries) >= self.most

    def parameter(self, name: str, place: str, detail: str) -> None:
        """Something is wrong with a parameter."""
        if not self.full:
            self.entries.append({"parameter": name[:LONGEST], "in": place, "detail": detail[:LONGEST]})

    def body(self, detail: str, path: Sequence[str | int] = ()) -> None:
        """Something is wrong in the body."""
        if not self.full:
            entry = {"pointer": pointer(path), "detail": detail[:LONGEST]}
            if entry not in self.entries:
                self.entries.append(entry)

    def schema(self, errors: Iterable[Any] | None, tell: Callable[[str, Sequence[str | int]], None]) -> None:
        """What a validator found; None: it is too much to be listed."""
        if errors is None:
            tell("is not valid, and too large to say where", ())
            return
        for error in errors:
            if self.full:
                return
            for path, detail in told(error):
                tell(detail, path)


def pointer(path: Sequence[str | int]) -> str:
    """A JSON pointer as a URI fragment (RFC 6901 §6)."""
    return "#" + "".join("/" + quote(escaped(str(token)), safe="~!$&'()*+,;=:@?-._") for token in path)[:LONGEST]


def told(error: Any, depth: int = 0) -> list[tuple[list[str | int], str]]:
    """Places and sentences for one failure; an alternative that nearly fits is told in detail."""
    kind, path = error.kind, list(error.instance_path)
    name = kind.name
    if name == "required":
        return [([*path, kind.property], "is required")]
    if name in ("additionalProperties", "unevaluatedProperties"):
        return [([*path, each], "is not a known property") for each in kind.unexpected]
    if name == "falseSchema":
        return [(path, "is not allowed")]
    if name == "propertyNames":
        return [(path, "has a property whose name is not allowed")]
    if name in ("anyOf", "oneOf") and hasattr(kind, "context"):
        branches = kind.context
        nearest = _nearest(branches) if depth < _DEEPEST else None
        if nearest is not None:
            return [each for inner in nearest for each in told(inner, depth + 1)]
    return [(path, _said(name, kind))]


def _nearest(branches: Sequence[Sequence[Any]]) -> Sequence[Any] | None:
    """The alternative that was meant: the only one whose type is right, or that says more than that it is not."""
    fitting = [
        branch
        for branch in branches
        if branch and not any(e.kind.name in ("type", "const", "enum") and not _within(e, branch) for e in branch)
    ]
    if len(fitting) == 1:
        return fitting[0]
    return None


def _within(error: Any, branch: Sequence[Any]) -> bool:
    """Deeper than where the alternatives are chosen."""
    return len(error.instance_path) > min(len(each.instance_path) for each in branch)


_LIMITS: Final = {
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "minItems": "must have at least {} items",
    "maxItems": "must have at most {} items",
    "minProperties": "must have at least {} properties",
    "maxProperties": "must have at most {} properties",
}
_PLAIN: Final = {
    "uniqueItems": "must not have equal items",
    "contains": "lacks an item that must be there",
    "not": "is what it must not be",
    "anyOf": "fits none of the alternatives",
    "oneOf": "does not fit exactly one of the alternatives",
    "pattern": "does not match the pattern",
    "additionalItems": "has more items than it may",
    "unevaluatedItems": "has more items than it may",
    "contentEncoding": "is not in the coding that it must have",
    "contentMediaType": "is not of the media type that it must have",
}


def _said(name: str, kind: Any) -> str:
    if name in _LIMITS:
        return _LIMITS[name].format(kind.limit)
    if name == "type":
        return "must be " + " or ".join(kind.types)
    if name == "format":
        return f"must be a valid {kind.format}"
    if name == "multipleOf":
        return f"must be a multiple of {kind.multiple_of}"
    if name == "enum":
        return "must be one of " + ", ".join(map(_shown, kind.options))
    if name == "const":
        return f"must be {_shown(kind.expected_value)}"
    return _PLAIN.get(name, "is not valid")


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else "null" if value is None else str(value)
