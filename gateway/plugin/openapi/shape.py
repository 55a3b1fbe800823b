"""What types a schema allows: parameters arrive as text, and schemas speak of numbers, lists and objects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.plugin.openapi.document import value_at

ANYTHING: Final = frozenset({"string", "integer", "number", "boolean", "null", "array", "object"})
MOST_PARTS: Final = 200
"""Alternatives that one value has."""
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,30})")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,30})(?:\.[0-9]{1,40})?(?:[eE][-+]?[0-9]{1,3})?")


class Shape:
    """Types that a value may have. Those of what is in it are looked up when asked for: schemas lead to each other."""

    __slots__ = ("_inner", "_root", "extra_schema", "items_schema", "schemas", "types")

    def __init__(self, root: Any = None, parts: Sequence[Mapping[str, Any]] = ()) -> None:
        self._root = root
        self._inner: dict[str | None, Shape] = {}
        self.schemas: dict[str, Any] = {}
        """Schemas of the properties, by name."""
        self.items_schema: Any = None
        self.extra_schema: Any = None
        known = [types for types in map(_types, parts) if types]
        self.types: frozenset[str] = frozenset().union(*known) if known else ANYTHING
        for part in parts:
            properties = part.get("properties")
            for name, inner in (properties if isinstance(properties, dict) else {}).items():
                self.schemas.setdefault(str(name), inner)
            if self.items_schema is None and isinstance(part.get("items"), dict):
                self.items_schema = part["items"]
            if self.extra_schema is None and isinstance(part.get("additionalProperties"), dict):
                self.extra_schema = part["additionalProperties"]

    def read(self, text: str) -> Any:
        """Text as the most special type that it can be here; itself where it is none of them."""
        types = self.types
        if types in (ANYTHING, _TEXT):
            return text
        if "integer" in types and _INTEGER.fullmatch(text):
            return int(text)
        if "number" in types and _NUMBER.fullmatch(text):
            number = float(text)
            return number if abs(number) != float("inf") else text
        if "boolean" in types and text in _WORDS:
            return _WORDS[text]
        if "null" in types and text == "" and "string" not in types:
            return None
        return text

    def within(self, name: str) -> Shape:
        """The shape of a member."""
        if name not in self.schemas:
            return self._of(None, self.extra_schema) if self.extra_schema is not None else UNKNOWN
        return self._of(name, self.schemas[name])

    @property
    def each(self) -> Shape:
        """The shape of an item."""
        return self._of("", self.items_schema) if self.items_schema is not None else UNKNOWN

    def _of(self, key: str | None, schema: Any) -> Shape:
        # A list has no members, so that "" is free for its items; an object with both is read as an object.
        key = key if key != "" or not self.schemas else "\0items"
        found = self._inner.get(key)
        if found is None:
            found = self._inner[key] = shape_of(self._root, schema)
        return found


_TEXT: Final = frozenset({"string"})
_WORDS: Final = {"true": True, "false": False}


def shape_of(root: Any, schema: Any) -> Shape:
    """The shape that a schema gives; references are looked up in ``root``. Raises OpenApiError."""
    return Shape(root, _parts(root, schema))


def _parts(root: Any, schema: Any) -> list[Mapping[str, Any]]:
    """The schema and those that it is made of, each once."""
    found: list[Mapping[str, Any]] = []
    seen: set[int] = set()
    todo = [schema]
    while todo and len(found) < MOST_PARTS:
        part = todo.pop(0)
        if not isinstance(part, dict) or id(part) in seen:
            continue
        seen.add(id(part))
        found.append(part)
        if isinstance(part.get("$ref"), str):
            todo.append(value_at(root, part["$ref"]))
        for key in ("allOf", "anyOf", "oneOf"):
            alternatives = part.get(key)
            todo.extend(alternatives if isinstance(alternatives, list) else ())
    return found


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    given = schema.get("type")
    found = {given} if isinstance(given, str) else set(given) if isinstance(given, list) else set()
    if schema.get("nullable") is True:
        found.add("null")
    if not found:
        if "properties" in schema:
            found.add("object")
        elif "items" in schema:
            found.add("array")
        elif isinstance(schema.get("enum"), list):
            found |= {_TYPE_OF.get(type(option), "string") for option in schema["enum"]}
    return frozenset(found)


_TYPE_OF: Final = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
UNKNOWN: Final = Shape()
