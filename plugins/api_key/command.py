"""`gateway keys`: add, list and revoke API keys in a file."""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import datetime as dt
import hashlib
import secrets
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from gateway.errors import StoreUnavailable
from gateway.plugin import Command
from gateway.plugin.settings import parse_duration
from gateway.services.store import Store, open_store
from plugins.api_key.file import KeyEntry, KeysDocument, changing, read_keys
from plugins.api_key.source import keys_of, parse_document, write_keys

T = TypeVar("T")
PATIENCE: Final = 5.0
"""Seconds that a store may take: a person waits, not a request."""

PREFIX: Final = "sgk"
"""By which scanners find a key that leaked."""


def new_key() -> tuple[str, str]:
    """An id and the whole key, which holds it: 48 and 256 random bits."""
    made = secrets.token_hex(6)
    secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
    return made, f"{PREFIX}_{made}_{secret}"


def _arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="add | list | revoke")
    add = actions.add_parser("add", help="make a key; it is shown once")
    add.add_argument("principal", help="who it belongs to")
    add.add_argument("--tenant")
    add.add_argument("--role", action="append", default=[], metavar="ROLE", help="may be repeated")
    add.add_argument("--scope", action="append", default=[], metavar="SCOPE", help="may be repeated")
    add.add_argument("--rate-class")
    add.add_argument("--expires", metavar="WHEN", help="a duration such as 90d, or a time such as 2027-01-01T00:00:00Z")
    add.add_argument("--note", default="")
    listing = actions.add_parser("list", help="show the keys, without what would open anything")
    revoke = actions.add_parser("revoke", help="refuse a key from now on")
    revoke.add_argument("id", help="the middle part of the key, as `list` shows it")
    for each in (add, listing, revoke):
        each.add_argument("--file", type=Path, default=Path("keys.yaml"), help="default: %(default)s")
        each.add_argument("--store", metavar="URL", help="in this Redis, as `stores.shared` names it, and in no file")
        each.add_argument("--name", default="keys", help="under this name in the store (default: %(default)s)")


def _run(options: argparse.Namespace) -> int:
    actions = {"add": _add, "list": _list, "revoke": _revoke}
    try:
        return actions[options.action](options)
    except (OSError, ValueError, StoreUnavailable) as error:
        why = error.reason if isinstance(error, StoreUnavailable) else error
        print(f"gateway keys: {why}", file=sys.stderr)  # noqa: T201 - a command
        return 1


def _add(options: argparse.Namespace) -> int:
    made, key = new_key()
    given: dict[str, Any] = {
        "id": made,
        "hash": f"sha256:{hashlib.sha256(key.encode()).hexdigest()}",
        "principal": options.principal,
        "tenant": options.tenant,
        "roles": options.role,
        "scopes": options.scope,
        "rate_class": options.rate_class,
        "expires": _when(options.expires) if options.expires else None,
        "note": options.note,
    }
    entry = {name: value for name, value in given.items() if value}
    KeyEntry.model_validate(entry)

    def change(document: Any) -> None:
        document.setdefault("keys", []).append(entry)

    _change(options, change)
    print(key)  # noqa: T201
    print(f"gateway keys: {made} is in {_where(options)}; the key is shown this once", file=sys.stderr)  # noqa: T201
    return 0


def _where(options: argparse.Namespace) -> str:
    return f"the store, under {options.name}" if options.store else str(options.file)


def _change(options: argparse.Namespace, change: Callable[[Any], None]) -> None:
    if options.store:
        asyncio.run(_in_store(options, lambda store: write_keys(store, options.name, change)))
        return
    with changing(options.file) as document:
        change(document)


def _document(options: argparse.Namespace) -> KeysDocument:
    if not options.store:
        return read_keys(options.file)
    return parse_document(asyncio.run(_in_store(options, lambda store: store.get(keys_of(options.name)[0]))))


async def _in_store(options: argparse.Namespace, work: Callable[[Store], Awaitable[T]]) -> T:
    """Raises StoreUnavailable, ValueError."""
    if not options.store.startswith("redis"):
        raise ValueError("--store: the URL of a Redis, for keys in memory would be gone with this command")
    store = await open_store(options.store, timeout=PATIENCE)
    try:
        return await work(store)
    finally:
        await store.close()


def _list(options: argparse.Namespace) -> int:
    for entry in _document(options).keys:
        now = dt.datetime.now(dt.UTC)
        state = "revoked" if entry.disabled else "expired" if entry.expires and entry.expires <= now else "valid"
        until = entry.expires.isoformat() if entry.expires else "-"
        print(f"{entry.id:16} {state:8} {until:26} {entry.principal or '-'} {entry.note}".rstrip())  # noqa: T201
    return 0


def _revoke(options: argparse.Namespace) -> int:
    def change(document: Any) -> None:
        for entry in document.get("keys") or ():
            if entry.get("id") == options.id:
                entry["disabled"] = True
                return
        raise ValueError(f"no key in {_where(options)} has the id {options.id}")

    _change(options, change)
    return 0


def _when(text: str) -> str:
    """RFC 3339 of a duration from now or of a time. Raises ValueError."""
    with contextlib.suppress(ValueError):
        moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=parse_duration(text))
        return moment.replace(microsecond=0).isoformat()
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone; write {text}Z for UTC")
    return moment.isoformat()


COMMAND: Final = Command("keys", "Add, list and revoke API keys.", _run, _arguments)
