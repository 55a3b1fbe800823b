"""JSON Schema as pydantic makes it, brought into the form that editors and the reference want."""

from __future__ import annotations

from typing import Any

from gateway.plugin.settings import FORMATS


def tidy(value: Any) -> Any:
    """Without titles that only repeat a name, and with defaults as they would be written in YAML."""
    if isinstance(value, list):
        return [tidy(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {
        key: {name: tidy(item) for name, item in inner.items()}
        if key in ("properties", "$defs", "patternProperties")
        else inner
        if key in ("default", "examples", "const", "enum")
        else tidy(inner)
        for key, inner in value.items()
        if key not in ("gt", "ge", "lt", "le") and not (key == "title" and str(inner)[:1].isupper())
    }
    unit = made.get("title") or next((one.get("title") for one in made.get("anyOf", ()) if "title" in one), None)
    if isinstance(unit, str) and unit in FORMATS and isinstance(made.get("default"), int | float):
        made["default"] = FORMATS[unit](made["default"])
    if "patternProperties" in made:
        made.setdefault("additionalProperties", False)  # pydantic leaves keys of another form to the reader's goodwill
    if "default" in made and made["default"] is None:
        del made["default"]
    return made
