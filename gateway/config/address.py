"""Addresses as they are written in YAML: where to listen, and where targets are."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Literal

from gateway.plugin.settings import expected

_HOST: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?", re.ASCII)
_BIND: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%a-z]+)\]|(?P<host>[^:\[\]]*)):(?P<port>[0-9]{1,5})", re.ASCII)
_ORIGIN: Final = re.compile(
    r"(?P<scheme>https?)://(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^:/\[\]@?#\s]+))(?::(?P<port>[0-9]{1,5}))?(?P<rest>.*)",
    re.ASCII | re.DOTALL | re.IGNORECASE,
)
UNIX_PATH_LIMIT: Final = 107
"""Bytes: ``sun_path`` of Linux without its terminating null."""


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address, or a unix socket if ``path`` is set."""

    host: str = ""
    """Empty: every address of the machine."""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a target is and how it is spoken to."""

    scheme: Literal["http", "https"]
    address: Address

    def __str__(self) -> str:
        return str(self.address) if self.address.path else f"{self.scheme}://{self.address}"


def parse_bind(text: str) -> Address:
    """The address of ``host:port``, ``[v6]:port``, ``:port`` or ``unix:/path``. Raises ValueError."""
    if text.startswith("unix:"):
        return Address(path=_unix_path(text))
    found = _BIND.fullmatch(text)
    host = "" if found is None else (found["six"] or found["host"] or "")
    if found is None or int(found["port"]) > 65535 or not _valid(host, six=bool(found["six"])):
        raise expected("an address such as 127.0.0.1:8080, [::1]:8080, :8080 or unix:/run/sidegate.sock")
    return Address("" if host == "*" else host, int(found["port"]))


def parse_origin(text: str) -> Origin:
    """The origin of ``http://host:port``, ``https://…`` or ``unix:/path``. Raises ValueError."""
    if text.startswith("unix:"):
        return Origin("http", Address(path=_unix_path(text)))
    found = _ORIGIN.fullmatch(text)
    if "@" in text:
        raise expected("a target without a user name or password in it; credentials belong into a plugin")
    if found is None:
        raise expected("a target such as http://127.0.0.1:9000, https://api.example.com or unix:/run/app.sock")
    if found["rest"] not in ("", "/"):
        raise expected("a target without a path; `rewrite: {add_prefix: …}` on the route adds one")
    scheme: Literal["http", "https"] = "https" if found["scheme"].lower() == "https" else "http"
    port = int(found["port"] or (443 if scheme == "https" else 80))
    host = found["six"] or found["host"]
    if not 0 < port < 65536 or host == "*" or not _valid(host, six=bool(found["six"])):
        raise expected("a target with a valid host and port, such as http://127.0.0.1:9000")
    return Origin(scheme, Address(host, port))


def _unix_path(text: str) -> str:
    path = text.removeprefix("unix:")
    if path.startswith("///"):  # unix:///run/x is written by people who think in URLs
        path = path[2:]
    if not path.startswith("/") or "\0" in path or len(path.encode(errors="replace")) > UNIX_PATH_LIMIT:
        raise expected(f"unix: with an absolute path of at most {UNIX_PATH_LIMIT} bytes, such as unix:/run/app.sock")
    return path


def _valid(host: str, *, six: bool) -> bool:
    if six:
        try:
            return ipaddress.ip_address(host).version == 6
        except ValueError:
            return False
    if host in ("", "*"):
        return True
    if re.fullmatch(r"[0-9.]+", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            return False
    return len(host) < 254 and _HOST.fullmatch(host) is not None


def is_loopback(address: Address) -> bool:
    """Only this machine can reach it; a unix socket counts, as its file mode guards it."""
    if address.path or address.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return False
