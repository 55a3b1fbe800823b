"""The JSON Schema of a configuration file, for editors: generated, never written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from gateway import registry
from gateway.config.model import Config
from gateway.config.reference import reference
from gateway.config.tidy import tidy

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_VARIABLE: Final = {"$ref": "#/$defs/variable"}

Schema = dict[str, Any]


def schema() -> Schema:
    """The schema of a whole file; what stands under ``with`` depends on the plugin beside it."""
    made = tidy(Config.model_json_schema(by_alias=True))
    definitions = made["$defs"]
    conditions = []
    for name in registry.bundled():
        own = tidy(registry.find(name).settings_type.model_json_schema(by_alias=True))
        prefix = f"plugin.{name}"
        for inner, definition in own.pop("$defs", {}).items():
            definitions[f"{prefix}.{inner}"] = _renamed(definition, prefix)
        definitions[prefix] = _renamed(own, prefix)
        consequence: Schema = {"properties": {"with": {"anyOf": [{"$ref": f"#/$defs/{prefix}"}, {"type": "null"}]}}}
        if own.get("required"):
            consequence = {"properties": {"with": {"$ref": f"#/$defs/{prefix}"}}, "required": ["with"]}
        conditions.append(
            {"if": {"properties": {"plugin": {"const": name}}, "required": ["plugin"]}, "then": consequence}
        )
    entry = definitions["PluginEntry"]
    entry["properties"]["plugin"] = {
        "description": entry["properties"]["plugin"]["description"],
        "anyOf": [{"enum": list(registry.bundled())}, {"type": "string"}],
    }
    entry["properties"]["with"] = {"description": entry["properties"]["with"]["description"]}
    entry["allOf"] = conditions
    made["$defs"] = {key: _with_variables(definitions[key]) for key in sorted(definitions)}
    made["$defs"]["variable"] = {
        "description": "`${NAME}` or `${NAME:-default}`, from the environment.",
        "type": "string",
        "pattern": r"\$\{",
    }
    properties = {
        # A section with nothing under it is as good as not there.
        key: {"anyOf": [_with_variables(value), {"type": "null"}]}
        for key, value in made.pop("properties").items()
    }
    head = {"$schema": DIALECT, "title": "Sidegate configuration", "description": made.pop("description")}
    return {**head, "type": "object", "properties": properties, "patternProperties": {"^x-": {}}, **made}


def _renamed(value: Any, prefix: str) -> Any:
    """With references that lead to the definitions' new names."""
    if isinstance(value, list):
        return [_renamed(item, prefix) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: f"#/$defs/{prefix}.{inner.removeprefix('#/$defs/')}" if key == "$ref" else _renamed(inner, prefix)
        for key, inner in value.items()
    }


def _with_variables(value: Any) -> Any:
    """With ``${NAME}`` allowed wherever a scalar is: a variable is replaced before the value is looked at."""
    if isinstance(value, list):
        return [_with_variables(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {
        key: {name: _with_variables(item) for name, item in inner.items()}
        if key in ("properties", "patternProperties")
        else inner
        if key in ("default", "examples", "const", "enum", "required", "if")
        else _with_variables(inner)
        for key, inner in value.items()
    }
    scalar = made.get("type") in ("integer", "number", "boolean") or "enum" in made or "const" in made
    narrow = made.get("type") == "string" and {"pattern", "minLength", "format"} & set(made)
    if not (scalar or narrow) or r"\$\{" in str(made.get("pattern", "")):
        return made
    outer = {key: made.pop(key) for key in ("description", "default", "examples") if key in made}
    return {**outer, "anyOf": [made, _VARIABLE]}


def generated() -> dict[str, str]:
    """What is generated, by path below the project's root."""
    return {
        "config/schema.json": json.dumps(schema(), indent=1, ensure_ascii=False) + "\n",
        "config/reference.md": reference(),
    }


def write_generated(root: Path) -> list[Path]:
    """Write what is generated; returns the files that changed."""
    changed = []
    for name, text in generated().items():
        path = root / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed
