"""`gateway inbox list | show | stats | export`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final, TextIO

from gateway.cli.inbox.desk import Desk, Problem, choosing, chosen_items, printable
from gateway.plugin.queued import (
    attempt_shown,
    item_exported,
    item_shown,
    request_shown,
    selection_shown,
    tally_shown,
    when,
)
from gateway.plugin.settings import format_duration
from gateway.services.audit import Result
from gateway.services.queue import Item

_STEP: Final = 1000
"""Items between two words about progress."""


def define(actions: Any) -> Iterator[argparse.ArgumentParser]:
    """Add the arguments."""
    listing = actions.add_parser("list", help="show items, oldest first")
    choosing(listing)
    listing.add_argument("--limit", type=int, default=50, metavar="N", help="most that are shown (default: 50)")
    listing.add_argument("--after", default=None, metavar="CURSOR", help="go on where the last list ended")
    listing.add_argument("--json", action="store_true", help="for scripts")
    yield listing
    show = actions.add_parser("show", help="show one item, its request and its attempts")
    show.add_argument("id", metavar="ID")
    show.add_argument("--json", action="store_true", help="for scripts")
    yield show
    stats = actions.add_parser("stats", help="show how each topic stands")
    stats.add_argument("--json", action="store_true", help="for scripts")
    yield stats
    export = actions.add_parser("export", help="write items with their original bytes, a JSON object a line")
    choosing(export)
    export.add_argument("-o", "--output", type=Path, metavar="FILE", help="made anew, readable by its owner only")
    yield export


async def _list(desk: Desk, options: argparse.Namespace) -> int:
    if not 1 <= options.limit <= 10_000:
        raise ValueError("--limit is a number from 1 to 10000")
    page = await desk.queue.find(chosen_items(options), after=options.after, limit=options.limit)
    if options.json:
        shown = [item_shown(item, desk.masking) for item in page.items]
        print(json.dumps({"items": shown, "after": page.after}, indent=2))
        return 0
    for item in page.items:
        print(printable(_line(item, desk)))
    if page.after is not None:
        print(f"there are more: --after {page.after}", file=sys.stderr)
    elif not page.items:
        print("nothing of that kind", file=sys.stderr)
    return 0


def _line(item: Item, desk: Desk) -> str:
    shown = item_shown(item, desk.masking)
    labels = " ".join(f"{name}={value}" for name, value in shown.get("labels", {}).items() if name != "route")
    last = shown.get("last", {})
    told = " ".join(str(part) for part in (last.get("status") or "", last.get("error", "")) if part)
    route = item.labels.get("route", item.topic)
    return f"{item.id}  {when(item.accepted)}  {item.state:7}  {route}  {item.attempts} tries  {told or '-'}  {labels}"


async def _show(desk: Desk, options: argparse.Namespace) -> int:
    item = await desk.queue.get(options.id)
    if item is None:
        raise Problem(f"there is no item {printable(options.id)}")
    attempts = await desk.queue.attempts(item.id)
    route = item.labels.get("route")
    shown = {
        **item_shown(item, desk.masking),
        "request": request_shown(item, desk.masking),
        "history": [attempt_shown(each, desk.masking, route) for each in attempts],
    }
    if options.json:
        print(json.dumps(shown, indent=2))
        return 0
    for key, value in shown.items():
        if key not in ("request", "history", "last"):
            text = " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
            print(printable(f"{key:9} {text}"))
    for each in shown["history"]:
        print(printable(f"attempt   {' '.join(f'{name}={value}' for name, value in each.items())}"))
    request = shown["request"]
    if request is None:
        print("request   is not kept, or cannot be read with these keys")
        return 0
    print(printable(f"\n{request['method']} {request['target']}"))
    for name, value in request["fields"]:
        print(printable(f"{name}: {value}"))
    print("\n" + "\n".join(printable(line) for line in request["body"].splitlines()))
    return 0


async def _stats(desk: Desk, options: argparse.Namespace) -> int:
    now = time.time()
    tallies = [tally_shown(each, now) for each in await desk.queue.tally()]
    if options.json:
        print(json.dumps(tallies, indent=2))
        return 0
    width = max((len(each["topic"]) for each in tallies), default=5)
    print(f"{'topic':{width}}  {'ready':>9} {'leased':>7} {'dead':>9} {'done':>9} {'MB':>9}  oldest")
    for each in tallies:
        age = format_duration(round(each["oldest_seconds"])) if each["oldest_seconds"] else "-"
        counts = f"{each['ready']:9} {each['leased']:7} {each['dead']:9} {each['done']:9} {each['bytes'] / 1e6:9.1f}"
        print(printable(f"{each['topic']:{width}}  {counts}  {age}"))
    return 0


async def _export(desk: Desk, options: argparse.Namespace) -> int:
    query = chosen_items(options)
    desk.ask_leave()
    number, result = 0, Result.FAILED
    try:
        with _written(options.output) as out:
            async for item in desk.queue.export(query):
                line = item_exported(item, await desk.queue.attempts(item.id), desk.masking)
                out.write(json.dumps(line) + "\n")  # in ASCII, which steers no terminal
                number += 1
                if not number % _STEP:
                    _tell(f"{number} items")
                    await asyncio.sleep(0)
        result = Result.SUCCESS
    finally:  # what is out is out, though it was cut
        desk.record("export", {"items": number, "query": selection_shown(query)}, result)
    print(f"{number} items", file=sys.stderr)
    return 0


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text}", end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _written(path: Path | None) -> Iterator[TextIO]:
    """Where to write. A file appears when it is whole, and is its owner's, whoever could read one before."""
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    if path.exists() and not path.is_file():  # a pipe, or a device
        with path.open("w", encoding="utf-8") as out:
            yield out
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            yield out
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


ACTIONS: Final[dict[str, Callable[[Desk, argparse.Namespace], Awaitable[int]]]] = {
    "list": _list,
    "show": _show,
    "stats": _stats,
    "export": _export,
}
