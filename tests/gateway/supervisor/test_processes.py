"""Sockets and sums of several workers; the processes are seen in ``tests/integration/test_workers.py``."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from gateway.config.listener import Listener
from gateway.supervisor.processes import _bind, _cause, _retained


def listener(bind: str) -> Listener:
    return Listener.model_validate({"bind": bind})


def test_each_worker_has_a_socket_of_its_own_on_one_port() -> None:
    sockets = _bind(listener("127.0.0.1:0"), 3)
    try:
        assert len({sock.getsockname() for sock in sockets}) == 1
        assert len({sock.fileno() for sock in sockets}) == 3
    finally:
        for sock in sockets:
            sock.close()


def test_a_port_is_not_shared_with_another_gateway() -> None:
    sockets = _bind(listener("127.0.0.1:0"), 2)
    for sock in sockets:
        sock.listen()
    bind = f"127.0.0.1:{sockets[0].getsockname()[1]}"
    with pytest.raises(OSError, match=f"cannot listen on {bind}"):
        _bind(listener(bind), 2)
    for sock in sockets:
        sock.close()
    for sock in _bind(listener(bind), 2):  # free again
        sock.close()


def test_workers_share_the_queue_of_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "g.sock"
    sockets = _bind(listener(f"unix:{path}"), 2)
    sockets[0].listen()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        sockets[1].accept()[0].close()
    for sock in sockets:
        sock.close()


@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        pytest.param(["route", "status"], [[["here", "200"], 1]], id="by route"),
        pytest.param(["status", "route"], [[["200", "here"], 1]], id="wherever the label stands"),
        pytest.param(["other", "status"], None, id="all, without that label"),
    ],
)
def test_what_dead_workers_counted_for_what_is_gone_goes(labels: list[str], kept: Any) -> None:
    at = labels.index("route") if "route" in labels else 0
    samples = [[["200", "200"], 1], [["200", "200"], 2]]
    samples[0][0][at], samples[1][0][at] = "here", "gone"  # type: ignore[index]
    family = {"name": "x", "labels": labels, "samples": samples}
    assert _retained(family, {"route": {"here"}})["samples"] == (samples if kept is None else kept)


@pytest.mark.parametrize(("code", "words"), [(-9, "signal SIGKILL"), (1, "exit code 1")])
def test_why_a_worker_died(code: int, words: str) -> None:
    assert _cause(code) == words
