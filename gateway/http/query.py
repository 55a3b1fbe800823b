"""Query parameters by name, taken out without touching the others' spelling (WHATWG URL §5.1)."""

from __future__ import annotations

from urllib.parse import unquote_plus


def parameters(query: str, name: str) -> list[str]:
    """The values of a parameter, in order; ``query`` is raw, without ``?``."""
    pairs = (pair.partition("=") for pair in query.split("&"))
    return [unquote_plus(value) for key, _, value in pairs if unquote_plus(key) == name]


def without_parameter(query: str, name: str) -> str:
    """The query without a parameter, all else byte for byte."""
    return "&".join(pair for pair in query.split("&") if unquote_plus(pair.partition("=")[0]) != name)
