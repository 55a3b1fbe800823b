"""Where a target is: its URL taken apart once, its TLS settings made ready, its name looked up again by TTL."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import random
import socket
import ssl
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from gateway.errors import ConnectFailed, ConnectTimeout
from gateway.transport.connection import Connection

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_FAMILIES: Final = {"any": socket.AF_UNSPEC, "ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
_TRIED: Final = 4
"""Addresses tried for one connection."""
_SHUNNED: Final = 30.0
"""Seconds for which an address that failed is tried after the others."""
_SOONEST: Final = 1.0
"""Seconds between two look-ups at least, however much fails."""
_REMEMBERED: Final = 256


@dataclass(frozen=True, slots=True)
class Tls:
    """How to speak TLS to a target."""

    ca: str | None = None
    """A PEM bundle instead of the system's."""
    sni: str | None = None
    """The name to ask for and to verify, instead of the URL's host."""
    cert: str | None = None
    key: str | None = None
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """Raises OSError or ssl.SSLError for files that cannot be used."""
        made = ssl.create_default_context(cafile=self.ca)
        made.set_alpn_protocols(["http/1.1"])
        if not self.verify:
            made.check_hostname = False
            made.verify_mode = ssl.CERT_NONE
        if self.cert:
            made.load_cert_chain(self.cert, self.key)
        return made


@dataclass(slots=True)
class Endpoint:
    """A target's address: ``http://host:port``, ``https://host:port`` or ``unix:/path``."""

    url: str
    tls: Tls = field(default_factory=Tls)
    ttl: float = 30.0
    """Seconds after which the name is looked up again."""
    family: str = "any"
    """Which addresses of the name are used: ``any``, ``ipv4`` or ``ipv6``."""
    scheme: str = field(init=False, default="http")
    host: str = field(init=False, default="")
    port: int = field(init=False, default=0)
    path: str = field(init=False, default="")
    """Of the unix socket."""
    authority: bytes = field(init=False, default=b"")
    """What Host says to it."""
    _context: ssl.SSLContext | None = field(init=False, default=None)
    _addresses: list[tuple[str, int]] = field(init=False, default_factory=list)
    _expires: float = field(init=False, default=0.0)
    _asked: float = field(init=False, default=0.0)
    _lookup: asyncio.Task[None] | None = field(init=False, default=None)
    _unknown: str = field(init=False, default="no addresses")
    """Why the last look-up that failed did."""
    _failed: dict[tuple[str, int], float] = field(init=False, default_factory=dict)
    _gone: frozenset[str] = field(init=False, default=frozenset())

    def __post_init__(self) -> None:
        """Raises ValueError for a URL that is none of the three kinds."""
        if self.url.startswith("unix:"):
            self.scheme, self.path = "unix", unquote(self.url.removeprefix("unix:").removeprefix("//"))
            self.authority = b"localhost"
            return
        parts = urlsplit(self.url)
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise ValueError("http://host:port, https://host:port or unix:/path, without a path of its own")
        self.scheme, self.host = parts.scheme, parts.hostname
        self.port = parts.port or DEFAULT_PORTS[parts.scheme]
        shown = f"[{self.host}]" if ":" in self.host else self.host
        self.authority = (shown if self.port == DEFAULT_PORTS[self.scheme] else f"{shown}:{self.port}").encode()
        if self.scheme == "https":
            self._context = self.tls.context()
        if _is_literal(self.host):
            self._addresses, self._expires = [(self.host, self.port)], math.inf

    async def connect(self, connection: Connection, limit: float) -> None:
        """Connect to one of the addresses, another one after each that fails. Raises ConnectFailed.

        The caller waits ``limit`` seconds; an address that does not answer may use up only its share of them.
        """
        loop = connection.loop
        if self.scheme == "unix":
            connection.address = self.url
            try:
                await loop.create_unix_connection(lambda: connection, self.path)
            except OSError as error:
                raise ConnectFailed(reason=f"{self.url}: {error}") from None
            return
        failure: Exception | None = None
        try:
            addresses = await self.addresses(loop)
            share = limit / len(addresses[:_TRIED])
            for host, port in addresses[:_TRIED]:
                connection.address = f"{host}:{port}"
                try:
                    async with asyncio.timeout(share):
                        await self._connect_to(loop, connection, host, port)
                except (
                    OSError,
                    ValueError,
                ) as error:  # ValueError: a name that TLS cannot check
                    failure = error
                    self._failed[(host, port)] = loop.time() + _SHUNNED
                else:
                    if not connection.lost:
                        return
                    break  # closed in the moment it opened; what is lost cannot be used for another address
        except OSError as error:
            failure = error
        if self._expires != math.inf:  # a name that leads nowhere is asked for again soon
            self._expires = min(self._expires, self._asked + _SOONEST)
        if isinstance(failure, TimeoutError):
            raise ConnectTimeout(reason=f"{self.url}: no connection in time")
        raise ConnectFailed(reason=f"{self.url}: {failure}")

    async def _connect_to(self, loop: asyncio.AbstractEventLoop, connection: Connection, host: str, port: int) -> None:
        name = (self.tls.sni or self.host) if self._context is not None else None
        await loop.create_connection(lambda: connection, host, port, ssl=self._context, server_hostname=name)

    async def addresses(self, loop: asyncio.AbstractEventLoop) -> list[tuple[str, int]]:
        """All addresses of the name, in random order so that each gets its share; those that failed lately come last.

        Raises OSError.
        """
        lookup = self._look_up(loop)
        if not self._addresses and lookup is not None:
            await asyncio.shield(lookup)
        found = self._addresses
        if not found:  # it was asked for a moment ago, and is not to be again yet
            raise OSError(self._unknown)
        if len(found) < 2:
            return found
        found = random.sample(found, len(found))
        if self._failed:
            now = loop.time()
            self._failed = {address: until for address, until in self._failed.items() if until > now}
            found.sort(key=self._failed.__contains__)
        return found

    def refresh(self, loop: asyncio.AbstractEventLoop) -> frozenset[str]:
        """Look the name up again if it is time to, beside the traffic. Returns addresses that it has no more."""
        if self.scheme != "unix" and self._addresses:
            self._look_up(loop)
        return self._gone

    def _look_up(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None] | None:
        if loop.time() < self._expires:
            return None
        if self._lookup is None or self._lookup.done():
            self._lookup = loop.create_task(self._resolve(loop))
            # With addresses at hand nobody waits for it: the old ones serve while, or for want of, the new ones.
            self._lookup.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._lookup

    async def _resolve(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asked = loop.time()
        try:
            found = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, family=_FAMILIES[self.family])
        except OSError as error:
            self._unknown = str(error)
            self._expires = loop.time() + min(self.ttl, _SOONEST)
            raise
        before = self._addresses
        self._addresses = list(dict.fromkeys((str(entry[4][0]), int(entry[4][1])) for entry in found))
        self._gone = (self._gone | _shown(before)) - _shown(self._addresses)
        if len(self._gone) > _REMEMBERED:
            self._gone = _shown(before) - _shown(self._addresses)
        self._expires = loop.time() + self.ttl

    def close(self) -> None:
        """Stop a look-up under way. Idempotent."""
        if self._lookup is not None:
            self._lookup.cancel()


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _shown(addresses: list[tuple[str, int]]) -> frozenset[str]:
    return frozenset(f"{host}:{port}" for host, port in addresses)
