"""Claims of a principal by their paths, whatever authenticator found them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

DEEPEST: Final = 8
"""Steps of a path that are tried; a name may hold dots itself, so that each dot is one that may part or not."""
MOST_ENTRIES: Final = 1000
"""Of a list that are looked at."""


def find(claims: Mapping[str, Any], path: str) -> Any:
    """A claim by its whole name, else by its path with dots, such as ``realm_access.roles``; None if it is not there.

    The longest name goes first: ``https://acme.example/roles`` is one, and so is the client in
    ``resource_access.my.app.roles`` (Keycloak).
    """
    return _find(claims, path, DEEPEST)


def _find(claims: Mapping[str, Any], path: str, depth: int) -> Any:
    if path in claims:
        return claims[path]
    at = path.rfind(".")
    while at > 0 and depth:
        inner = claims.get(path[:at])
        if isinstance(inner, Mapping):
            found = _find(inner, path[at + 1 :], depth - 1)
            if found is not None:
                return found
        at = path.rfind(".", 0, at)
    return None


def values_of(found: Any) -> list[Any]:
    """What a claim holds: the entries of a list, of anything else itself, of nothing nothing."""
    if found is None:
        return []
    return list(found[:MOST_ENTRIES]) if isinstance(found, list | tuple) else [found]


def same(one: Any, other: Any) -> bool:
    """Equal as JSON sees it: 1 and true are not, though Python says so."""
    return type(one) is type(other) and bool(one == other)
