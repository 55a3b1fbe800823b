"""Where lines can be sent to, as operators write it."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl

FACILITIES: Final[dict[str, int]] = {
    name: number
    for number, name in enumerate(
        [
            "kern",
            "user",
            "mail",
            "daemon",
            "auth",
            "syslog",
            "lpr",
            "news",
            "uucp",
            "cron",
            "authpriv",
            "ftp",
            "ntp",
            "audit",
            "alert",
            "clock",
        ]
    )
} | {f"local{number}": 16 + number for number in range(8)}
"""RFC 5424 §6.2.1."""
_PORTS: Final[dict[Literal["udp", "tcp", "tls"], int]] = {"udp": 514, "tcp": 601, "tls": 6514}
EXTRA: Final = "the extra `otel` (pip install 'sidegate[otel]')"


@dataclass(frozen=True, slots=True)
class SyslogAddress:
    """Where the server is."""

    kind: Literal["udp", "tcp", "tls", "unix"]
    host: str = ""
    port: int = 0
    path: str = ""


def parse_address(text: str) -> SyslogAddress:
    """``udp://host:514``, ``tcp://host:601``, ``tls://host:6514`` or ``unix:/dev/log``. Raises ValueError."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        path = "/" + path.lstrip("/") if path.startswith("//") else path
        if not path.startswith("/") or "\0" in path or len(path) < 2:
            raise ValueError("expected unix:/absolute/path")
        return SyslogAddress("unix", path=path)
    parts = urlsplit(text)
    for kind, usual in _PORTS.items():
        if parts.scheme == kind and parts.hostname and not (parts.path or parts.query or parts.username):
            return SyslogAddress(kind, parts.hostname, parts.port or usual)
    raise ValueError("expected udp://host:port, tcp://host:port, tls://host:port or unix:/path")


@dataclass(frozen=True, slots=True)
class Secure:
    """How TLS is spoken to a server: PEM files, read at each connection, so that a renewed one is taken up."""

    ca: Path | None = None
    """Authorities in place of the system's."""
    cert: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Raises OSError, of which ssl.SSLError is one."""
        import ssl  # noqa: PLC0415 - only who speaks TLS pays for it

        made = ssl.create_default_context(cafile=self.ca)
        if self.cert is not None:
            made.load_cert_chain(self.cert, self.key)
        return made


def without_query(url: str) -> str:
    """An address as messages and dumps have it: some vendors want their key in the query."""
    address, mark, _ = url.partition("?")
    return f"{address}?***" if mark else address


def available() -> bool:
    """The extra is installed."""
    try:
        return importlib.util.find_spec("opentelemetry.proto.collector.logs.v1.logs_service_pb2") is not None
    except ModuleNotFoundError:
        return False


def endpoint(url: str) -> str:
    """The address for logs; the usual path is added to one that has none. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.fragment:
        raise ValueError("expected the URL of a collector such as http://127.0.0.1:4318")
    _ = parts.port  # raises for one that is no number
    path = parts.path if parts.path not in ("", "/") else "/v1/logs"
    return f"{parts.scheme}://{parts.netloc}{path}" + (f"?{parts.query}" if parts.query else "")
