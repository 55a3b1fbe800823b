"""Print the version, and those of what it stands on.

  gateway version
  gateway version --json

A report of a fault should hold it.
"""

from __future__ import annotations

import argparse
import json
import platform
from importlib import metadata
from typing import Final

_TOLD: Final = ("aiohttp", "httptools", "uvloop", "pydantic", "redis")
"""Packages without which a report of a fault is hard to read."""


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """Print it."""
    found = {"sidegate": _version("sidegate"), "python": platform.python_version()}
    found |= {name: _version(name) for name in _TOLD}
    if options.json:
        print(json.dumps(found))
    else:
        others = ", ".join(f"{name} {version}" for name, version in list(found.items())[1:])
        print(f"sidegate {found['sidegate']} ({others})")
    return 0


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # run from a tree that was never installed
        return "unknown"
