"""Run the gateway until SIGTERM or Ctrl-C.

  gateway run                              gateway.yaml here, else /etc/sidegate/gateway.yaml
  gateway run front.yaml
  gateway run -c base.yaml -c prod.yaml    merged in this order

A changed file is taken up without losing a request; SIGHUP does so at once and begins new log files. SIGUSR1 and
SIGUSR2 log more and less.
"""

from __future__ import annotations

import argparse
import sys

from gateway.cli.files import chosen, define_files, read
from gateway.cli.report import report


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    define_files(parser)


def run(options: argparse.Namespace) -> int:
    """Load, tell the warnings, serve."""
    paths = chosen(options.files, tell=True)
    loaded, problems = read(paths)
    report(problems, sys.stderr)
    if loaded is None:
        print("gateway: not started, because the configuration has mistakes", file=sys.stderr)
        return 1
    from gateway.supervisor.gateway import run as serve  # noqa: PLC0415 - not needed to say what is wrong

    return serve(paths, loaded)
