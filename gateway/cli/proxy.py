"""Stand in front of one service, without any file.

  gateway proxy --to http://127.0.0.1:9000
  gateway proxy --to http://10.0.0.1:9000 --to http://10.0.0.2:9000     in turn
  gateway proxy --to unix:/run/app.sock --listen 0.0.0.0:80 --admin off --access-log off

It adds timeouts, retries, request ids, metrics and an access log, and no policy. `gateway init` writes the same as a
file, to go on from.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Final

from gateway.config.load import ConfigurationError, load_text

_OPTIONS: Final = {
    "upstreams": "--to",
    "listeners": "--listen",
    "admin": "--admin",
    "access_log": "--access-log",
    "log": "--log",
}
"""What of the configuration comes from where."""


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--to", action="append", required=True, metavar="URL", help="http://, https:// or unix:/path; may be repeated"
    )
    parser.add_argument(
        "--listen",
        action="append",
        metavar="ADDRESS",
        help="where to take requests; may be repeated (default: 127.0.0.1:8080)",
    )
    parser.add_argument(
        "--admin", default="127.0.0.1:9901", metavar="ADDRESS", help="metrics and health, or off (default: %(default)s)"
    )
    parser.add_argument(
        "--access-log", default="stdout", metavar="WHERE", help="stdout, stderr, off or a file (default: %(default)s)"
    )
    parser.add_argument(
        "--log",
        choices=("console", "json"),
        default="console" if sys.stderr.isatty() else "json",
        help="form of the gateway's own log (default: console on a terminal, else json)",
    )


def run(options: argparse.Namespace) -> int:
    """Serve."""
    try:
        # JSON is YAML. A $ on the command line was the shell's to replace.
        loaded = load_text(json.dumps(configuration(options)).replace("${", "$${"), name="command line")
    except ConfigurationError as error:
        for problem in error.problems:
            option = _OPTIONS.get(problem.path.partition(".")[0].partition("[")[0], "")
            print(f"gateway proxy: {f'{option}: ' if option else ''}{problem.message}", file=sys.stderr)
        return 2
    for warning in loaded.problems:
        print(f"gateway proxy: warning: {warning.message}", file=sys.stderr)
    from gateway.supervisor.gateway import run as serve  # noqa: PLC0415 - not needed to say what is wrong

    return serve((), loaded)


def configuration(options: argparse.Namespace) -> dict[str, Any]:
    """The configuration that these options stand for."""
    log = options.access_log
    return {
        "listeners": [{"bind": address} for address in options.listen or ["127.0.0.1:8080"]],
        "admin": options.admin if options.admin == "off" else {"bind": options.admin},
        "access_log": log if log in ("stdout", "stderr", "off") else {"file": log},
        "log": {"format": options.log},
        "upstreams": {"service": {"targets": options.to}},
        "routes": [{"name": "all", "match": {"path": "/"}, "upstream": "service"}],
    }
