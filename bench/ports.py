"""Ports, configuration templates, and the wait for a first answer."""

import http.client
import re
import socket
import time
from pathlib import Path

from bench.process import Process

READY_WITHIN = 20.0


class NotReady(Exception):
    """A process did not answer in time, or ended."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fill(template: Path, to: Path, **values: object) -> Path:
    """Writes `template` to `to` with each @NAME@ replaced. Raises KeyError for a name without a value."""
    text = re.sub(r"@([A-Z_]+)@", lambda name: str(values[name[1]]), template.read_text())
    to.write_text(text)
    return to


def wait_answer(port: int, path: str, process: Process, *, every: float = 0.005) -> float:
    """Asks until `path` is answered with 200; returns time.monotonic() of that moment. Raises NotReady."""
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        if not process.alive:
            raise NotReady(f"ended before its first answer:\n{process.tail()}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                return time.monotonic()
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(every)
    raise NotReady(f"no answer on port {port} within {READY_WITHIN:.0f} s:\n{process.tail()}")
