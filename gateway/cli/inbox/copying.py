"""`gateway inbox backup | restore | check`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

from gateway.cli.inbox.desk import Desk, Problem, configuration


def define(actions: Any) -> Iterator[argparse.ArgumentParser]:
    """Add the arguments."""
    backup = actions.add_parser("backup", help="write a consistent copy, while the gateway runs or not")
    backup.add_argument("destination", type=Path, metavar="FILE", help="must not be there yet")
    yield backup
    restore = actions.add_parser("restore", help="put a copy in the queue's place; the gateway must not run")
    restore.add_argument("source", type=Path, metavar="FILE")
    yield restore
    yield actions.add_parser("check", help="find out whether the queue is sound")


async def _backup(desk: Desk, options: argparse.Namespace) -> int:
    if await asyncio.to_thread(options.destination.exists):
        raise Problem(f"{options.destination} is there already")
    await desk.queue.backup(options.destination)
    print(options.destination)
    desk.record("backup", {"destination": str(options.destination)})
    return 0


async def _check(desk: Desk, _options: argparse.Namespace) -> int:
    for line in getattr(desk.queue, "warnings", ()):
        print(f"warning: {line}", file=sys.stderr)
    wrong = await desk.queue.check()
    for line in wrong:
        print(line)
    if not wrong:
        print("sound")
    return 1 if wrong else 0


def restore_file(options: argparse.Namespace) -> int:
    """Not through an open queue: nobody may have it open. Raises Problem, InUse or QueueUnavailable."""
    from gateway.services.queue.sqlite import path_of, restore  # noqa: PLC0415 - of one kind of queue

    config = configuration(options.config)
    assert config.stores.durable is not None
    scheme, _, rest = config.stores.durable.get_secret_value().partition("://")
    if scheme != "sqlite":
        raise Problem("a queue in Redis is restored with Redis' own files (RDB or AOF)")
    if not options.source.is_file():
        raise Problem(f"there is no {options.source}")
    path = path_of(rest)
    before = restore(options.source, path)
    if config.audit is not None:
        from gateway.services.audit import Result, record_command  # noqa: PLC0415

        details = {"source": str(options.source)}
        record_command(config.audit.options, "inbox.restore", str(path), Result.SUCCESS, details)
    print(f"{path} is {options.source} now" + (f"; what was there is kept as {before}" if before is not None else ""))
    return 0


ACTIONS: Final[dict[str, Callable[[Desk, argparse.Namespace], Awaitable[int]]]] = {"backup": _backup, "check": _check}
