"""Print the JSON Schema of configuration files, which editors complete and check them by.

  gateway schema > gateway.schema.json
  gateway schema --write .        in the project's tree: config/schema.json and config/reference.md, made anew

Name it in the first line of a configuration:  # yaml-language-server: $schema=gateway.schema.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from gateway.config.schema import schema, write_generated


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--write",
        nargs="?",
        const=Path(),
        type=Path,
        metavar="DIRECTORY",
        help="write config/schema.json and config/reference.md below this directory (default: the working directory)",
    )


def run(options: argparse.Namespace) -> int:
    """Print or write it."""
    if options.write is None:
        print(json.dumps(schema(), indent=1, ensure_ascii=False))
        return 0
    try:
        changed = write_generated(options.write)
    except OSError as error:
        print(f"gateway schema: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    print("\n".join(f"wrote {path}" for path in changed) or "nothing has changed")
    return 0
