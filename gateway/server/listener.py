"""Open sockets for a listener: TCP or unix, plain or TLS, with or without the PROXY protocol.

The listening socket is ours and asyncio's server gets a duplicate. So a server can be replaced under it, which is how a
renewed certificate is taken up and how accepting pauses, while the system goes on queueing connections.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import stat
import sys
from pathlib import Path
from typing import Any, Final

from gateway.config.address import Address
from gateway.config.listener import Listener
from gateway.server import intake
from gateway.server.connection import ClientConnection, EdgeServer
from gateway.server.edge import Edge
from gateway.server.proxy_protocol import V2_LIMIT, Announced, ProxyPreface, ProxyProtocolError, parse
from gateway.server.tls import ServerTls, shared_tls

log = logging.getLogger("gateway.server")

BACKLOG: Final = 4096
"""Connections that the system queues before they are accepted; it takes less where ``somaxconn`` says so."""
GREETINGS: Final = 512
"""TLS connections whose PROXY header is being read at the same time."""
TLS_CLOSE: Final = 2.0
"""Seconds for a client to answer the end of TLS."""

# Python 3.13 removes a unix socket's file when any server on it closes.
_KEEP_FILE: Final[dict[str, Any]] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}


def bind(address: Address, *, mode: int = 0o660, reuse_port: bool = False) -> socket.socket:
    """A bound socket, not listening yet. Raises OSError.

    An empty host takes every address of the machine, IPv6 and IPv4 by one socket. A name takes its first address, IPv4
    before IPv6.
    """
    if address.path:
        return _bind_unix(address.path, mode)
    if address.host:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, where = min(found, key=lambda each: each[0] != socket.AF_INET)
        return _bind_tcp(family, where, reuse_port=reuse_port, both=False)
    if socket.has_dualstack_ipv6():
        return _bind_tcp(socket.AF_INET6, ("::", address.port), reuse_port=reuse_port, both=True)
    return _bind_tcp(socket.AF_INET, ("0.0.0.0", address.port), reuse_port=reuse_port, both=False)  # noqa: S104 - as asked


def _bind_tcp(family: int, where: Any, *, reuse_port: bool, both: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        made.bind(where)
    except OSError:
        made.close()
        raise
    made.setblocking(False)
    return made


def _bind_unix(path: str, mode: int) -> socket.socket:
    _remove_stale(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(path)
        Path(path).chmod(mode)  # nobody can connect before listen()
    except OSError:
        made.close()
        raise
    made.setblocking(False)
    return made


def _remove_stale(path: str) -> None:
    """Remove the socket of a process that is gone. Raises OSError if somebody listens, or if it is no socket."""
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            raise OSError(errno.EEXIST, "there is a file that is not a socket", path)
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            Path(path).unlink(missing_ok=True)
        except TimeoutError:
            raise OSError(errno.EADDRINUSE, "somebody listens there", path) from None
        else:
            raise OSError(errno.EADDRINUSE, "somebody listens there", path)


class OpenListener:
    """A listener that accepts connections for an edge. Made by `open_listener`."""

    def __init__(self, listener: Listener, edge: Edge, sock: socket.socket, *, owned: bool) -> None:
        self.listener = listener
        self.edge = edge
        where = listener.address
        self.address = where if where.path else Address(where.host, sock.getsockname()[1])
        """Where it listens, with the port that the system chose."""
        self._sock = sock
        self._owned = owned
        self._path = listener.address.path if owned else ""
        self._inode = Path(self._path).stat().st_ino if self._path else 0
        self._serve = EdgeServer(edge, ProxyPreface if listener.proxy_protocol and listener.tls is None else None)
        self._server: asyncio.Server | None = None
        self._acceptor: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._tls: ServerTls | None = None
        self._stopped = False
        self._changing = asyncio.Lock()

    @property
    def port(self) -> int:
        """0 for a unix socket."""
        return self.address.port

    @property
    def name(self) -> str:
        return str(self.address)

    # -- accepting ---------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Begin to accept. Raises OSError."""
        if self.listener.tls is not None:
            self._tls = shared_tls(self.listener.tls)
            self._tls.watch(self._renewed)
        await self._accept()
        self.edge.when_full, self.edge.when_room = self._pause, self._resume

    def prepare(self, listener: Listener) -> ServerTls | None:
        """What `configure` will need. Raises OSError or ssl.SSLError for files that cannot be used."""
        return shared_tls(listener.tls) if listener.tls is not None else None

    def configure(self, listener: Listener, tls: ServerTls | None) -> None:
        """Take up what a reload changed of TLS: handshakes from now on go by it, connections that are open stay."""
        self.listener = listener
        before = self._tls
        if tls is before or tls is None or before is None or self._stopped:
            return
        before.forget(self._renewed)
        self._tls = tls
        tls.watch(self._renewed)
        self._renewed()

    async def _accept(self) -> None:
        """Put a server on the socket, in the place of the one that is there."""
        async with self._changing:
            if self._stopped:
                return
            if self.listener.proxy_protocol and self._tls is not None:
                if self._acceptor is None:
                    self._sock.listen(BACKLOG)
                    self._acceptor = asyncio.create_task(self._accept_announced())
                return
            old, loop, duplicate = self._server, self.edge.loop, self._sock.dup()
            options: dict[str, Any] = {"backlog": BACKLOG, **self._tls_options()}
            if self._sock.family == socket.AF_UNIX:
                self._server = await loop.create_unix_server(self._serve, sock=duplicate, **options, **_KEEP_FILE)
            else:
                self._server = await loop.create_server(self._serve, sock=duplicate, **options)
            if old is not None:
                old.close()

    def _tls_options(self) -> dict[str, Any]:
        if self._tls is None:
            return {}
        handshake = self.edge.limits.head_time
        return {
            "ssl": self._tls.context,
            "ssl_handshake_timeout": handshake,
            "ssl_shutdown_timeout": TLS_CLOSE,
        }

    def _renewed(self) -> None:
        if self._server is not None:
            self._spawn(self._accept())

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _pause(self) -> None:
        """Leave new connections in the system's queue."""
        if self._server is not None:
            self._server.close()
            self._server = None
        elif self._acceptor is not None:
            self._acceptor.cancel()
            self._acceptor = None

    def _resume(self) -> None:
        if not self._stopped and self._server is None and self._acceptor is None:
            self._spawn(self._accept())

    # -- TLS behind the PROXY protocol: the header comes in clear, before the handshake ------------------------

    async def _accept_announced(self) -> None:
        room = asyncio.Semaphore(GREETINGS)
        while True:
            await room.acquire()
            try:
                accepted, _ = await self.edge.loop.sock_accept(self._sock)
            except OSError as error:  # out of descriptors, or the client has left the queue
                room.release()
                log.warning("accept failed on %s: %s", self.name, error)
                await asyncio.sleep(0.1)
                continue
            task = asyncio.ensure_future(self._greet(accepted))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _task: room.release())

    async def _greet(self, accepted: socket.socket) -> None:
        edge = self.edge
        accepted.setblocking(False)
        announced: Announced | None = None
        try:
            if not edge.is_trusted(intake.address_of(_peername(accepted))):
                edge.refused_connections += 1
                return
            async with asyncio.timeout(edge.limits.head_time):
                announced = await _read_header(edge.loop, accepted)
        except (OSError, TimeoutError, ProxyProtocolError):
            edge.refused_connections += 1
            return
        finally:
            if announced is None:
                accepted.close()
        await self._hand_over(accepted, announced)

    async def _hand_over(self, accepted: socket.socket, announced: Announced | None) -> None:
        def factory() -> ClientConnection:
            connection = self._serve()
            connection.announced = announced
            return connection

        options = self._tls_options()
        try:
            await self.edge.loop.connect_accepted_socket(factory, accepted, **options)
        except OSError:  # the handshake failed or the client left; the transport has closed the socket
            self.edge.refused_connections += 1

    # -- the end -----------------------------------------------------------------------------------------------

    def stop_accepting(self) -> None:
        """Accept what is queued already, then no more; connections that are open go on. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        self._pause()
        self.edge.when_full = self.edge.when_room = None
        if self._tls is not None:
            self._tls.forget(self._renewed)
        for _ in range(BACKLOG):
            try:
                accepted, _peer = self._sock.accept()
            except OSError:
                break
            accepted.setblocking(False)
            if self.listener.proxy_protocol and self._tls is not None:
                self._spawn(self._greet(accepted))
            else:
                self._spawn(self._hand_over(accepted, None))
        if self._owned:
            self._sock.close()
        if self._path:
            self._remove_file()

    def _remove_file(self) -> None:
        try:
            if Path(self._path).stat().st_ino == self._inode:
                Path(self._path).unlink()
        except OSError:
            pass  # gone already, or another's by now

    async def close(self) -> None:
        """Stop accepting and give up handshakes that are under way. Idempotent."""
        self.stop_accepting()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _peername(sock: socket.socket) -> Any:
    try:
        return sock.getpeername()
    except OSError:
        return None


async def _read_header(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> Announced:
    """Take the header off the socket and not a byte more: what follows is for TLS."""
    held = b""
    while True:
        await _readable(loop, sock)
        seen = sock.recv(16 + V2_LIMIT - len(held), socket.MSG_PEEK)
        if not seen:
            raise ProxyProtocolError("closed before its header was whole")
        announced = parse(held + seen)
        # Without its end in sight, everything seen belongs to the header.
        taken = len(seen) if announced is None else announced.size - len(held)
        held += sock.recv(taken)
        if announced is not None:
            return announced


async def _readable(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    ready = asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock)


async def open_listener(
    listener: Listener, edge: Edge, *, sock: socket.socket | None = None, reuse_port: bool = False
) -> OpenListener:
    """Listen as configured. ``sock`` is one that a supervisor bound and keeps. Raises OSError or ssl.SSLError."""
    bound = sock or bind(listener.address, mode=listener.unix_mode, reuse_port=reuse_port)
    opened = OpenListener(listener, edge, bound, owned=sock is None)
    try:
        await opened.open()
    except BaseException:
        await opened.close()
        raise
    return opened
