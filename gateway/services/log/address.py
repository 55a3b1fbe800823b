"""Where lines can be sent to, as operators write it."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

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
EXTRA: Final = "the extra `otel` (pip install 'sidegate[otel]')"


@dataclass(frozen=True, slots=True)
class SyslogAddress:
    """Where the server is."""

    kind: Literal["udp", "tcp", "unix"]
    host: str = ""
    port: int = 0
    path: str = ""


def parse_address(text: str) -> SyslogAddress:
    """``udp://host:514``, ``tcp://host:601`` or ``unix:/dev/log``. Raises ValueError."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        path = "/" + path.lstrip("/") if path.startswith("//") else path
        if not path.startswith("/") or "\0" in path or len(path) < 2:
            raise ValueError("expected unix:/absolute/path")
        return SyslogAddress("unix", path=path)
    parts = urlsplit(text)
    if parts.scheme not in ("udp", "tcp") or not parts.hostname or parts.path or parts.query or parts.username:
        raise ValueError("expected udp://host:port, tcp://host:port or unix:/path")
    port = parts.port or {"udp": 514, "tcp": 601}[parts.scheme]
    return SyslogAddress("tcp" if parts.scheme == "tcp" else "udp", parts.hostname, port)


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
