"""The command as users start it, and a service to stand in front of."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.services.clock import Clock
from gateway.services.queue import Attempt, Draft, Queue, State
from gateway.services.queue.message import VERSION, KeptRequest
from gateway.services.queue.opening import QueueSettings, open_queue

WAIT = 30
"""Seconds, for what takes one."""

SMALL = """\
listeners: [{bind: "127.0.0.1:0"}]
admin: {bind: "127.0.0.1:0"}
access_log: off
upstreams:
  service: {targets: ["http://127.0.0.1:9"]}
routes:
  - {name: all, match: {path: /}, upstream: service}
"""


@pytest.fixture
def small() -> str:
    """A configuration that serves on free ports."""
    return SMALL


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEMO_URL", raising=False)
    return tmp_path


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "gateway", *map(str, words)]


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1", **variables}


Invoke = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def gateway(here: Path) -> Invoke:
    """Run a command in a process of its own until it ends."""

    def run(*words: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*words),
            check=False,
            cwd=here,
            env=environment(**(env or {})),
            capture_output=True,
            text=True,
            timeout=WAIT,
        )

    return run


class Running:
    """A gateway that serves, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line)
        self._lines.put(None)

    def wait_for(self, text: str) -> str:
        """The next line that holds ``text``."""
        while True:
            line = self._lines.get(timeout=WAIT)
            assert line is not None, f"it ended without saying {text!r}: {''.join(self.said)}"
            self.said.append(line)
            if text in line:
                return line

    def address(self, of: str = "listening on ") -> str:
        """Where it listens."""
        return str(json.loads(self.wait_for(of))["msg"]).removeprefix(of)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(WAIT)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WAIT)
        self._reader.join(WAIT)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def start(here: Path) -> Iterator[Callable[..., Running]]:
    """Start a command that goes on."""
    started: list[Running] = []

    def run(*words: str | Path) -> Running:
        process = subprocess.Popen(
            command(*words),
            cwd=here,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(Running(process))
        return started[-1]

    yield run
    for running in started:
        running.end()


class _Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"{self.path} for {self.headers['Host']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[str]:
    """The URL of a service that says what it was asked for."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(WAIT)
    server.server_close()


BODY = b'{"id": "evt_1", "password": "s3cr3t"}'
"""Of every request that is kept."""


def kept_request(number: int) -> bytes:
    fields = [(b"Content-Type", b"application/json"), (b"Authorization", b"Bearer s3cr3t")]
    return KeptRequest(
        VERSION, "POST", "/hooks", "", "shop.example", "https", fields, BODY, time.time(), f"r{number}"
    ).pack()


class Kept:
    """A configuration, its queue, and the command."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = folder / "kept" / "queue.db"
        self.file = folder / "gateway.yaml"
        self.file.write_text(
            f"admin: off\nstores: {{durable: 'sqlite://{self.path}'}}\n"
            "upstreams: {u: {targets: ['http://127.0.0.1:9']}}\n"
            "routes: [{name: all, match: {path: /}, upstream: u}]\n"
        )
        self._capsys = capsys

    def on_queue(self, work: Callable[[Queue], Coroutine[Any, Any, Any]]) -> Any:
        """What a gateway would do."""

        async def run() -> Any:
            queue = await open_queue(f"sqlite://{self.path}", QueueSettings(), Clock())
            try:
                return await work(queue)
            finally:
                await queue.close()

        return asyncio.run(run())

    def fill(self) -> list[str]:
        """Three dead letters of two routes, and one item that waits."""

        async def put(queue: Queue) -> list[str]:
            ids = []
            for number, (route, status) in enumerate((("stripe", 503), ("stripe", 410), ("github", 503))):
                attempt = Attempt(1, time.time(), 0.1, status, "bad_gateway" if status == 503 else "gone")
                labels = {"route": route, "event": f"evt_{number}"}
                draft = Draft(
                    f"inbox/{route}/inbox",
                    kept_request(number),
                    labels=labels,
                    subject="alice",
                    state=State.DEAD,
                    last=attempt,
                )
                ids.append((await queue.put(draft)).id)
            ids.append((await queue.put(Draft("inbox/stripe/inbox", kept_request(9), labels={"route": "stripe"}))).id)
            return ids

        found: list[str] = self.on_queue(put)
        return found

    def __call__(self, action: str, *words: str) -> tuple[int, str, str]:
        """Exit code, what was printed, and what was told."""
        code = main(["inbox", action, *words, "-c", str(self.file)])
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def states(self) -> dict[str, str]:
        code, out, _ = self("list", "--json")
        assert code == 0
        return {each["id"]: each["state"] for each in json.loads(out)["items"]}


@pytest.fixture
def inbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Kept:
    return Kept(tmp_path, capsys)
