"""What a plugin's settings are made of: a strict model and the field types of the configuration language."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema


class Settings(BaseModel):
    """A frozen model that refuses keys it does not know. Nothing of pydantic runs per request."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


_DURATION_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE_UNITS: Final = {
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KIB": 1024,
    "MIB": 1024**2,
    "GIB": 1024**3,
}
_QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)")


def parse_duration(value: Any) -> float:
    """Seconds of ``250ms``, ``2s``, ``5m``, ``1h``, ``7d`` or compounds such as ``1h30m``. Raises ValueError."""
    if isinstance(value, float) and not isinstance(value, bool):
        return value  # a default written in code, already in seconds
    text = str(value).strip()
    position, total = 0, 0.0
    for found in _QUANTITY.finditer(text):
        if found.start() != position or found[2] not in _DURATION_UNITS:
            break
        total += float(found[1]) * _DURATION_UNITS[found[2]]
        position = found.end()
    if position != len(text) or not text:
        raise ValueError("a duration with its unit, such as 250ms, 2s, 5m, 1h or 7d")
    return total


def parse_size(value: Any) -> int:
    """Bytes of ``100KB``, ``1MiB`` or a bare whole number of bytes. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = _QUANTITY.fullmatch(str(value).strip())
    if found is None or found[2].upper() not in _SIZE_UNITS:
        raise ValueError("a size with its unit, such as 512B, 100KB, 1MB or 1MiB")
    return int(float(found[1]) * _SIZE_UNITS[found[2].upper()])


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$", "examples": ["250ms", "5m"]}),
]
"""Seconds as a float, written in YAML with a unit."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "examples": ["100KB", "1MiB"]}]},
    ),
]
"""Bytes, written in YAML with a unit."""
