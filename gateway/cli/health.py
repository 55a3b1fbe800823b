"""Ask a running gateway whether it is ready: exit code 0 if it is, 1 if not. For HEALTHCHECK and scripts.

  gateway health                                            http://127.0.0.1:9901/readyz
  gateway health --url http://127.0.0.1:9901/healthz        alive, whatever its targets do
  gateway health --url unix:/run/sidegate-admin.sock
  gateway health -c gateway.yaml                            the admin listener of that configuration, with its token

Without `-c` it loads no configuration and takes a few hundredths of a second.
"""

from __future__ import annotations

import argparse
import re
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from gateway.config.listener import Admin

USUAL: Final = "http://127.0.0.1:9901/readyz"
_URL: Final = re.compile(r"(https?)://(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?(/[!-~]*)?")
_MOST: Final = 1024 * 1024
"""Bytes of an answer that are read."""


class Asked(NamedTuple):
    """Whom to ask, and how."""

    host: str
    port: int
    socket: str = ""
    """Path of a unix socket, instead of the two before."""
    path: str = "/readyz"
    tls: bool = False
    authority: str = ""
    """PEM file that vouches for the listener; without it those of the system do."""
    token: str = ""


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", type=_parse, default=None, help=f"what to ask (default: {USUAL})")
    where.add_argument(
        "-c", "--config", type=Path, action="append", metavar="FILE", help="ask the admin listener of this one"
    )
    parser.add_argument(
        "--timeout", type=_seconds, default=2.0, metavar="TIME", help="give up after this long (default: 2s)"
    )


def run(options: argparse.Namespace) -> int:
    """Ask; say on stderr why the answer is no."""
    asked: Asked | None = options.url or _parse(USUAL)
    if options.config:
        asked = _configured(options.config)
    if asked is None:
        return 1
    try:
        status, body = ask(asked, options.timeout)
    except (OSError, ValueError) as error:
        where = f"unix:{asked.socket}" if asked.socket else f"{asked.host}:{asked.port}"
        print(f"gateway health: {where}: {error.args[-1] if error.args else type(error).__name__}", file=sys.stderr)
        return 1
    if status == 200:
        return 0
    print(f"gateway health: not ready ({status}){_reasons(body)}", file=sys.stderr)
    return 1


def _parse(text: str) -> Asked:
    if text.startswith("unix:/"):
        path = text.removeprefix("unix:")
        return Asked("", 0, socket=path[2:] if path.startswith("///") else path)
    found = _URL.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"expected http://host:port/path or unix:/path, got {text!r}")
    tls = found[1] == "https"
    port = int(found[4] or (443 if tls else 80))
    path = found[5] if found[5] not in (None, "/") else "/readyz"
    return Asked(found[2] or found[3], port, path=path, tls=tls)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,4}(?:\.[0-9]{1,3})?)(s|ms)?", text)
    seconds = float(found[1]) / (1000 if found[2] == "ms" else 1) if found else 0
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f"expected a time such as 2s or 500ms, got {text!r}")
    return seconds


def _configured(paths: list[Path]) -> Asked | None:
    """The admin listener of a configuration; None, with a word on stderr, if there is none."""
    from gateway.cli.files import read  # noqa: PLC0415 - a tenth of a second, for those who ask for it
    from gateway.cli.report import report  # noqa: PLC0415

    loaded, problems = read(paths)
    if loaded is None:
        report(problems, sys.stderr)
        return None
    admin = loaded.config.admin
    if admin is None:
        print("gateway health: `admin` is off in this configuration, so there is nobody to ask", file=sys.stderr)
        return None
    return listener_of(admin)


def listener_of(admin: Admin, path: str = "/readyz") -> Asked:
    """Where this admin listener is reached from the machine that it is on."""
    address = admin.address
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104
    return Asked(
        host,
        address.port,
        socket=address.path,
        path=path,
        tls=admin.tls is not None,
        authority=str(admin.tls.cert) if admin.tls is not None else "",
        token=admin.token.get_secret_value() if admin.token is not None else "",
    )


def ask(asked: Asked, timeout: float, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of a GET, or of a POST of this JSON, all of it within ``timeout`` seconds.

    Raises OSError or ValueError.
    """
    until = time.monotonic() + timeout
    with _connected(asked, timeout) as connection:
        host = "localhost" if asked.socket else f"[{asked.host}]" if ":" in asked.host else asked.host
        token = f"Authorization: Bearer {asked.token}\r\n" if asked.token else ""
        given = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body is not None else ""
        start = f"{'GET' if body is None else 'POST'} {asked.path} HTTP/1.1\r\nHost: {host}\r\n"
        head = f"{start}{token}{given}Accept: */*\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + (body or b""))
        answer = bytearray()
        while len(answer) < _MOST:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            connection.settimeout(left)
            part = connection.recv(65536)
            if not part:
                break
            answer += part
    found = re.match(rb"HTTP/1\.[01] ([0-9]{3})[ \r]", answer)
    if found is None:
        raise ValueError("the answer is not HTTP")
    return int(found[1]), bytes(answer).partition(b"\r\n\r\n")[2]


def _connected(asked: Asked, timeout: float) -> socket.socket:
    if asked.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        try:
            connection.connect(asked.socket)
        except OSError:
            connection.close()
            raise
    else:
        connection = socket.create_connection((asked.host, asked.port), timeout)
    if not asked.tls:
        return connection
    import ssl  # noqa: PLC0415 - an admin listener on loopback does without

    context = ssl.create_default_context(cafile=asked.authority or None)
    # The certificate is the very one that this configuration presents; which names are in it is for clients to check.
    context.check_hostname = not asked.authority
    return context.wrap_socket(connection, server_hostname=asked.host or None)


def _reasons(body: bytes) -> str:
    import json  # noqa: PLC0415

    try:
        reasons = json.loads(body)["reasons"]
        return ": " + "; ".join(str(reason) for reason in reasons)
    except (ValueError, KeyError, TypeError):
        return ""
