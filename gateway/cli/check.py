"""Find every mistake in a configuration, at once.

  gateway check                               gateway.yaml here, else /etc/sidegate/gateway.yaml
  gateway check -c base.yaml -c prod.yaml     merged in this order, as `gateway run` would
  gateway check --strict                      warnings count as well
  gateway check --json | jq '.problems[]'     for scripts

Nothing is opened or connected to. Variables are taken from the environment, as they will be by `gateway run`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.cli.files import chosen, define_files, read
from gateway.cli.report import report
from gateway.config.entry import plugins_in
from gateway.config.load import Loaded
from gateway.config.model import Config
from gateway.plugin.tree import Problem, Severity


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    define_files(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--strict", action="store_true", help="exit with 1 on warnings, too")


def run(options: argparse.Namespace) -> int:
    """Check, tell, and exit with 1 if there is something."""
    paths = chosen(options.files, tell=not options.json)
    loaded, problems = read(paths)
    if options.json:
        print(json.dumps(_as_json(paths, loaded, problems), indent=2, ensure_ascii=False))
    else:
        report(problems, sys.stderr, files=paths)
        print(_verdict(loaded, problems), file=sys.stdout if loaded else sys.stderr)
    return 1 if loaded is None or (options.strict and problems) else 0


def counted(config: Config) -> dict[str, int]:
    """How many routes, upstreams and plugins there are; a plugin of ``defaults`` counts once."""
    lists = [config.defaults.plugins, *(route.plugins for route in config.routes)]
    lists += [upstream.attempt for upstream in config.upstreams.values()]
    plugins = sum(1 for entries in lists for _ in plugins_in(entries))
    return {"routes": len(config.routes), "upstreams": len(config.upstreams), "plugins": plugins}


def _verdict(loaded: Loaded | None, problems: Sequence[Problem]) -> str:
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    found = [_number(count, kind) for count, kind in ((errors, "error"), (len(problems) - errors, "warning")) if count]
    if loaded is None:
        return ", ".join(found)
    things = ", ".join(_number(count, kind.removesuffix("s")) for kind, count in counted(loaded.config).items())
    return f"ok: {things}" + (f"; {found[0]}" if found else "")


def _number(count: int, kind: str) -> str:
    return f"{count} {kind}" if count == 1 else f"{count} {kind}s"


def _as_json(paths: Sequence[Path], loaded: Loaded | None, problems: Sequence[Problem]) -> dict[str, Any]:
    told: dict[str, Any] = {"ok": loaded is not None, "files": [str(path) for path in paths]}
    if loaded is not None:
        told |= {**counted(loaded.config), "digest": loaded.digest}
    return told | {
        "problems": [
            {
                "file": problem.position.file,
                "line": problem.position.line,
                "column": problem.position.column,
                "severity": problem.severity.value,
                "path": problem.path,
                "message": problem.message,
                "hint": problem.hint,
            }
            for problem in problems
        ]
    }
