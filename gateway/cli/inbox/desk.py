"""The queue of a configuration, open for one command."""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.cli.files import NoFile, chosen
from gateway.cli.files import read as read_configuration
from gateway.cli.report import report
from gateway.config.model import Config
from gateway.plugin.queued import PARAMETERS, selection
from gateway.runtime.logs import masking_of
from gateway.services.audit import Result, record_command
from gateway.services.audit.command import may_record
from gateway.services.clock import Clock
from gateway.services.masking import Masking
from gateway.services.queue import Query, Queue
from gateway.services.queue.opening import open_queue
from gateway.services.queue.sqlite import path_of

_REPEATED: Final = ("id", "state", "label")


class Problem(Exception):
    """Told on stderr; the command ends with 1."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What a command works with."""

    config: Config
    queue: Queue
    masking: Masking

    def record(self, action: str, details: Mapping[str, Any], result: Result = Result.SUCCESS) -> None:
        """Put what was done in the audit trail, if there is one."""
        if self.config.audit is not None:
            record_command(self.config.audit.options, f"inbox.{action}", "queue", result, details)

    def ask_leave(self) -> None:
        """Raises Problem if what has to be recorded cannot be."""
        if self.config.audit is not None and not may_record(self.config.audit.options):
            raise Problem("the audit trail cannot be written, so nothing is changed")


def configuration(files: Sequence[Path]) -> Config:
    """The configuration meant. Raises Problem if it cannot be used or names no queue."""
    try:
        loaded, problems = read_configuration(chosen(files))
    except NoFile:
        raise Problem("say which configuration with -c FILE") from None
    if loaded is None:
        report(problems, sys.stderr)
        raise Problem("the configuration cannot be used")
    if loaded.config.stores.durable is None:
        raise Problem("this configuration keeps nothing: it names no `stores.durable`")
    return loaded.config


@contextlib.asynccontextmanager
async def opened(files: Sequence[Path]) -> AsyncIterator[Desk]:
    """Raises Problem, QueueUnavailable or QueueUrlError."""
    config = configuration(files)
    assert config.stores.durable is not None
    url = config.stores.durable.get_secret_value()
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and not path_of(rest).exists():
        raise Problem(f"nothing was ever kept: there is no {path_of(rest)}")
    queue = await open_queue(url, config.queue.settings(f"{socket.gethostname()}:{os.getpid()}:inbox"), Clock())
    try:
        yield Desk(config, queue, masking_of(config))
    finally:
        await queue.close()


def choosing(parser: argparse.ArgumentParser) -> None:
    """Add ids and the options that items are chosen by."""
    parser.add_argument("id", nargs="*", metavar="ID", help="these items")
    for name, what in PARAMETERS.items():
        if name != "id":
            repeated = "append" if name in _REPEATED else "store"
            parser.add_argument(f"--{name}", action=repeated, default=None, metavar=name.upper(), help=what)


def chosen_items(options: argparse.Namespace) -> Query:
    """What the options mean. Raises ValueError."""
    given: dict[str, Sequence[str]] = {}
    for name in PARAMETERS:
        value = getattr(options, name)
        if value is not None and value != []:
            given[name] = value if isinstance(value, list) else [value]
    return selection(given, time.time())


def printable(text: str) -> str:
    """Without what could steer a terminal."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
