"""`gateway inbox replay | purge | erase`."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from gateway.cli.inbox.desk import Desk, Problem, choosing, chosen_items
from gateway.plugin.queued import is_everything
from gateway.services.queue import Query, State

_REPLAYED: Final = frozenset({State.DEAD, State.DONE})
_SHOWN: Final = 10
"""Ids that a dry run shows."""


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
    erase = actions.add_parser("erase", help="delete all that holds a subject's data, wherever it stands")
    erase.add_argument("subject", metavar="SUBJECT", help="as the gateway knows it, such as a principal's id")
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
    number = await desk.queue.replay(query, rate=options.rate)
    desk.record("replay", {"items": number, "query": str(query)})
    pace = f", {options.rate:g} a second" if options.rate is not None else ""
    print(f"{number} items will be delivered again{pace}")
    return 0


async def _purge(desk: Desk, options: argparse.Namespace) -> int:
    query = _meant(options)
    if options.dry_run:
        return await _dry(desk, query, "would be deleted, unless they are being delivered")
    desk.ask_leave()
    number = await desk.queue.purge(query)
    desk.record("purge", {"items": number, "query": str(query)})
    print(f"{number} items deleted")
    return 0


async def _dry(desk: Desk, query: Query, what: str) -> int:
    number = await desk.queue.count(query)
    print(f"{number} items {what}")
    for item in (await desk.queue.find(query, limit=_SHOWN)).items:
        print(f"  {item.id}")
    if number > _SHOWN:
        print(f"  and {number - _SHOWN} more")
    return 0


async def _erase(desk: Desk, options: argparse.Namespace) -> int:
    if not options.subject:
        raise ValueError("SUBJECT is empty")
    desk.ask_leave()
    number = await desk.queue.erase(options.subject)
    desk.record("erase", {"items": number})  # whose data it was is just what must not be kept
    print(f"{number} items deleted")
    return 0


ACTIONS: Final[dict[str, Callable[[Desk, argparse.Namespace], Awaitable[int]]]] = {
    "replay": _replay,
    "purge": _purge,
    "erase": _erase,
}
