"""Stores and queues over real servers: a Redis, a cluster of three masters, a master and its sentinel; a slow proxy."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from gateway.services.store import MemoryStore, State, Store, parse_store_url
from gateway.services.store.redis import RedisStore

OpenRedis = Callable[..., Awaitable[RedisStore]]
SLOTS = 16384
PATIENCE = 20.0


@pytest.fixture
async def open_redis() -> AsyncIterator[OpenRedis]:
    """``await open_redis(url, timeout=…)``; the default is one that a busy machine does not reach."""
    stores: list[RedisStore] = []

    async def open_store(url: str, timeout: float = 1.0) -> RedisStore:
        store = RedisStore(parse_store_url(url), timeout=timeout)
        stores.append(store)
        await store.open()
        return store

    yield open_store
    for store in stores:
        await store.close()


@pytest.fixture
async def redis_store(redis_server: Any, open_redis: OpenRedis) -> RedisStore:
    return await open_redis(redis_server.url)


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest, open_redis: OpenRedis) -> AsyncIterator[Store]:
    """Either store: what holds for one holds for the other."""
    if request.param == "redis":
        yield await open_redis(request.getfixturevalue("redis_server").url)
        return
    memory = MemoryStore()
    yield memory
    await memory.close()


async def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until the condition holds; a bound for failing, not a measurement."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, f"never came true: {what}"
        await asyncio.sleep(0.01)


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[[Callable[[], object], str], Awaitable[None]]:
    return eventually


@pytest.fixture
def is_up() -> Callable[[Store], Awaitable[None]]:
    async def wait(store: Store) -> None:
        await eventually(lambda: store.state is State.UP, "the store is up")

    return wait


class Proxy:
    """A TCP proxy that hands bytes on ``delay`` seconds late, in both directions together."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.delay = 0.0
        self.port = 0
        self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()

    def cut(self) -> None:
        """Reset all connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, back = await asyncio.open_connection(*self._target)
        self._writers += [writer, back]
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.ensure_future(self._pump(source, sink))
            self._tasks.add(task)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await asyncio.sleep(self.delay / 2)
                sink.write(data)
        sink.close()


@pytest.fixture
async def proxy(redis_server: Any) -> AsyncIterator[Proxy]:
    proxy = Proxy(*redis_server.address)
    await proxy.start()
    yield proxy
    await proxy.stop()


@dataclass
class RealCluster:
    """Three masters and, per test that wants one, a replica."""

    start: Callable[..., Any]
    masters: list[Any] = field(default_factory=list)

    OPTIONS = (
        *("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "1000"),
        *("--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0"),
    )

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.masters)

    def create(self) -> None:
        self.masters = [self.start(*self.OPTIONS) for _ in range(3)]
        for index, server in enumerate(self.masters):
            first, end = SLOTS * index // 3, SLOTS * (index + 1) // 3
            server.command("CLUSTER", "ADDSLOTS", *range(first, end))
            server.command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for server in self.masters[1:]:
            server.command("CLUSTER", "MEET", *self.masters[0].address)
        for server in self.masters:
            wait_for(lambda server=server: self.knows(server) == {s.port for s in self.masters}, "all know each other")
            wait_for(lambda server=server: self.state(server) == "ok", "the cluster is ok")

    def knows(self, server: Any) -> set[int]:
        """The ports of the masters with slots that this server knows."""
        ranges = raw(server, "CLUSTER", "SLOTS")
        return {int(entry[2][1]) for entry in ranges}

    def state(self, server: Any) -> str:
        lines = raw(server, "CLUSTER", "INFO").decode().split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)["cluster_state"]

    def id(self, server: Any) -> str:
        return str(raw(server, "CLUSTER", "MYID").decode())

    def replica_of(self, master: Any) -> Any:
        replica = self.start(*self.OPTIONS, "--cluster-replica-validity-factor", "0")
        replica.command("CLUSTER", "MEET", *master.address)
        wait_for(lambda: b":%d@" % master.port in raw(replica, "CLUSTER", "NODES"), "the replica knows its master")
        wait_for(lambda: attempt(lambda: replica.command("CLUSTER", "REPLICATE", self.id(master))), "it replicates")
        wait_for(lambda: b"master_link_status:up" in raw(replica, "INFO", "replication"), "the replica is in step")
        told = f"slave {self.id(master)}".encode()
        for server in self.masters:  # who has not heard of it will not vote for it
            wait_for(lambda server=server: told in raw(server, "CLUSTER", "NODES"), "all know the replica")
        return replica


def raw(server: Any, *words: str | int) -> Any:
    """An answer as it came, without redis-py's reading of it."""
    with redis.Redis(host=server.host, port=server.port, socket_timeout=5, protocol=2) as client:
        client.response_callbacks.clear()
        return client.execute_command(*words)


def attempt(action: Callable[[], object]) -> bool:
    try:
        action()
    except redis.RedisError:
        return False
    return True


def wait_for(condition: Callable[[], object], what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, f"never came true: {what}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def shared_cluster(start_redis_module: Callable[..., Any]) -> RealCluster:
    cluster = RealCluster(start_redis_module)
    cluster.create()
    return cluster


@pytest.fixture
def cluster(shared_cluster: RealCluster) -> RealCluster:
    """The module's cluster of three masters, empty. A test that breaks it makes its own with `own_cluster`."""
    for server in shared_cluster.masters:
        server.flush()
    return shared_cluster


@pytest.fixture
def own_cluster(start_redis: Callable[..., Any]) -> RealCluster:
    cluster = RealCluster(start_redis)
    cluster.create()
    return cluster


class Watched:
    """A master, its replica, and a sentinel that fails over within a second or two."""

    def __init__(self, start: Callable[..., Any], binary: Path, directory: Path) -> None:
        self.master = start("--repl-diskless-sync-delay", "0")
        self.replica = start("--replicaof", "127.0.0.1", str(self.master.port))
        wait_for(lambda: b"master_link_status:up" in raw(self.replica, "INFO", "replication"), "the replica is in step")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        configuration = directory / "sentinel.conf"
        configuration.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {directory}\n"
            f"sentinel monitor orders 127.0.0.1 {self.master.port} 1\n"
            "sentinel down-after-milliseconds orders 500\nsentinel failover-timeout orders 5000\n"
        )
        self.process = subprocess.Popen(
            [str(binary), str(configuration), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def wait(self) -> None:
        wait_for(lambda: attempt(lambda: self.ask("PING")), "the sentinel answers")
        wait_for(
            lambda: b"num-slaves\x001\x00" in b"\x00".join(self.ask("SENTINEL", "MASTER", "orders")), "it knows all"
        )

    @property
    def url(self) -> str:
        # Port 1 answers nobody: a sentinel that is gone.
        return f"redis+sentinel://127.0.0.1:1,127.0.0.1:{self.port}/orders/0"

    def ask(self, *words: str) -> Any:
        with redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=5, protocol=2) as client:
            client.response_callbacks.clear()
            return client.execute_command(*words)

    def end(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)


@pytest.fixture
def watched(start_redis: Callable[..., Any], redis_binary: Path, tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(start_redis, redis_binary, tmp_path)
    try:
        watched.wait()
        yield watched
    finally:
        watched.end()
