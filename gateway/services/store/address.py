"""What a store's URL means. Needs no Redis library, so that a configuration is checked without loading it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

FORMS: Final = (
    "memory://, redis://host:6379/0, rediss://host:6379/0, unix:///run/redis.sock?db=0, "
    "redis+sentinel://host:26379,host:26379/master/0 or redis+cluster://host:6379,host:6379"
)
_OPTIONS: Final = {
    "memory": frozenset({"keys"}),
    "tcp": frozenset({"db", "wait"}),
    "unix": frozenset({"db", "wait"}),
    "sentinel": frozenset({"sentinel_username", "sentinel_password", "wait"}),
    "cluster": frozenset({"wait"}),
}
_TLS_OPTIONS: Final = frozenset({"ca", "cert", "key", "verify"})
_SCHEMES: Final = {
    "memory": ("memory", False),
    "redis": ("tcp", False),
    "rediss": ("tcp", True),
    "unix": ("unix", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}


class StoreUrlError(ValueError):
    """The URL names no store. The message says what is wrong and never holds the password."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the state lives. ``kind`` is memory, tcp, unix, sentinel or cluster."""

    kind: str
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    """Of the unix socket."""
    db: int = 0
    master: str = ""
    """The name under which the sentinels know the master."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    keys: int = 0
    """How many keys a memory store holds; 0 for the default."""
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """TLS files, the sentinels' own credentials, and ``wait``."""

    @property
    def replicas(self) -> int:
        """How many replicas must have what a durable script wrote before it counts (``wait``); 0: none."""
        return int(self.option("wait") or 0)

    def option(self, name: str) -> str | None:
        return dict(self.options).get(name)

    def __str__(self) -> str:
        """For logs and health pages: no credentials."""
        scheme = {value: key for key, value in _SCHEMES.items()}[self.kind, self.tls]
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        tail = self.path if self.kind == "unix" else f"/{self.master}" if self.master else ""
        return f"{scheme}://{hosts}{tail}"


def parse_store_url(url: str) -> Address:
    """The address a URL stands for. Raises `StoreUrlError`."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _SCHEMES:
        # The scheme alone is echoed: what follows may hold a password.
        shown = f"{scheme!r} is no kind of store" if separator else "it has no scheme"
        raise StoreUrlError(f"not a store URL: {shown}; expected {FORMS}")
    kind, tls = _SCHEMES[scheme]
    try:
        # A neutral scheme, for urlsplit knows the ways of some and not of others.
        parts = urlsplit(f"x://{rest}")
    except ValueError as error:
        raise StoreUrlError("not a store URL: the host is malformed") from error
    options = _options(parts, _OPTIONS[kind] | (_TLS_OPTIONS if tls else frozenset()), scheme)
    username, password, hosts = _authority(parts.netloc)
    segments = [unquote(segment) for segment in parts.path.split("/")[1:] if segment]
    if kind == "memory":
        return _memory(parts, options)
    if kind != "unix" and "@" in parts.path:
        raise StoreUrlError("an '@' after the host: a '/' in a password is written %2F")
    if kind == "unix":
        if hosts or not parts.path:
            raise StoreUrlError("unix:// takes an absolute path: unix:///run/redis.sock")
        return Address(
            kind, path=unquote(parts.path), db=_database(options.get("db", "0")), username=username, password=password
        )
    found = tuple(_host(host, 26379 if kind == "sentinel" else 6379) for host in hosts.split(","))
    if kind == "tcp" and len(found) > 1:
        raise StoreUrlError("redis:// takes one host; several are redis+sentinel:// or redis+cluster://")
    master, database = "", options.pop("db", "0")
    if kind == "sentinel":
        if not segments:
            raise StoreUrlError(
                "redis+sentinel:// takes the master's name as its path: redis+sentinel://host:26379/mymaster"
            )
        master, *segments = segments
    if segments and kind == "cluster":
        raise StoreUrlError("Redis Cluster has no numbered databases: leave the path away")
    if len(segments) > 1:
        raise StoreUrlError(f"the path holds more than a database number; expected {FORMS}")
    return Address(
        kind,
        found,
        db=_database(segments[0] if segments else database),
        master=master,
        username=username,
        password=password,
        tls=tls,
        options=tuple(options.items()),
    )


def _memory(parts: SplitResult, options: dict[str, str]) -> Address:
    if parts.netloc or parts.path.strip("/"):
        raise StoreUrlError("memory:// takes no host and no path")
    keys = options.get("keys", "0")
    if not keys.isdecimal() or ("keys" in options and int(keys) < 1):
        raise StoreUrlError("memory://?keys= is the number of keys to hold, at least 1")
    return Address("memory", keys=int(keys))


def _options(parts: SplitResult, known: frozenset[str], scheme: str) -> dict[str, str]:
    if parts.fragment:
        raise StoreUrlError("a store URL has no '#'; in a password it is written %23")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in options:
        if name not in known:
            expected = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
            raise StoreUrlError(f"{scheme}:// has no option {name!r}; {expected}")
    wait = options.get("wait", "0")
    if not (wait.isascii() and wait.isdecimal() and int(wait) < 100):
        raise StoreUrlError("wait is how many replicas must have a write before it counts")
    if options.get("verify", "full") not in ("full", "none"):
        raise StoreUrlError("verify is full (the default) or none")
    return options


def _authority(netloc: str) -> tuple[str | None, str | None, str]:
    credentials, separator, hosts = netloc.rpartition("@")
    if not separator:
        return None, None, hosts
    username, _, password = credentials.partition(":")
    return unquote(username) or None, unquote(password) or None, hosts


def _host(text: str, default: int) -> tuple[str, int]:
    """``host``, ``host:port`` or ``[v6]:port``."""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise StoreUrlError("a host in brackets is [IPv6 address]:port")
        port = port[1:]
    else:
        host, _, port = text.partition(":")
    if not host:
        raise StoreUrlError("a host is missing")
    if port and not (port.isdecimal() and 0 < int(port) < 65536):
        # Not echoed: with an unescaped '?' or '#' in it, a password ends up here.
        raise StoreUrlError("the port is not a number between 1 and 65535")
    return host, int(port) if port else default


def _database(text: str) -> int:
    if not text.isdecimal():
        raise StoreUrlError("the database is not a number")
    return int(text)
