"""Statuses in settings: one by one, or a class of them such as ``2xx``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from gateway.plugin.settings import expected


def _read(value: Any) -> Any:
    if isinstance(value, str) and len(value) == 3 and value[0] in "2345" and value[1:].lower() == "xx":
        return value.lower()
    if isinstance(value, int) and not isinstance(value, bool) and 200 <= value <= 599:
        return value
    raise expected("a status from 200 to 599, or a class of them such as 2xx")


Statuses = Annotated[
    str | int,
    BeforeValidator(_read),
    WithJsonSchema(
        {
            "title": "status or class",
            "anyOf": [
                {"type": "string", "pattern": "^[2-5][xX]{2}$"},
                {"type": "integer", "minimum": 200, "maximum": 599},
            ],
        }
    ),
]
"""A status from 200 to 599, or a class of them."""


def statuses_of(given: Iterable[str | int]) -> frozenset[int]:
    """All that are meant."""
    found: set[int] = set()
    for each in given:
        found.update(range(int(each[0]) * 100, int(each[0]) * 100 + 100) if isinstance(each, str) else (each,))
    return frozenset(found)
