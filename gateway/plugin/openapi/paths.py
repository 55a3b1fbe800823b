"""Path templates to what stands at them, as OpenAPI matches: concrete segments before templated ones (§4.8.8.2).

A segment may hold text around an expression (``report.{format}``, ``{base}...{head}``). With ``x-multi-segment`` on a
path parameter, as GitHub writes it, the last one takes the rest of the path.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final, Generic, TypeVar

from gateway.plugin.openapi.error import OpenApiError

T = TypeVar("T")

_EXPRESSION: Final = re.compile(r"\{([^{}/]*)\}")
MOST_STEPS: Final = 1000
"""Of one search: templates that overlap must not make a long path slow."""


class _Node(Generic[T]):
    __slots__ = ("any", "leaf", "literal", "names", "partial", "rest", "rest_names")

    def __init__(self) -> None:
        self.literal: dict[str, _Node[T]] = {}
        self.partial: list[tuple[re.Pattern[str], str, _Node[T]]] = []
        self.any: _Node[T] | None = None
        self.rest: T | None = None
        self.rest_names: tuple[str, ...] = ()
        self.leaf: T | None = None
        self.names: tuple[str, ...] = ()


def expressions(template: str) -> list[str]:
    """The names in a template, in order."""
    return _EXPRESSION.findall(template)


class PathIndex(Generic[T]):
    """Finds what stands at a path."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def put(self, template: str, value: T, multi: Collection[str] = ()) -> T:
        """Put ``value`` at a template, unless there is one: that is returned then. Raises OpenApiError."""
        if not template.startswith("/"):
            raise OpenApiError(f"the path {template!r} does not begin with /")
        names = tuple(expressions(template))
        if len(set(names)) != len(names):
            raise OpenApiError(f"the path {template!r} names a parameter twice")
        node = self._root
        segments = template[1:].split("/")
        for index, segment in enumerate(segments):
            if index == len(segments) - 1 and names and segment == f"{{{names[-1]}}}" and names[-1] in multi:
                if node.rest is None:
                    node.rest, node.rest_names = value, names
                return node.rest
            node = _below(node, segment, template)
        if node.leaf is None:
            node.leaf, node.names = value, names
        return node.leaf

    def find(self, path: str) -> tuple[T, dict[str, str]] | None:
        """What stands at a path, with the values of its template, still percent-encoded."""
        steps = [MOST_STEPS]
        found = _search(self._root, path[1:].split("/"), 0, steps)
        if found is None:
            return None
        value, names, values = found
        return value, dict(zip(names, values, strict=True))


def _below(node: _Node[T], segment: str, template: str) -> _Node[T]:
    found = _EXPRESSION.findall(segment)
    if not found:
        if "{" in segment or "}" in segment:
            raise OpenApiError(f"the path {template!r} has a brace without its other half")
        return node.literal.setdefault(segment, _Node())
    if segment == f"{{{found[0]}}}":
        if node.any is None:
            node.any = _Node()
        return node.any
    pieces = _EXPRESSION.split(segment)
    # Each but the last takes as little as it can and at least one character; segments are short, so this is cheap.
    source = "".join("([^/]+?)" if odd % 2 else re.escape(piece) for odd, piece in enumerate(pieces))
    for pattern, known, below in node.partial:
        if pattern.pattern == source and known:
            return below
    made: _Node[T] = _Node()
    node.partial.append((re.compile(source), segment, made))
    node.partial.sort(key=lambda each: -len(_EXPRESSION.sub("", each[1])))
    return made


Hit = tuple[T, tuple[str, ...], list[str]]


def _search(node: _Node[T], segments: list[str], at: int, steps: list[int]) -> Hit[T] | None:
    steps[0] -= 1
    if steps[0] < 0:
        return None
    if at == len(segments):
        return None if node.leaf is None else (node.leaf, node.names, [])
    segment = segments[at]
    for below, values in _ways(node, segment):
        found = _search(below, segments, at + 1, steps)
        if found is not None:
            return found[0], found[1], [*values, *found[2]]
    if node.rest is not None and segment:
        return node.rest, node.rest_names, ["/".join(segments[at:])]
    return None


def _ways(node: _Node[T], segment: str) -> Iterator[tuple[_Node[T], tuple[str, ...]]]:
    literal = node.literal.get(segment)
    if literal is not None:
        yield literal, ()
    for pattern, _, below in node.partial:
        matched = pattern.fullmatch(segment)
        if matched is not None:
            yield below, matched.groups()
    if node.any is not None and segment:
        yield node.any, (segment,)
