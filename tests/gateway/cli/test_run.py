"""``gateway run`` as a process: from no file to a stopped gateway."""

from __future__ import annotations

import http.client
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any


def get(address: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_from_init_to_stop(here: Path, gateway: Callable[..., Any], start: Callable[..., Any], service: str):
    made = gateway("init", "--upstream", service, "--listen", "127.0.0.1:0")
    assert made.returncode == 0, made.stderr
    file = here / "gateway.yaml"
    file.write_text(file.read_text().replace("127.0.0.1:9901", "127.0.0.1:0"))
    checked = gateway("check")
    assert (checked.returncode, checked.stdout) == (0, "ok: 1 route, 1 upstream, 1 plugin\n"), checked.stderr
    running = start("run")
    running.wait_for("gateway: configuration from gateway.yaml")
    listening = running.address()
    admin = running.address("admin on ")
    assert get(listening, "/a?b=1") == (200, f"/a?b=1 for {service.removeprefix('http://')}".encode())
    healthy = gateway("health", "--url", f"http://{admin}/readyz")
    assert (healthy.returncode, healthy.stdout, healthy.stderr) == (0, "", "")
    assert running.stop() == 0


def test_a_saved_file_is_taken_up_and_a_fatal_order_is_not(
    here: Path, start: Callable[..., Any], service: str, small: str
):
    file = here / "gateway.yaml"
    good = small.replace("http://127.0.0.1:9", service)
    file.write_text(good)
    running = start("run", file)
    listening, admin = running.address(), running.address("admin on ")
    before = json.loads(get(admin, "/config")[1])["digest"]
    answers_first = '[{plugin: respond, with: {body: "x"}}, {plugin: size_limit, with: {json: 1KB}}]'
    file.write_text(good.replace("upstream: service}", f"upstream: service, plugins: {answers_first}}}"))
    running.process.send_signal(signal.SIGHUP)
    assert "can never run: size_limit" in running.wait_for("reload refused")
    assert json.loads(get(admin, "/config")[1])["digest"] == before
    assert get(listening, "/x")[0] == 200
    file.write_text(good.replace("path: /}", "path: /only/}"))
    running.process.send_signal(signal.SIGHUP)
    running.wait_for("in force")
    assert get(listening, "/x")[0] == 404
    assert running.stop() == 0


def test_mistakes_are_told_and_nothing_starts(gateway: Callable[..., Any], here: Path):
    (here / "bad.yaml").write_text("routes: [{name: a, upstream: nowhere}]\nlisteners: 5\n")
    ended = gateway("run", "bad.yaml")
    assert ended.returncode == 1
    assert "bad.yaml:1:30: error: routes[0].upstream: no upstream is called 'nowhere'" in ended.stderr
    assert "bad.yaml:2:12: error: listeners: expected a list" in ended.stderr
    assert "not started" in ended.stderr
    assert ended.stdout == ""


def test_without_any_file_it_says_what_to_do(gateway: Callable[..., Any]):
    ended = gateway("run")
    assert ended.returncode == 2
    assert "neither gateway.yaml nor /etc/sidegate/gateway.yaml is there" in ended.stderr
    assert "gateway init" in ended.stderr


def test_an_address_in_use_is_one_line(here: Path, gateway: Callable[..., Any], start: Callable[..., Any], small: str):
    (here / "gateway.yaml").write_text(small)
    taken = start("run").address()
    (here / "second.yaml").write_text(small.replace("127.0.0.1:0", taken, 1))
    ended = gateway("run", "second.yaml")
    assert ended.returncode == 1
    assert "cannot start" in ended.stderr
    assert "Traceback" not in ended.stderr
