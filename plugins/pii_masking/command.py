"""`gateway pseudonym`: what stands in logs, traces and audit records in place of a value."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from gateway.plugin import Command
from gateway.services.masking import SHORTEST_KEY, token_of
from plugins.pii_masking.actions import CATEGORIES


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("values", nargs="*", metavar="VALUE", help="what is looked for; without any, lines of stdin")
    parser.add_argument(
        "--as", dest="category", choices=CATEGORIES, default="email", help="what it is (default: %(default)s)"
    )
    parser.add_argument("--key-env", default="MASKING_KEY", metavar="NAME", help="variable with the key of `hash`")
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="file with the key, in place of a variable")


def _run(options: argparse.Namespace) -> int:
    try:
        key = _key(options)
    except (OSError, ValueError) as error:
        print(f"gateway pseudonym: {error}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    # Values given on the command line can be seen by everybody on the machine, so stdin does as well.
    for value in options.values or map(str.strip, sys.stdin):
        if value:
            print(token_of(key, options.category, value))  # noqa: T201
    return 0


def _key(options: argparse.Namespace) -> bytes:
    if options.key_file is not None:
        key = str(options.key_file.read_text(encoding="utf-8")).strip().encode()
    else:
        key = os.environ.get(options.key_env, "").encode()
        if not key:
            raise ValueError(f"the variable {options.key_env} is not set; it has the `key` of pii_masking")
    if len(key) < SHORTEST_KEY:
        raise ValueError(f"the key needs at least {SHORTEST_KEY} bytes")
    return key


COMMAND: Final = Command("pseudonym", "Show what logs show in place of a value.", _run, _arguments)
