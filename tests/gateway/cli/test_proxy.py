"""A gateway without a file."""

from __future__ import annotations

import http.client
import signal
from collections.abc import Callable
from typing import Any

import pytest

from gateway.cli import main


def get(address: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_it_serves_and_a_reload_does_nothing(start: Callable[..., Any], service: str):
    running = start(
        "proxy", "--to", service, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--access-log", "off"
    )
    listening, admin = running.address(), running.address("admin on ")
    assert get(listening, "/a") == (200, f"/a for {service.removeprefix('http://')}".encode())
    running.process.send_signal(signal.SIGHUP)
    assert get(listening, "/b")[0] == 200
    assert b"sidegate_requests" in get(admin, "/metrics")[1]
    assert running.stop() == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param([], "--to", id="no service"),
        pytest.param(["--to", "a:1"], "gateway proxy: --to: expected a target such as", id="no URL"),
        pytest.param(["--to", "http://a/b"], "gateway proxy: --to: expected a target without a path", id="a path"),
        pytest.param(
            ["--to", "http://a", "--listen", "80"], "gateway proxy: --listen: expected an address", id="no address"
        ),
        pytest.param(
            ["--to", "http://a", "--admin", ":9"], "gateway proxy: --admin: expected `admin.token`", id="open admin"
        ),
        pytest.param(
            ["--to", "http://a", "--access-log", "no/such/log"],
            "gateway proxy: --access-log: expected a file",
            id="no directory",
        ),
        pytest.param(["--to", "http://a/${HOME}"], "${HOME}", id="a dollar is the shell's business"),
    ],
)
def test_mistakes(capsys: Any, words: list[str], told: str):
    assert main(["proxy", *words]) == 2
    assert told in capsys.readouterr().err
