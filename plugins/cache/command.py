"""`gateway cache`: purge, warm and stats, over the admin API of a running gateway."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from gateway.plugin import Command

USUAL: Final = "http://127.0.0.1:9901"
_AT_ONCE: Final = 4000
"""Characters of URLs that go in one call."""


class _Refused(Exception):
    """The admin API said no."""


class _UnixConnection(http.client.HTTPConnection):
    """To an admin listener on a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="purge | warm | stats")
    purge = actions.add_parser("purge", help="take answers out, in every worker and replica")
    purge.add_argument("what", nargs="*", metavar="URL", help="a URL or path; a * at its end stands for what follows")
    purge.add_argument("--group", action="append", default=[], help="a cache group (RFC 9875); may be repeated")
    purge.add_argument("--host", default="", help="of the groups; any by default")
    purge.add_argument("--soft", action="store_true", help="make stale instead: what is stale may serve meanwhile")
    warm = actions.add_parser("warm", help="ask for URLs, so that they are there before clients come")
    warm.add_argument("what", nargs="*", metavar="URL")
    warm.add_argument("--file", type=Path, metavar="FILE", help="with a URL on each line; - for standard input")
    stats = actions.add_parser("stats", help="show how full the caches are and what they have done")
    stats.add_argument("--json", action="store_true", help="for scripts")
    for each in (purge, warm, stats):
        each.add_argument("--route", default="", help="of this route's cache only")
        each.add_argument(
            "--admin", default=os.environ.get("SIDEGATE_ADMIN", USUAL), help="its address (default: %(default)s)"
        )
        each.add_argument(
            "--token-env", default="SIDEGATE_ADMIN_TOKEN", metavar="NAME", help="variable with the admin token"
        )


def _run(options: argparse.Namespace) -> int:
    actions = {"purge": _purge, "warm": _warm, "stats": _stats}
    try:
        return actions[options.action](options)
    except (OSError, ValueError, http.client.HTTPException, _Refused) as error:
        print(f"gateway cache: {str(error) or type(error).__name__}", file=sys.stderr)  # noqa: T201 - a command
        return 1


def _purge(options: argparse.Namespace) -> int:
    if not options.what and not options.group:
        raise ValueError("say what to purge: URLs, paths or --group")
    place = next(_caches(options))  # what one is told holds for all of a gateway
    purged, told = 0, True
    for urls in _batches(options.what) if options.what else [""]:
        groups = "\n".join(options.group)
        query = {"urls": urls, "groups": groups, "host": options.host, "soft": "1" if options.soft else ""}
        for worker in _ask(options, "POST", f"{place}/purge?{urlencode(query)}")["workers"]:
            purged += worker["purged"]
            told = told and worker["replicas_told"]
    print(f"{purged} answers {'made stale' if options.soft else 'taken out'}")  # noqa: T201
    if not told:
        print("gateway cache: the store is away; other replicas learn of it when it is back", file=sys.stderr)  # noqa: T201
    return 0 if told else 1


def _warm(options: argparse.Namespace) -> int:
    urls = list(options.what)
    if options.file is not None:
        text = sys.stdin.read() if str(options.file) == "-" else options.file.read_text()
        urls += [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not urls:
        raise ValueError("say what to warm: URLs or --file")
    place = next(_caches(options))
    answered = failed = 0
    for batch in _batches(urls):
        for worker in _ask(options, "POST", f"{place}/warm?{urlencode({'urls': batch})}", patience=65.0)["workers"]:
            answered += worker["answered"]
            failed += worker["failed"] + worker["late"]
    print(f"{answered} answered, {failed} failed")  # noqa: T201
    return 0 if not failed else 1


def _stats(options: argparse.Namespace) -> int:
    found = {place: _ask(options, "GET", f"{place}/stats")["workers"] for place in _caches(options)}
    if options.json:
        print(json.dumps(found, indent=2))  # noqa: T201
        return 0
    for place, workers in found.items():
        for number, each in enumerate(workers):
            ratio = "-" if each["hit_ratio"] is None else f"{each['hit_ratio']:.1%}"
            print(  # noqa: T201
                f"{place.removeprefix('/plugins/'):30} worker {number}: {each['entries']} answers,"
                f" {each['bytes'] / 1e6:.1f} of {each['limit'] / 1e6:.1f} MB, hits {ratio}"
            )
    return 0


def _batches(urls: Sequence[str]) -> Iterator[str]:
    batch = ""
    for url in urls:
        if batch and len(batch) + len(url) > _AT_ONCE:
            yield batch
            batch = ""
        batch = f"{batch} {url}".lstrip()
    if batch:
        yield batch


def _caches(options: argparse.Namespace) -> Iterator[str]:
    """Paths of the admin API, one for each cache. Raises ValueError if there is none."""
    found = False
    for route in _ask(options, "GET", "/routes")["routes"]:
        if options.route and route["name"] != options.route:
            continue
        for plugin in route["chain"]:
            if plugin.get("plugin") == "cache" and plugin["mode"] != "off":
                found = True
                yield f"/plugins/{quote(route['name'], safe='')}/{quote(plugin['id'], safe='')}"
    if not found:
        raise ValueError("no route has a cache" if not options.route else f"route {options.route} has no cache")


def _ask(options: argparse.Namespace, method: str, path: str, patience: float = 15.0) -> Any:
    """An answer of the admin API. Raises OSError, HTTPException, _Refused or ValueError."""
    where = urlsplit(options.admin)
    connection: http.client.HTTPConnection
    if where.scheme == "unix":
        connection = _UnixConnection(where.path, patience)
    elif where.scheme in ("http", "https") and where.hostname:
        kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
        connection = kind(where.hostname, where.port, timeout=patience)
    else:
        raise ValueError(f"--admin wants http://host:port or unix:/path, not {options.admin}")
    token = os.environ.get(options.token_env, "")
    try:
        connection.request(method, path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        body = json.loads(answer.read())
    finally:
        connection.close()
    if answer.status != 200:
        raise _Refused(f"{answer.status}: {body.get('detail') or body.get('title')}")
    return body


COMMAND: Final = Command("cache", "Purge, warm and show the caches of a running gateway.", _run, _arguments)
