"""Commands that plugins bring (`Plugin.commands`). Looking for them loads every plugin, so nothing else does."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from gateway import registry
from gateway.cli import COMMANDS, USAGE
from gateway.config.wording import suggest
from gateway.plugin import Command


def commands() -> Iterator[tuple[str, Command]]:
    """Plugin's name and command, by name of the plugin. A plugin that cannot be loaded is told on stderr, once."""
    for name in registry.names():
        try:
            found = registry.find(name).commands()
        except (registry.BrokenPlugin, registry.UnknownPlugin) as error:
            print(f"gateway: {error}", file=sys.stderr)
            continue
        for command in found:
            yield name, command


def run_foreign(name: str, arguments: list[str]) -> int:
    """Run a plugin's command, or say what was probably meant."""
    known = dict(COMMANDS)
    if not name.startswith("-"):
        for _, command in commands():
            if command.name == name:
                parser = argparse.ArgumentParser(prog=f"gateway {name}", description=command.help)
                command.arguments(parser)
                return command.run(parser.parse_args(arguments))
            known[command.name] = command.help
    hint = suggest(name, known)
    print(f"gateway: no such command: {name!r}{f'; {hint}' if hint else ''}", file=sys.stderr)
    print("  gateway --help    lists them", file=sys.stderr)
    return USAGE


def foreign_help() -> str:
    """What plugins add, by line."""
    lines = [f"  {command.name:12}  {command.help} ({plugin})" for plugin, command in commands()]
    return "\nof plugins:\n" + ("\n".join(lines) if lines else "  none")
