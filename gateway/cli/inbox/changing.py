"""`gateway inbox replay | purge | erase`."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import itertools
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from gateway import registry
from gateway.cli.health import ask, listener_of
from gateway.cli.inbox.desk import Desk, Problem, choosing, chosen_items, printable
from gateway.config.entry import PluginEntry
from gateway.config.model import Config
from gateway.plugin import Plugin
from gateway.plugin.context import Mode
from gateway.plugin.queued import is_everything, selection_shown
from gateway.services.audit import Result
from gateway.services.queue import Query, State

_REPLAYED: Final = frozenset({State.DEAD, State.DONE})
_SHOWN: Final = 10
"""Ids that a dry run shows."""
_PATIENCE: Final = 90.0
"""Seconds: it may look at every key of a Redis."""


def define(actions: Any) -> Iterator[argparse.ArgumentParser]:
    """Add the arguments."""
    replay = actions.add_parser("replay", help="deliver dead letters again, as they came")
    choosing(replay)
    replay.add_argument("--rate", type=float, default=None, metavar="N", help="at most N a second")
    yield replay
    purge = actions.add_parser("purge", help="delete items, except those that are being delivered")
    choosing(purge)
    yield purge
    for each in (replay, purge):
        each.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
        each.add_argument("--all", action="store_true", help="needed where no id and no option says which")
    erase = actions.add_parser(
        "erase",
        help="delete all that holds a subject's data: here, and what plugins of the running gateway keep elsewhere",
    )
    erase.add_argument(
        "subject",
        metavar="SUBJECT",
        help="as the gateway knows it, such as a principal's id; -: a line of standard input, in no process list",
    )
    erase.add_argument("--queue-only", action="store_true", help="ask no running gateway")
    yield erase


def _meant(options: argparse.Namespace) -> Query:
    query = chosen_items(options)
    if is_everything(query) and not options.all:
        raise Problem("say which: ids, or options such as --route; --all for everything")
    return query


async def _replay(desk: Desk, options: argparse.Namespace) -> int:
    query = _meant(options)
    if not query.states:
        # By id a done one is meant as well; by options only what has failed.
        query = dataclasses.replace(query, states=_REPLAYED if query.ids else frozenset({State.DEAD}))
    if not query.states <= _REPLAYED:
        raise ValueError("only dead and done items can be delivered again; others still wait to be")
    if options.rate is not None and not 0.001 <= options.rate <= 1e6:
        raise ValueError("--rate is a number above 0")
    if options.dry_run:
        return await _dry(desk, query, "would be delivered again")
    desk.ask_leave()
    number = await _recorded(desk, "replay", desk.queue.replay(query, rate=options.rate), query)
    pace = f", {options.rate:g} a second" if options.rate is not None else ""
    print(f"{number} items will be delivered again{pace}")
    return 0


async def _purge(desk: Desk, options: argparse.Namespace) -> int:
    query = _meant(options)
    if options.dry_run:
        return await _dry(desk, query, "would be deleted, unless they are being delivered")
    desk.ask_leave()
    number = await _recorded(desk, "purge", desk.queue.purge(query), query)
    print(f"{number} items deleted")
    return 0


async def _recorded(desk: Desk, action: str, work: Awaitable[int], query: Query | None = None) -> int:
    """How many it were. What fails is recorded too: a part may have been done."""
    details = {"query": selection_shown(query)} if query is not None else {}
    try:
        number = await work
    except BaseException:
        desk.record(action, details, Result.FAILED)
        raise
    desk.record(action, {"items": number, **details})
    return number


async def _dry(desk: Desk, query: Query, what: str) -> int:
    number = await desk.queue.count(query)
    print(f"{number} items {what}")
    for item in (await desk.queue.find(query, limit=_SHOWN)).items:
        print(f"  {item.id}")
    if number > _SHOWN:
        print(f"  and {number - _SHOWN} more")
    return 0


async def _erase(desk: Desk, options: argparse.Namespace) -> int:
    subject = options.subject if options.subject != "-" else sys.stdin.readline().strip()
    if not subject:
        raise ValueError("SUBJECT is empty")
    desk.ask_leave()
    # Whose data it was is just what must not be kept.
    number = await _recorded(desk, "erase", desk.queue.erase(subject))
    print(f"{number} items deleted")
    return 0 if options.queue_only else await asyncio.to_thread(_erase_elsewhere, desk.config, subject)


def _erase_elsewhere(config: Config, subject: str) -> int:
    """What plugins keep in their memory and in `stores.shared` only a running gateway can find."""
    keeping = sorted(_keeping(config))
    if not keeping:
        return 0
    rest = f"what {', '.join(keeping)} may keep is not erased"
    if config.admin is None:
        raise Problem(f"`admin` is off in this configuration, so {rest}")
    try:
        status, answer = ask(listener_of(config.admin, "/erase"), _PATIENCE, json.dumps({"subject": subject}).encode())
        told = json.loads(answer)
        failed = told.get("failed") or ([] if status == 200 else [told.get("detail")])
    except (OSError, ValueError, AttributeError) as error:
        raise Problem(f"no gateway answers at its admin listener ({error}), so {rest}") from None
    if failed:
        raise Problem(f"{rest}: {printable('; '.join(map(str, failed)))}")
    print(f"{told['answers']} answers that plugins kept deleted")
    return 0


def _keeping(config: Config) -> Iterator[str]:
    """Names of the plugins in use that keep bodies outside the queue."""
    entries = itertools.chain(config.defaults.plugins, *(route.plugins for route in config.routes))
    for name in {each.plugin for each in entries if isinstance(each, PluginEntry) and each.mode is not Mode.OFF}:
        if registry.find(name).erase is not Plugin.erase:
            yield name


ACTIONS: Final[dict[str, Callable[[Desk, argparse.Namespace], Awaitable[int]]]] = {
    "replay": _replay,
    "purge": _purge,
    "erase": _erase,
}
