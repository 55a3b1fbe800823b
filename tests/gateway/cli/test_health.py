"""Ready or not, in time."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
NOT_READY = b'HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n{"ready": false, "reasons": ["shutting down", "no worker"]}'


@contextlib.contextmanager
def answering(server: socket.socket, *parts: bytes, close: bool = True) -> Iterator[list[bytes]]:
    """Answer one connection with these bytes; what was asked is in the list then."""
    asked: list[bytes] = []
    done = threading.Event()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            asked.append(connection.recv(65536))
            for part in parts:
                connection.sendall(part)
            if not close:
                done.wait(30)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        done.set()
        thread.join(30)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def url(server: socket.socket, path: str = "/readyz") -> str:
    return f"http://127.0.0.1:{server.getsockname()[1]}{path}"


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        pytest.param(OK, 0, "", id="ready"),
        pytest.param(NOT_READY, 1, "not ready (503): shutting down; no worker", id="not ready, with its reasons"),
        pytest.param(b"HTTP/1.1 404 X\r\n\r\n<html>", 1, "not ready (404)", id="something else that listens there"),
        pytest.param(b"SSH-2.0-x\r\n", 1, "the answer is not HTTP", id="something that is no HTTP"),
        pytest.param(b"", 1, "the answer is not HTTP", id="closed without a word"),
    ],
)
def test_answers(server: socket.socket, capsys: Any, answer: bytes, code: int, told: str):
    with answering(server, answer) as asked:
        assert main(["health", "--url", url(server)]) == code
    out, err = capsys.readouterr()
    assert told in err if told else err == ""
    assert out == ""
    assert asked[0].startswith(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n")


def test_an_answer_that_never_ends_is_given_up(server: socket.socket, capsys: Any):
    with answering(server, b"HTTP/1.1 200 OK\r\n", close=False):
        assert main(["health", "--url", url(server), "--timeout", "100ms"]) == 1
    assert "timed out" in capsys.readouterr().err


def test_nobody_listens(server: socket.socket, capsys: Any):
    where = url(server)
    server.close()
    assert main(["health", "--url", where]) == 1
    assert "Connection refused" in capsys.readouterr().err


def test_a_unix_socket(tmp_path: Path):
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        for where in (f"unix:{path}", f"unix://{path}"):
            with answering(server, OK) as asked:
                assert main(["health", "--url", where]) == 0
            assert b"Host: localhost\r\n" in asked[0]


def test_the_listener_of_a_configuration_with_its_token(server: socket.socket, here: Path, small: str):
    port = server.getsockname()[1]
    (here / "gateway.yaml").write_text(
        small.replace('{bind: "127.0.0.1:0"}\nacc', f'{{bind: ":{port}", token: "let me in"}}\nacc')
    )
    with answering(server, OK) as asked:
        assert main(["health", "-c", "gateway.yaml"]) == 0
    assert b"Authorization: Bearer let me in\r\n" in asked[0]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        pytest.param(["--url", "ftp://x"], 2, "expected http://host:port/path", id="no URL"),
        pytest.param(["--timeout", "soon"], 2, "expected a time such as 2s", id="no time"),
        pytest.param(["--timeout", "0s"], 2, "expected a time such as 2s", id="no time at all"),
        pytest.param(["--url", "http://x", "-c", "y"], 2, "not allowed with", id="both"),
        pytest.param(["-c", "off.yaml"], 1, "`admin` is off", id="nobody to ask"),
        pytest.param(["-c", "gone.yaml"], 1, "cannot read it", id="no such file"),
    ],
)
def test_mistakes(here: Path, small: str, capsys: Any, words: list[str], code: int, told: str):
    (here / "off.yaml").write_text(small.replace('admin: {bind: "127.0.0.1:0"}', "admin: off"))
    assert main(["health", *words]) == code
    assert told in capsys.readouterr().err


def test_a_real_gateway_that_is_not_ready(
    here: Path, small: str, gateway: Callable[..., Any], start: Callable[..., Any]
):
    critical = "critical: true, health: {active: {path: /, interval: 100ms, unhealthy: 1}}"
    (here / "gateway.yaml").write_text(small.replace('9"]}', f'9"], {critical}}}'))
    running = start("run")
    admin = running.address("admin on ")
    running.wait_for("is ill")
    ended = gateway("health", "--url", f"http://{admin}/readyz")
    assert (ended.returncode, ended.stderr) == (
        1,
        "gateway health: not ready (503): upstream service has no usable target\n",
    )
    assert gateway("health", "--url", f"http://{admin}/healthz").returncode == 0


def test_it_imports_next_to_nothing():
    """It runs every few seconds, as a container's HEALTHCHECK."""
    code = "import sys; from gateway.cli import main; main(['health', '--url', 'unix:/gone']); print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30)
    loaded = {name.partition(".")[0] for name in ended.stdout.split()}
    assert not loaded & {"pydantic", "aiohttp", "ruamel", "asyncio", "ssl", "http", "email", "json"}
