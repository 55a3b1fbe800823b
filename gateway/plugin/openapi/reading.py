"""Bytes to plain values: JSON or YAML, at C speed, since real documents have ten megabytes and more.

A configuration knows the line of each value and pays for it (`gateway.plugin.yaml`); a description of an API is data
that somebody else's tool wrote, and its mistakes are named by JSON pointer. What a plain scalar means is the same in
both: YAML 1.2's core schema.
"""

from __future__ import annotations

import json
from typing import Any, Final

from gateway.plugin.openapi.error import OpenApiError
from gateway.plugin.yaml import resolve_scalar

DEEPEST: Final = 200


def read_values(content: bytes) -> Any:
    """The values of a JSON or YAML text in UTF-8. Raises OpenApiError; a key that stands twice is one."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OpenApiError(f"not UTF-8 text: byte {error.start}") from None
    if text.lstrip()[:1] in ("{", "["):
        try:
            return _json(text)
        except json.JSONDecodeError as error:
            first = f"not JSON: line {error.lineno} column {error.colno}: {error.msg}"
        except RecursionError:
            raise OpenApiError("nested too deeply") from None
        try:  # flow style is YAML, too
            return _yaml(text)
        except OpenApiError:
            raise OpenApiError(first) from None
    return _yaml(text)


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_members, parse_constant=_no_number)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise OpenApiError(f"the key {twice!r} stands twice in one object")
    return made


def _no_number(word: str) -> Any:
    raise OpenApiError(f"{word} is not a number of JSON")


def _yaml(text: str) -> Any:
    import yaml  # noqa: PLC0415 - only documents in YAML pay for it

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)(text)
    try:
        node = loader.get_single_node()
        return None if node is None else _Values().of(node, 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" in line {mark.line + 1}" if mark is not None else ""
        raise OpenApiError(f"not YAML{place}: {error.problem or 'it cannot be read'}") from None
    except (yaml.YAMLError, RecursionError):
        raise OpenApiError("not YAML that can be read") from None
    finally:
        loader.dispose()


class _Values:
    """Nodes to values. What is aliased is made once and shared: a few lines must not become billions of values."""

    def __init__(self) -> None:
        self.made: dict[int, Any] = {}
        self.open: set[int] = set()

    def of(self, node: Any, depth: int) -> Any:
        if node.id == "scalar":
            return _scalar(node)
        known = self.made.get(id(node))
        if known is not None:
            return known
        if id(node) in self.open:
            raise OpenApiError(f"line {node.start_mark.line + 1}: an alias of what it stands in")
        if depth > DEEPEST:
            raise OpenApiError("nested too deeply")
        self.open.add(id(node))
        value: Any
        if node.id == "sequence":
            value = [self.of(item, depth + 1) for item in node.value]
        else:
            value = self.mapping(node, depth)
        self.open.discard(id(node))
        self.made[id(node)] = value
        return value

    def mapping(self, node: Any, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        inherited: dict[str, Any] = {}
        for key, inner in node.value:
            if key.id != "scalar":
                raise OpenApiError(f"line {key.start_mark.line + 1}: a key that is not text")
            value = self.of(inner, depth + 1)
            if key.value == "<<" and not key.style:
                for other in value if isinstance(value, list) else [value]:
                    if not isinstance(other, dict):
                        raise OpenApiError(f"line {key.start_mark.line + 1}: << expects a mapping")
                    inherited = {**other, **inherited}
                continue
            if key.value in made:
                raise OpenApiError(f"line {key.start_mark.line + 1}: the key {key.value!r} stands twice")
            made[key.value] = value
        return {**inherited, **made} if inherited else made


def _scalar(node: Any) -> Any:
    # `BaseLoader` calls every scalar text; only one that is written bare may be something else.
    return node.value if node.style or node.tag == "!" else resolve_scalar(node.value)
