"""From a listener's settings to sockets that accept."""

from __future__ import annotations

import asyncio
import socket

from gateway.config.listener import Listener
from gateway.server.connection import EdgeServer
from gateway.server.edge import Edge


class OpenListener:
    """A listener that accepts connections."""

    def __init__(self, name: str, server: asyncio.Server) -> None:
        self.name = name
        """Address and port really bound, or ``unix:`` and the path."""
        self._server = server

    def stop_accepting(self) -> None:
        """Close the sockets; connections that are open stay. Idempotent."""
        self._server.close()

    async def close(self) -> None:
        """Stop accepting."""
        self._server.close()


async def open_listener(listener: Listener, edge: Edge, *, sock: socket.socket | None = None) -> OpenListener:
    """Begin to accept, on ``sock`` if a supervisor has bound it. Raises OSError."""
    loop = asyncio.get_running_loop()
    address = listener.address
    factory = EdgeServer(edge)
    if sock is not None:
        server = await loop.create_server(factory, sock=sock, backlog=4096)
    elif address.path:
        server = await loop.create_unix_server(factory, str(address.path), backlog=4096)
    else:
        server = await loop.create_server(factory, address.host or None, address.port, backlog=4096, reuse_address=True)
    name = server.sockets[0].getsockname()
    return OpenListener(f"{name[0]}:{name[1]}" if isinstance(name, tuple) else f"unix:{name}", server)
