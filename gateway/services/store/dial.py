"""Connections to Redis: made by redis-py (TLS, credentials, database), used by `Link` in batches.

Imported only when a store's URL names Redis: redis-py costs several megabytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import RedisError

from gateway.services.store.address import Address
from gateway.services.store.wire import Arg, pack

Dial = Callable[[], Awaitable[AbstractConnection]]
"""A new connection, ready for commands. Raises OSError, TimeoutError or RedisError; its caller sets the deadline."""

SENTINEL_PATIENCE: Final = 0.5
"""Seconds for one sentinel to name the master, before the next is asked."""


class Dialer:
    """Makes connections for one store's address."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._options: dict[str, Any] = {
            "username": address.username,
            "password": address.password,
            "db": address.db,
            # Deadlines are the link's, one for a whole batch; redis-py would set a timer for each reply.
            "socket_timeout": None,
            "socket_connect_timeout": None,
            # RESP2 needs no HELLO, and CLIENT SETINFO is left out: fewer round trips before the first call.
            "protocol": 2,
            "driver_info": None,
        }
        self._tls: dict[str, Any] = {}
        if address.tls:
            verify = address.option("verify") != "none"
            self._tls = {
                "ssl_ca_certs": address.option("ca"),
                "ssl_certfile": address.option("cert"),
                "ssl_keyfile": address.option("key"),
                "ssl_cert_reqs": "required" if verify else "none",
                "ssl_check_hostname": verify,
            }

    async def to(self, host: str, port: int) -> AbstractConnection:
        """A connection to that server with the address's credentials."""
        kind = SSLConnection if self._tls else Connection
        return await _connected(kind(host=host, port=port, **self._options, **self._tls))

    async def first(self) -> AbstractConnection:
        """A connection to the one server of a tcp or unix address."""
        if self._address.kind == "unix":
            return await _connected(UnixDomainSocketConnection(path=self._address.path, **self._options))
        return await self.to(*self._address.hosts[0])

    async def master(self) -> AbstractConnection:
        """A connection to whom the first sentinel that answers calls master."""
        problem: Exception = OSError("no sentinel is named")
        for host, port in self._address.hosts:
            try:
                async with asyncio.timeout(SENTINEL_PATIENCE):
                    found = await self._ask_sentinel(host, port)
            except (OSError, RedisError, TimeoutError) as error:
                problem = error
                continue
            if found is not None:
                return await self.to(*found)
            problem = OSError("no sentinel knows a master of that name")
        raise problem

    async def _ask_sentinel(self, host: str, port: int) -> tuple[str, int] | None:
        options = {
            **self._options,
            "db": 0,
            "username": self._address.option("sentinel_username"),
            "password": self._address.option("sentinel_password"),
        }
        kind = SSLConnection if self._tls else Connection
        connection = await _connected(kind(host=host, port=port, **options, **self._tls))
        try:
            answer = await ask(connection, b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._address.master)
        finally:
            await connection.disconnect(nowait=True)
        return None if answer is None else (answer[0].decode(), int(answer[1]))


async def _connected(connection: AbstractConnection) -> AbstractConnection:
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return connection


async def ask(connection: AbstractConnection, *words: Arg) -> Any:
    """One command and its answer. Raises RedisError, OSError."""
    await connection.send_packed_command(pack(*words), check_health=False)
    return await connection.read_response(disable_decoding=True)
