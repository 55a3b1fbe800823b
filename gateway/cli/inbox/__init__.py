"""What the gateway keeps durably: look at it, deliver it again, take it out, copy it.

  gateway inbox stats                                  how many wait, are dead, and how old the oldest is
  gateway inbox list --state dead --since 2h           dead letters of the last two hours
  gateway inbox show 01a1f…                            one item, its request (masked) and every attempt
  gateway inbox replay --route stripe --status 503 --dry-run
  gateway inbox replay --route stripe --status 503 --rate 20
  gateway inbox export --state dead -o dead.jsonl      with the original bytes
  gateway inbox purge 01a1f…                           delete; what is being delivered stays
  gateway inbox erase customer-4711                    delete all that holds this subject's data, in a running gateway's
                                                       caches and idempotency records too; backups end by `keep`
  gateway inbox backup /backup/queue.db                while the gateway runs
  gateway inbox check                                  whether the queue is sound
  gateway inbox restore /backup/queue.db               while it does not

It opens the queue that `stores.durable` of the configuration names, whether a gateway runs or not; one that runs takes
notice within a second. What is shown is masked as the logs are; an export is not. Items are chosen by id or by options,
which must all hold. Exit codes: 0 it worked, 1 it did not, 2 the command was not understood.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from gateway.cli.inbox import changing, copying, looking
from gateway.cli.inbox.desk import Desk, Problem, opened
from gateway.services.queue import QueueError, QueueUrlError

Action = Callable[[Desk, argparse.Namespace], Awaitable[int]]
_ACTIONS: Final[dict[str, Action]] = {**looking.ACTIONS, **changing.ACTIONS, **copying.ACTIONS}


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for module in (looking, changing, copying):
        for each in module.define(actions):
            each.add_argument(
                "-c", "--config", type=Path, action="append", default=[], metavar="FILE", help="configuration file"
            )


def run(options: argparse.Namespace) -> int:
    """Run one of the actions."""
    try:
        if options.action == "restore":
            return copying.restore_file(options)
        return asyncio.run(_run(options))
    except BrokenPipeError:  # whoever read it has seen enough; the interpreter must not complain of it at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except (Problem, ValueError, QueueError, QueueUrlError) as error:
        print(f"gateway inbox: {error}", file=sys.stderr)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"gateway inbox: {where}{error.strerror or error}", file=sys.stderr)
    return 1


async def _run(options: argparse.Namespace) -> int:
    async with opened(options.config) as desk:
        code = await _ACTIONS[options.action](desk, options)
        sys.stdout.flush()  # here, where it is known what to do if nobody reads it
        return code
