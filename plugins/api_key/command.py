"""`gateway keys`: add, list and revoke API keys in a file."""

from __future__ import annotations

import argparse
import base64
import contextlib
import datetime as dt
import hashlib
import secrets
import sys
from pathlib import Path
from typing import Any, Final

from gateway.plugin import Command
from gateway.plugin.settings import parse_duration
from plugins.api_key.file import KeyEntry, changing, read_keys

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


def _run(options: argparse.Namespace) -> int:
    actions = {"add": _add, "list": _list, "revoke": _revoke}
    try:
        return actions[options.action](options)
    except (OSError, ValueError) as error:
        print(f"gateway keys: {error}", file=sys.stderr)  # noqa: T201 - a command
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
    with changing(options.file) as document:
        document.setdefault("keys", []).append(entry)
    print(key)  # noqa: T201
    print(f"gateway keys: {made} is in {options.file}; the key is shown this once", file=sys.stderr)  # noqa: T201
    return 0


def _list(options: argparse.Namespace) -> int:
    for entry in read_keys(options.file).keys:
        now = dt.datetime.now(dt.UTC)
        state = "revoked" if entry.disabled else "expired" if entry.expires and entry.expires <= now else "valid"
        until = entry.expires.isoformat() if entry.expires else "-"
        print(f"{entry.id:16} {state:8} {until:26} {entry.principal or '-'} {entry.note}".rstrip())  # noqa: T201
    return 0


def _revoke(options: argparse.Namespace) -> int:
    with changing(options.file) as document:
        for entry in document.get("keys") or ():
            if entry.get("id") == options.id:
                entry["disabled"] = True
                break
        else:
            raise ValueError(f"no key in {options.file} has the id {options.id}")
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
