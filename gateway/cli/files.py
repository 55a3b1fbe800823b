"""Which configuration files are meant, and what is in them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.config.load import ConfigurationError, Loaded, load
from gateway.plugin.tree import Problem
from gateway.runtime.review import findings

USUAL: Final = (Path("gateway.yaml"), Path("/etc/sidegate/gateway.yaml"))
"""Where a configuration is looked for if none is named."""


class NoFile(SystemExit):
    """No file was named, and there is none in the usual places. A usage mistake."""

    def __init__(self) -> None:
        super().__init__(2)
        places = " nor ".join(str(path) for path in USUAL)
        print(f"gateway: no configuration named, and neither {places} is there", file=sys.stderr)
        print("  gateway init --upstream http://127.0.0.1:9000    writes one to start from", file=sys.stderr)


class _Append(argparse.Action):
    """Files named with and without ``-c``, in one list; a positional that is empty adds nothing."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        del parser, option_string
        given = values if isinstance(values, list) else [values] if values is not None else []
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or []), *given])


def define_files(parser: argparse.ArgumentParser) -> None:
    """Add ``FILE …`` and ``-c FILE``, as ``files``."""
    parser.add_argument(
        "files", nargs="*", type=Path, action=_Append, default=[], metavar="FILE", help="configuration file"
    )
    parser.add_argument(
        "-c",
        "--config",
        dest="files",
        type=Path,
        action=_Append,
        default=[],
        metavar="FILE",
        help="configuration file; several are merged in the order given, later ones over earlier ones",
    )


def chosen(named: Sequence[Path], *, tell: bool = False) -> list[Path]:
    """The files named, else the first of the usual places; ``tell`` says which, on stderr. Raises NoFile."""
    if named:
        return list(named)
    for path in USUAL:
        if path.is_file():
            if tell:
                print(f"gateway: configuration from {path}", file=sys.stderr)
            return [path]
    raise NoFile


def read(paths: Sequence[Path]) -> tuple[Loaded | None, list[Problem]]:
    """The configuration, and every mistake and warning by file and line; None if it cannot be used."""
    try:
        loaded = load(paths, review=findings)
    except ConfigurationError as error:
        return None, list(error.problems)
    return loaded, list(loaded.problems)
