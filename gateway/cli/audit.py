"""The audit trail: verify that it is what was written, export records, show the newest.

  gateway audit verify                         the trail of gateway.yaml: whole, in order, nothing changed
  gateway audit verify --head 4711:9f86d0…     and its record 4711 is the one that was noted elsewhere
  gateway audit verify --path /copy --key-file audit.key
  gateway audit export --from 2026-11-01 --to 2026-12-01 --format csv -o november.csv
  gateway audit export --principal alice --result refused
  gateway audit tail -n 20
  gateway audit head                           sequence and hash of the newest record, to be noted elsewhere

Exit codes: 0 the trail holds, 1 it does not or cannot be read, 2 the command was not understood. A trail may be looked
at while a gateway writes it. Exports are recorded in the trail themselves.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TextIO

from gateway.cli.files import NoFile, chosen
from gateway.cli.files import read as read_configuration
from gateway.cli.report import report
from gateway.services.audit import (
    Event,
    Keys,
    Kind,
    Result,
    TrailOptions,
    Verdict,
    Writer,
    files,
    record_command,
    verify,
)
from gateway.services.audit.reading import Count, Filter, csv_head, csv_row, last_lines
from gateway.services.audit.reading import read as read_records
from gateway.services.masking import Masking

_HEAD: Final = re.compile(r"([0-9]{1,19}):([0-9a-f]{64})")
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,3})?)?Z?)?")
_STEP: Final = 50_000
"""Records between two words about progress."""


class _Problem(Exception):
    """Told on stderr; the command ends with 1."""


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="verify | export | tail | head")
    checking = actions.add_parser("verify", help="find what was changed, left out, put in or cut off")
    checking.add_argument("--head", type=_head, metavar="SEQ:HASH", help="a record that must be there, noted before")
    checking.add_argument("--from", dest="since", type=_moment, metavar="DAY", help="only from this day on")
    checking.add_argument("--json", action="store_true", help="for scripts")
    export = actions.add_parser("export", help="write records to a file or standard output")
    export.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", help="jsonl: as they are on the disk")
    export.add_argument("-o", "--output", type=Path, metavar="FILE", help="made anew, readable by its owner only")
    tail = actions.add_parser("tail", help="show the newest records")
    tail.add_argument("-n", type=int, default=10, metavar="N", help="how many (default: 10)")
    tail.add_argument("--json", action="store_true", help="as they are on the disk")
    head = actions.add_parser("head", help="print sequence and hash of the newest record")
    for each in (export, tail):
        _filters(each)
    for each in (checking, export, tail, head):
        each.add_argument("-c", "--config", type=Path, action="append", default=[], metavar="FILE")
        each.add_argument("--path", type=Path, metavar="FOLDER", help="a trail, or a copy of one, in place of -c")
        each.add_argument(
            "--key-file",
            type=Path,
            action="append",
            default=[],
            metavar="FILE",
            help="with --path: its keys, newest first",
        )


def _filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="since", type=_moment, metavar="TIME", help="day or time, in UTC")
    parser.add_argument("--to", dest="until", type=_moment, metavar="TIME", help="before this")
    parser.add_argument("--route", default="", help="of this route")
    parser.add_argument("--principal", default="", help="of this one, as it is or as its token")
    parser.add_argument("--tenant", default="")
    parser.add_argument("--resource", default="", metavar="START", help="resources that begin so")
    parser.add_argument("--kind", action="append", default=[], choices=[kind.value for kind in Kind])
    parser.add_argument("--result", action="append", default=[], choices=[result.value for result in Result])


def run(options: argparse.Namespace) -> int:
    """Run one of the actions."""
    actions = {"verify": _verify, "export": _export, "tail": _tail, "head": _print_head}
    try:
        return actions[options.action](options, _trail(options))
    except (_Problem, ValueError) as error:
        print(f"gateway audit: {error}", file=sys.stderr)
    except FileNotFoundError as error:
        print(f"gateway audit: there is no trail: {error.filename}", file=sys.stderr)
    except OSError as error:
        print(f"gateway audit: {error.filename or ''}: {error.strerror}", file=sys.stderr)
    return 1


def _trail(options: argparse.Namespace) -> TrailOptions:
    """Where the trail is, and its keys. Raises _Problem or OSError."""
    if options.path is not None:
        secrets = tuple(path.read_bytes().rstrip(b"\r\n") for path in options.key_file)
        return TrailOptions(path=options.path, instance="", secrets=secrets)
    if options.key_file:
        raise _Problem("--key-file goes with --path; a configuration has keys of its own")
    try:
        loaded, problems = read_configuration(chosen(options.config))
    except NoFile:
        raise _Problem("say -c FILE or --path FOLDER") from None
    if loaded is None:
        report(problems, sys.stderr)
        raise _Problem("the configuration cannot be used")
    if loaded.config.audit is None:
        raise _Problem("this configuration has no `audit`")
    return loaded.config.audit.options


# -- verify ------------------------------------------------------------------------------------------------------------


def _verify(options: argparse.Namespace, trail: TrailOptions) -> int:
    with _progress("verified") as progress:
        verdict = verify(
            trail.path, Keys(trail.secrets), expected=options.head, since=options.since or "", progress=progress
        )
    if not options.since:
        _note_verified(trail.path, verdict)
    if options.json:
        print(json.dumps({"ok": verdict.ok, **dataclasses.asdict(verdict)}, indent=2))
        return 0 if verdict.ok else 1
    for note in verdict.notes:
        told = " ".join(f"{key}={value}" for key, value in note.items() if key not in ("file", "line", "seq"))
        print(f"{note['file']}:{note['line']}: note: {told}", file=sys.stderr)
    for found in verdict.breaks:
        print(f"{trail.path / found.file if found.file else trail.path}{_place(found.line)}: {found.what}")
    if verdict.more:
        print(f"and {verdict.more} more")
    signed = "signed" if verdict.keyed else "without a key"
    print(
        f"{'holds' if verdict.ok else 'does NOT hold'}: {verdict.records} records ({verdict.first} to {verdict.last}) "
        f"in {verdict.files} files, {signed}; head {verdict.last}:{verdict.hash}"
    )
    return 0 if verdict.ok else 1


def _place(line: int) -> str:
    return f":{line}" if line else ""


def _note_verified(folder: Path, verdict: Verdict) -> None:
    """For the gateway's metric. Who may only read the trail leaves no note."""
    told = {"at": round(time.time(), 3), "ok": verdict.ok, "seq": verdict.last, "hash": verdict.hash}
    with contextlib.suppress(OSError):
        draft = folder / f".{files.VERIFIED}.{os.getpid()}"
        draft.unlink(missing_ok=True)
        with files.made(draft, 0o644) as out:  # follows no link, as somebody else may own the folder
            out.write(json.dumps(told).encode())
        draft.replace(folder / files.VERIFIED)


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Any]:
    """A line that grows, where somebody sits before it."""
    if not sys.stderr.isatty():
        yield None
        return

    def tell(done: int, total: int) -> None:
        print(f"\r{what} {done / 1e6:.0f} of {total / 1e6:.0f} MB", end="", file=sys.stderr, flush=True)

    yield tell
    print("\r\x1b[K", end="", file=sys.stderr)


# -- export and tail ---------------------------------------------------------------------------------------------------


def _filter(options: argparse.Namespace, trail: TrailOptions) -> Filter:
    actors: frozenset[str] = frozenset()
    if options.principal:
        writer = Writer("", Masking(), trail.identity_key)
        event = Event(Kind.REQUEST, "", "", Result.SUCCESS, options.principal)
        actors = frozenset({options.principal, writer.actor(event)})
    return Filter(
        since=options.since or "",
        until=options.until or "",
        kinds=frozenset(options.kind),
        results=frozenset(options.result),
        route=options.route,
        actors=actors,
        tenant=options.tenant,
        resource=options.resource,
    )


def _export(options: argparse.Namespace, trail: TrailOptions) -> int:
    count, number, result = Count(), 0, Result.ABORTED
    wanted = _filter(options, trail)
    try:
        with _opened(options.output) as out, _progress("read") as progress:
            if options.format == "csv":
                out.write(csv_head())
            for line, record in read_records(trail.path, Keys(trail.secrets), wanted, count):
                number += 1
                out.write(csv_row(record) if options.format == "csv" else line.decode("utf-8", "replace") + "\n")
                if progress is not None and not number % _STEP:
                    progress(count.bytes, count.total)
            out.flush()
        result = Result.SUCCESS
    finally:  # who stops it half-way has seen half
        if options.path is None and (number or result is Result.SUCCESS):
            _record_export(options, trail, number, result)
    print(f"{number} records", file=sys.stderr)
    if count.broken:
        print(
            f"gateway audit: {count.broken} lines are not what was written; `gateway audit verify` says more",
            file=sys.stderr,
        )
        return 1
    return 0


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):  # one that was there may be for others to read
        os.fchmod(descriptor, 0o600)
        os.ftruncate(descriptor, 0)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as out:
        yield out


def _record_export(options: argparse.Namespace, trail: TrailOptions, number: int, result: Result) -> None:
    """Looking into the trail is an access to what it holds."""
    names = ("since", "until", "route", "principal", "tenant", "resource", "kind", "result", "format")
    asked = {f"filter_{name}": value for name in names if (value := getattr(options, name))}
    record_command(trail, "audit.export", str(trail.path), result, {**asked, "records": number})


def _tail(options: argparse.Namespace, trail: TrailOptions) -> int:
    if options.n < 1:
        raise _Problem("-n wants a number above 0")
    for record in last_lines(trail.path, Keys(trail.secrets), _filter(options, trail), options.n):
        print(json.dumps(record, ensure_ascii=False) if options.json else _told(record))
    return 0


def _told(record: dict[str, Any]) -> str:
    """A record for people; what could steer a terminal is written out."""
    status = record.get("status", "")
    text = (
        f"{record.get('ts', ''):24} {record.get('result', ''):8} {status!s:3} {record.get('actor') or '-'} "
        f"{record.get('action', '')} {record.get('resource', '')}"
    )
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def _print_head(_options: argparse.Namespace, trail: TrailOptions) -> int:
    stands = files.standing(trail.path, Keys(trail.secrets))
    if stands.head is None:
        raise _Problem("the head is missing, or cannot be read with these keys")
    print(stands.head)
    return 0


def _head(text: str) -> tuple[int, str]:
    found = _HEAD.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"expected SEQ:HASH as `gateway audit head` prints it, got {text!r}")
    return int(found[1]), found[2]


def _moment(text: str) -> str:
    if not _MOMENT.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected 2026-11-21 or 2026-11-21T08:00Z, got {text!r}")
    return text.removesuffix("Z")
