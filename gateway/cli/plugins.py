"""List the plugins, or one plugin's settings.

  gateway plugins
  gateway plugins size_limit
  gateway plugins size_limit --json     its settings as JSON Schema
  gateway plugins mypackage.mine:Mine   one that stands nowhere in a list

Plugins come with the gateway, or with an installed package (entry point group `gateway.plugins`).
"""

from __future__ import annotations

import argparse
import inspect
import json
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any, Final

from gateway import registry
from gateway.config.tidy import tidy
from gateway.config.wording import suggest
from gateway.plugin import Plugin

_WIDEST: Final = 110
_DEEPEST: Final = 6
"""Levels of settings within settings that are shown."""


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="show this one's settings")
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(options: argparse.Namespace) -> int:
    """List or show."""
    if options.name is None:
        return _list(as_json=options.json)
    try:
        plugin = registry.find(options.name)
    except registry.UnknownPlugin as error:
        hint = suggest(options.name, error.names)
        print(f"gateway plugins: {error}{f'; {hint}' if hint else ''}", file=sys.stderr)
        return 1
    except registry.BrokenPlugin as error:
        print(f"gateway plugins: {error}", file=sys.stderr)
        return 1
    schema = tidy(plugin.settings_type.model_json_schema(by_alias=True))
    if options.json:
        print(json.dumps({**facts(options.name, plugin), "settings": schema}, indent=2, ensure_ascii=False))
    else:
        print("\n".join(_shown(options.name, plugin, schema)))
    return 0


def facts(name: str, plugin: type[Plugin[Any]]) -> dict[str, Any]:
    """What there is to know of a plugin but for its settings, as JSON can hold it."""
    module = sys.modules[plugin.__module__]
    return {
        "name": name,
        "summary": " ".join((inspect.getdoc(module) or "").split("\n\n", maxsplit=1)[0].split()),
        "list": "attempt" if plugin.on_attempt else "plugins",
        "stage": plugin.stage.name.lower(),
        "refuses": plugin.refuses,
        "answers": plugin.ends,
        "holds_body": plugin.buffers_body,
        "scope": plugin.scope.value,
        "status": plugin.status,
        "commands": {command.name: command.help for command in plugin.commands()},
    }


def _list(*, as_json: bool) -> int:
    """Every plugin there is; exit code 1 if one of them cannot be loaded."""
    found, broken = [], 0
    for name in registry.names():
        try:
            found.append(facts(name, registry.find(name)))
        except registry.BrokenPlugin as error:
            print(f"gateway plugins: {error}", file=sys.stderr)
            broken = 1
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return broken
    width = max((len(plugin["name"]) for plugin in found), default=0)
    for plugin in found:
        print(_wrapped(plugin["summary"], f"{plugin['name']:{width}}  ", " " * (width + 2)))
        for name, what in plugin["commands"].items():
            print(f"{'':{width}}  adds `gateway {name}`: {what}")
    return broken


def _shown(name: str, plugin: type[Plugin[Any]], schema: dict[str, Any]) -> Iterator[str]:
    told = facts(name, plugin)
    yield _wrapped(told["summary"], f"{name}: ", "")
    yield ""
    yield f"  in the list    {plugin.belongs()}"
    yield f"  can refuse     {'yes, so `mode: shadow` works' if plugin.refuses else 'no'}"
    if plugin.ends:
        yield "  answers        by itself: what stands after it never runs"
    if plugin.buffers_body:
        yield "  holds a body   yes, under a limit of its settings"
    if told["stage"] != "anywhere":
        yield f"  usual place    {told['stage']}"
    yield f"  status         {plugin.status}"
    for command, what in told["commands"].items():
        yield f"  command        gateway {command}: {what}"
    yield ""
    settings = list(_settings(schema, schema.get("$defs", {}), "  ", _DEEPEST))
    yield "with:" if settings else "It has no settings."
    yield from settings


def _settings(schema: dict[str, Any], definitions: dict[str, Any], indent: str, depth: int) -> Iterator[str]:
    """Each key of a mapping with its type, default and meaning; mappings within it below, indented."""
    required = set(schema.get("required", ()))
    for key, value in schema.get("properties", {}).items():
        inner = next(_mappings(value, definitions), None)
        default = json.dumps(value.get("default"), ensure_ascii=False)
        plain = "default" in value and inner is None and len(default) <= _WIDEST // 2
        note = "required" if key in required else f"default {default}" if plain else "optional"
        yield f"{indent}{key}  {_type(value, definitions)}, {note}"
        text = value.get("description") or (inner or {}).get("description", "")
        if text:
            yield _wrapped(" ".join(text.split()), f"{indent}    ", f"{indent}    ")
        if inner is not None and depth:
            yield from _settings(inner, definitions, f"{indent}    ", depth - 1)


def _resolved(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = definitions.get(str(schema.get("$ref", "")).removeprefix("#/$defs/"), schema)
    return found


def _mappings(schema: dict[str, Any], definitions: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The mappings with keys of their own that a value is, holds, or has among its forms."""
    schema = _resolved(schema, definitions)
    if schema.get("properties"):
        yield schema
    for form in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _mappings(form, definitions)
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict):
            yield from _mappings(inner, definitions)


def _type(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    unit = schema.get("title")
    if isinstance(unit, str) and unit[:1].islower():
        return unit
    schema = _resolved(schema, definitions)
    forms = (*schema.get("anyOf", ()), *schema.get("oneOf", ()))
    if forms:
        names = dict.fromkeys(_type(form, definitions) for form in forms if form.get("type") != "null")
        return " or ".join(names)
    if "enum" in schema:
        return " | ".join(str(choice) for choice in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}), definitions)}"
    names_of = {"object": "mapping", "string": "text", "integer": "number", "boolean": "true | false"}
    return " or ".join(names_of.get(each, each) for each in ([kind] if isinstance(kind, str) else kind))


def _wrapped(text: str, first: str, others: str) -> str:
    width = min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST)
    return textwrap.fill(text, width, initial_indent=first, subsequent_indent=others, break_on_hyphens=False)
