"""Several files become one configuration: ``-c base.yaml -c prod.yaml``."""

from __future__ import annotations

from typing import Final

from gateway.plugin.tree import Node

_BY_NAME: Final = (("routes",),)
"""Lists whose elements are told apart by ``name``."""


def merge(earlier: Node, later: Node, path: tuple[str, ...] = ()) -> Node:
    """What the later file says wins; each value keeps the place it came from.

    Mappings are merged key by key, and a key that the later file sets to nothing (``key:``, ``key: null``) is taken
    out (as in RFC 7396). Routes are merged by name, new ones follow the old. Every other list is replaced whole: the
    order of plugins means something, and half of a list of targets is never what was meant.
    """
    if isinstance(earlier.value, dict) and isinstance(later.value, dict):
        return _mappings(earlier, later, path)
    if path in _BY_NAME and isinstance(earlier.value, list) and isinstance(later.value, list):
        return _named(earlier, later, path)
    return later


def _mappings(earlier: Node, later: Node, path: tuple[str, ...]) -> Node:
    assert isinstance(earlier.value, dict)
    assert isinstance(later.value, dict)
    values = dict(earlier.value)
    keys = dict(earlier.keys)
    for key, node in later.value.items():
        if node.value is None and not node.variables:
            values.pop(key, None)
            continue
        values[key] = merge(values[key], node, (*path, key)) if key in values else node
        keys[key] = later.keys.get(key, node.position)
    return Node(values, later.position, keys)


def _name(node: Node) -> object:
    name = node.value.get("name") if isinstance(node.value, dict) else None
    return name.value if name is not None else None


def _named(earlier: Node, later: Node, path: tuple[str, ...]) -> Node:
    assert isinstance(earlier.value, list)
    assert isinstance(later.value, list)
    merged = list(earlier.value)
    places = {_name(node): place for place, node in enumerate(merged) if _name(node) is not None}
    for node in later.value:
        place = places.get(_name(node))
        if place is None:
            merged.append(node)  # two of one name within a file stay two: `check` reports them
        else:
            merged[place] = merge(merged[place], node, (*path, "*"))
    return Node(merged, later.position)
