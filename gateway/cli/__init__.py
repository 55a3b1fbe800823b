"""The command line: ``gateway COMMAND …``.

Exit codes: 0 it worked, 1 there is a problem (told on stderr), 2 the command was not understood. A command's module is
imported when that command is run, so that each starts as fast as it can; this module imports next to nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

OK: Final = 0
PROBLEM: Final = 1
USAGE: Final = 2
_INTERRUPTED: Final = 130
"""128 and the number of SIGINT, as shells tell it."""

COMMANDS: Final = {
    "run": "run the gateway",
    "check": "find every mistake in a configuration",
    "explain": "show which route takes a request, and what happens to it",
    "init": "write a configuration to start from",
    "proxy": "stand in front of one service, without any file",
    "health": "ask a running gateway whether it is ready",
    "inbox": "look at what is kept durably, deliver it again, take it out, copy it",
    "audit": "verify, export and show the audit trail",
    "plugins": "list the plugins, or one plugin's settings",
    "schema": "print the JSON Schema of configuration files, for editors",
    "reference": "print the reference of every key, as Markdown",
    "demo": "run a small service to try the gateway with",
    "version": "print the version",
}
"""Command → what it does. ``gateway.cli.<command>`` has ``define(parser)`` and ``run(options) -> int``."""
_WHOLE: Final = {
    "demo": "gateway.demo",
    "worker": "gateway.supervisor.child",  # not for people: a supervisor starts its children so
}
"""Commands that read their arguments themselves, with ``main(arguments) -> int``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # pydantic would look into every installed package for plugins of its own, which takes time and is never wanted.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
    except SystemExit as end:  # argparse, after --help and for mistakes
        return end.code if isinstance(end.code, int) else OK if end.code is None else PROBLEM
    except BrokenPipeError:
        # Whoever read our output has left (`| head`). Nothing more can be told; nor may the interpreter try at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return PROBLEM
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code


def _dispatch(arguments: list[str]) -> int:
    name = arguments[0] if arguments else ""
    if name in _WHOLE:
        return int(import_module(_WHOLE[name]).main(arguments[1:]))
    if name in COMMANDS:
        return _run(name, arguments[1:])
    if not name:
        print(_help(), file=sys.stderr)
        return USAGE
    if name in ("-h", "--help", "help"):
        return _print_help(arguments[1:])
    if name in ("-V", "--version"):
        return _run("version", [])
    from gateway.cli.foreign import run_foreign  # noqa: PLC0415 - looks into every plugin

    return run_foreign(name, arguments[1:])


def _run(name: str, arguments: list[str]) -> int:
    module = import_module(f"gateway.cli.{name}")
    from argparse import ArgumentParser, RawDescriptionHelpFormatter  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    parser = ArgumentParser(
        prog=f"gateway {name}", description=module.__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    module.define(parser)
    options, left = parser.parse_known_args(arguments)
    if left and (not hasattr(options, "files") or any(each.startswith("-") for each in left)):
        parser.error(f"unrecognized arguments: {' '.join(left)}")
    if left:  # argparse has no eyes for files behind an option that follows other words
        options.files = [*options.files, *map(Path, left)]
    return int(module.run(options))


def _print_help(words: list[str]) -> int:
    if words and words[0] in COMMANDS:
        return _dispatch([words[0], "--help"])
    print(_help())
    if words:
        from gateway.cli.foreign import foreign_help  # noqa: PLC0415

        print(foreign_help())
    return OK


def _help() -> str:
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:{width}}  {what}" for name, what in COMMANDS.items())
    return f"""\
usage: gateway COMMAND [ARGUMENTS]

Sidegate stands in front of a service that already exists.

{listed}

`gateway COMMAND --help` tells more about one; `gateway help all` adds the commands that plugins bring.

  gateway init --upstream http://127.0.0.1:9000    write gateway.yaml
  gateway check                                    every mistake in it, at once
  gateway run                                      serve"""
