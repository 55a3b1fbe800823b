"""Where a target is: its URL taken apart once, its TLS settings made ready, its name looked up again by TTL."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from gateway.errors import ConnectFailed
from gateway.transport.connection import Connection

DEFAULT_PORTS: Final = {"http": 80, "https": 443}


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
    _lookup: asyncio.Task[list[tuple[str, int]]] | None = field(init=False, default=None)

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

    async def connect(self, connection: Connection) -> None:
        """Connect to one of the addresses, another one after each that fails. Raises ConnectFailed."""
        loop = connection.loop
        failure: Exception | None = None
        try:
            if self.scheme == "unix":
                connection.address = self.url
                await loop.create_unix_connection(lambda: connection, self.path)
                return
            for host, port in await self.addresses(loop):
                connection.address = f"{host}:{port}"
                try:
                    await self._connect_to(loop, connection, host, port)
                except OSError as error:
                    failure = error
                else:
                    return
        except OSError as error:
            failure = error
        self._expires = 0.0  # a name that no longer leads anywhere is asked for again at once
        raise ConnectFailed(reason=f"{self.url}: {failure}")

    async def _connect_to(self, loop: asyncio.AbstractEventLoop, connection: Connection, host: str, port: int) -> None:
        name = (self.tls.sni or self.host) if self._context is not None else None
        await loop.create_connection(lambda: connection, host, port, ssl=self._context, server_hostname=name)

    async def addresses(self, loop: asyncio.AbstractEventLoop) -> list[tuple[str, int]]:
        """All addresses of the name, in random order so that each gets its share. Raises OSError."""
        if loop.time() >= self._expires:
            if self._lookup is None or self._lookup.done():
                self._lookup = loop.create_task(self._resolve(loop))
            if not self._addresses:
                await asyncio.shield(self._lookup)
            else:  # the old ones serve while the new ones are fetched
                self._lookup.add_done_callback(lambda task: task.cancelled() or task.exception())
        found = self._addresses
        return found if len(found) < 2 else random.sample(found, len(found))

    async def _resolve(self, loop: asyncio.AbstractEventLoop) -> list[tuple[str, int]]:
        try:
            found = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError:
            self._expires = loop.time() + min(self.ttl, 1.0)
            raise
        self._addresses = list(dict.fromkeys((str(entry[4][0]), int(entry[4][1])) for entry in found))
        self._expires = loop.time() + self.ttl
        return self._addresses
