"""The gateway as operators run it, ``python -m gateway run FILE`` in its own process, and services behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0


class Process:
    """A gateway's process. ``config`` is a dict; JSON is YAML."""

    def __init__(self, directory: Path, config: dict[str, Any], **environ: str) -> None:
        self.directory = directory
        self.path = directory / "gateway.yaml"
        self.log_path = directory / "log.jsonl"
        self.out_path = directory / "out.jsonl"
        self.environ = environ
        self.config: dict[str, Any] = {
            "listeners": [{"bind": "127.0.0.1:0"}],
            "admin": {"bind": "127.0.0.1:0"},
            "access_log": "off",
            **config,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.admin = ""

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def write(self, config: dict[str, Any] | str) -> None:
        """Put another configuration in the file's place, as an editor does: at once, never half."""
        text = config if isinstance(config, str) else json.dumps({**self.config, **config})
        draft = self.path.with_suffix(".new")
        draft.write_text(text)
        draft.replace(self.path)

    def start(self, *, wait: bool = True) -> None:
        if not self.path.exists():
            self.write(self.config)
        with self.log_path.open("ab") as log, self.out_path.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "run", str(self.path)],
                cwd=ROOT,
                env={**os.environ, **self.environ},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
            )
        if wait:
            self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + START_SECONDS
        assert self.process is not None
        wants_admin = self.config["admin"] != "off"
        while time.monotonic() < until:
            said = self.log()
            listening = re.findall(r"listening on ([\w.:/\[\]-]+)", said)
            admin = re.findall(r"admin on ([\w.:/\[\]-]+)", said)
            if len(listening) == len(self.config["listeners"]) and (admin or not wants_admin):
                self.url = f"http://{listening[0]}"
                self.admin = f"http://{admin[0]}" if admin else ""
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        pytest.fail(f"the gateway did not start:\n{said}")

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def out(self) -> str:
        return self.out_path.read_text(errors="replace") if self.out_path.exists() else ""

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def ended(self, seconds: float = 20.0) -> int:
        """The exit code."""
        assert self.process is not None
        return await asyncio.to_thread(self.process.wait, seconds)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait(10)

    # -- the admin API -----------------------------------------------------------------------------------------

    async def ask(
        self, path: str, method: str = "GET", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, dict[str, str]]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.admin + path, headers=headers) as answer,
        ):
            return answer.status, await answer.read(), dict(answer.headers)

    async def tell(self, path: str) -> Any:
        """An answer of the admin API, whatever its status."""
        return json.loads((await self.ask(path))[1])

    async def metrics(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """All samples, as Prometheus' own parser reads them: (name, sorted labels) → value."""
        _, body, _ = await self.ask("/metrics")
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        }

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        return sum(
            value
            for (found, given), value in (await self.metrics()).items()
            if found == f"sidegate_{name}" and labels.items() <= dict(given).items()
        )


StartGateway = Callable[..., Process]


@contextlib.contextmanager
def starter(directory: Path) -> Iterator[StartGateway]:
    started: list[Process] = []

    def start(config: dict[str, Any], *, begin: bool = True, **environ: str) -> Process:
        place = directory / f"gateway{len(started)}"
        place.mkdir()
        process = Process(place, config, **environ)
        started.append(process)
        if begin:
            process.start()
        return process

    try:
        yield start
    finally:
        for process in started:
            process.kill()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[StartGateway]:
    """``gateway(config, NAME=value…)`` starts one; whatever is left is killed after the test."""
    with starter(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def module_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartGateway]:
    """The same for a gateway that a module's tests share."""
    with starter(tmp_path_factory.mktemp("gateway")) as start:
        yield start


def behind(*urls: str, **upstream: Any) -> dict[str, Any]:
    """The smallest configuration: everything to one upstream."""
    return {
        "upstreams": {"service": {"targets": list(urls), **upstream}},
        "routes": [{"name": "all", "match": {"path": "/"}, "upstream": "service"}],
    }


@pytest.fixture(name="behind")
def _behind() -> Callable[..., dict[str, Any]]:
    return behind


async def until(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until something is so and return it; ``holds`` may be a coroutine function."""
    async with asyncio.timeout(seconds):
        while True:
            found = holds()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.02)


@pytest.fixture(name="until")
def _until() -> Callable[..., Awaitable[Any]]:
    return until


# -- services ------------------------------------------------------------------------------------------------------

Conduct = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Origin:
    """A service whose every connection is in a test's hands."""

    conduct: Conduct
    url: str = ""
    connections: int = 0
    open: set[asyncio.StreamWriter] = field(default_factory=set)
    server: asyncio.Server | None = None
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    async def start(self) -> Origin:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.open.add(writer)
        self.connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self.conduct(reader, writer)
        finally:
            self.tasks.discard(task)
            self.open.discard(writer)
            writer.close()

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
        for writer in list(self.open):
            writer.transport.abort()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def origin() -> AsyncIterator[Callable[[Conduct], Awaitable[Origin]]]:
    """``await origin(conduct)`` starts a service that hands every connection to ``conduct(reader, writer)``."""
    started: list[Origin] = []

    async def start(conduct: Conduct) -> Origin:
        made = Origin(conduct)
        started.append(made)
        return await made.start()

    yield start
    for each in started:
        await each.stop()
    await asyncio.sleep(0.01)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.fixture(name="reset")
def _reset() -> Callable[[asyncio.StreamWriter], None]:
    return reset


def answering(body: bytes = b"ok", status: int = 200, headers: str = "") -> Conduct:
    """Keeps connections alive and answers every request (without a body) alike."""
    data = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body

    async def conduct(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(data)
            await writer.drain()

    return conduct


@pytest.fixture(name="answering")
def _answering() -> Callable[..., Conduct]:
    return answering


@pytest.fixture
def refused_url() -> str:
    """The URL of a port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that decodes nothing, follows nothing and remembers nothing."""
    async with aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as made:
        yield made


@pytest.fixture(scope="session")
def httpbin_url() -> Iterator[str]:
    """httpbin as it comes from the registry, on werkzeug's HTTP/1.1 server with a thread for each connection."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Http11(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *_: object) -> None:
            pass

        def make_environ(self) -> dict[str, Any]:
            # httpbin takes chunked requests from servers that it knows to mark their end; werkzeug does mark it.
            return {**super().make_environ(), "SERVER_SOFTWARE": "gunicorn/0"}

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    from httpbin import app

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Http11)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
