"""A document's schema as one JSON Schema 2020-12 that stands alone, with all it refers to under ``$defs``.

What OpenAPI 3.0 wrote in its own way (§4.7.24 there) is translated: ``nullable``, boolean ``exclusiveMinimum``, a
``$ref`` whose neighbours are ignored, formats that bound numbers. In a request, a property that is ``readOnly`` is not
required (3.0 §4.7.24.2); in an answer one that is ``writeOnly``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.plugin.openapi.document import value_at
from gateway.plugin.openapi.error import OpenApiError

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
MOST_SCHEMAS: Final = 20_000
"""Referred to from one schema, however indirectly."""
_ONE: Final = ("not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames",
               "unevaluatedItems", "unevaluatedProperties", "contentSchema", "additionalItems")  # fmt: skip
_MANY: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED: Final = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
_SAYS_NOTHING: Final = frozenset(
    {"example", "examples", "xml", "externalDocs", "discriminator", "description", "title", "deprecated", "default",
     "nullable", "readOnly", "writeOnly", "$comment", "$defs", "definitions", "$schema"}
)  # fmt: skip
_BOUNDS: Final = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
_BYTES: Final = frozenset({"binary", "byte", "base64"})


class Translation:
    """Schemas of one document for one direction."""

    def __init__(self, root: Any, *, legacy: bool = False, request: bool = True, refuse_hidden: bool = False) -> None:
        """``refuse_hidden``: what only the other side writes must not be there at all."""
        self._root = root
        self._legacy = legacy
        self._hidden = "readOnly" if request else "writeOnly"
        self._refuse = refuse_hidden

    def __call__(self, schema: Any) -> dict[str, Any]:
        """The schema with all that it needs. Raises OpenApiError."""
        work = _Work(self._root, self._legacy, self._hidden, self._refuse)
        made = work.translate(schema)
        while work.todo:
            reference = work.todo.pop()
            work.defs[work.names[reference]] = work.translate(value_at(self._root, reference))
        whole = {"allOf": [made]} if not isinstance(made, dict) else made
        return {"$schema": DIALECT, **whole, **({"$defs": work.defs} if work.defs else {})}


class _Work:
    def __init__(self, root: Any, legacy: bool, hidden: str, refuse: bool) -> None:
        self.root, self.legacy, self.hidden, self.refuse = root, legacy, hidden, refuse
        self.names: dict[str, str] = {}
        self.todo: list[str] = []
        self.defs: dict[str, Any] = {}

    def refer(self, reference: str) -> str:
        name = self.names.get(reference)
        if name is None:
            if len(self.names) >= MOST_SCHEMAS:
                raise OpenApiError(f"a schema that refers to more than {MOST_SCHEMAS} others")
            name = self.names[reference] = f"s{len(self.names)}"
            self.todo.append(reference)
        return f"#/$defs/{name}"

    def translate(self, schema: Any) -> Any:
        if schema is None:
            return True
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise OpenApiError("a schema that is neither an object nor a boolean")
        if isinstance(schema.get("$ref"), str) and self.legacy:
            return {"$ref": self.refer(schema["$ref"])}
        for keyword in ("$id", "$dynamicRef", "$recursiveRef"):
            if keyword in schema and not isinstance(schema[keyword], dict):
                raise OpenApiError(f"`{keyword}` in a schema is not supported; use a `$ref` with a JSON pointer")
        made = {key: value for key, value in schema.items() if key not in _SAYS_NOTHING and not key.startswith("x-")}
        if "$ref" in made:
            made["$ref"] = self.refer(made["$ref"])
        for key in _ONE:
            if key in made:
                made[key] = self._one(key, made[key])
        for key in _MANY:
            if isinstance(made.get(key), list):
                made[key] = [self.translate(inner) for inner in made[key]]
                if not made[key]:
                    del made[key]
        for key in _NAMED:
            if isinstance(made.get(key), dict):
                made[key] = {name: self.translate(inner) for name, inner in made[key].items()}
        self._unhide(schema, made)
        _bound(made)
        return self._modern(schema, made) if self.legacy else made

    def _one(self, key: str, value: Any) -> Any:
        if key == "items" and isinstance(value, list):  # a tuple of an older draft
            return [self.translate(inner) for inner in value]
        return self.translate(value)

    def _unhide(self, schema: Mapping[str, Any], made: dict[str, Any]) -> None:
        """Who sends need not send what only the other side writes."""
        required, properties = made.get("required"), schema.get("properties")
        if self.refuse and isinstance(properties, dict):
            hidden = {name: False for name, inner in properties.items() if self._is_hidden(inner)}
            made["properties"] = {**made.get("properties", {}), **hidden}
        if not isinstance(required, list):
            made.pop("required", None)  # `required: true` on a property, a mistake that real documents make
        elif isinstance(properties, dict):
            made["required"] = [name for name in required if not self._is_hidden(properties.get(name))]

    def _is_hidden(self, schema: Any) -> bool:
        for _ in range(16):
            if not isinstance(schema, dict):
                return False
            if schema.get(self.hidden) is True:
                return True
            if not isinstance(schema.get("$ref"), str):
                return False
            schema = value_at(self.root, schema["$ref"])
        return False

    def _modern(self, schema: Mapping[str, Any], made: dict[str, Any]) -> Any:
        """What 3.0 says otherwise than JSON Schema 2020-12."""
        for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            flag = made.get(exclusive)
            if isinstance(flag, bool):
                del made[exclusive]
                if flag and bound in made:
                    made[exclusive] = made.pop(bound)
        if schema.get("nullable") is not True:
            return made
        kind, options = made.get("type"), made.get("enum")
        if isinstance(kind, str) and not any(key in made for key in ("allOf", "anyOf", "oneOf", "not")):
            made["type"] = [kind, "null"]
            if isinstance(options, list) and None not in options:
                made["enum"] = [*options, None]
            return made
        return {"anyOf": [made, {"type": "null"}]}


def _bound(made: dict[str, Any]) -> None:
    """Formats that are more than a word: numbers that fit, and bytes that are no text."""
    kind = made.get("format")
    if not isinstance(kind, str):
        return
    if kind in _BOUNDS:
        low, high = _BOUNDS[kind]
        del made["format"]
        if made.get("type") == "integer":
            made.setdefault("minimum", low)
            made.setdefault("maximum", high)
    elif kind in _BYTES:
        del made["format"]
        if kind == "binary":
            for key in ("minLength", "maxLength", "pattern"):
                made.pop(key, None)
