"""A worker's process under a supervisor: does what it is asked over the line, and dies with its supervisor."""

from __future__ import annotations

import argparse
import base64
import ctypes
import logging
import os
import pickle
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any, Final

from gateway.config.model import Config
from gateway.services.unhandled import catch_the_rest
from gateway.supervisor.control import Line
from gateway.supervisor.outlets import begin_own_log, end_own_log
from gateway.supervisor.worker import Worker

log = logging.getLogger("gateway.worker")

_PR_SET_PDEATHSIG: Final = 1
_TELL_TIME: Final = 5.0
"""Seconds that the other workers have to take what one tells."""


def main(arguments: Sequence[str]) -> int:
    """Run a worker. Not for people: the supervisor starts it with what it needs."""
    parser = argparse.ArgumentParser(prog="gateway worker")
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--index", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--listener", type=int, action="append", default=[])
    options = parser.parse_args(arguments)
    _die_with_parent()
    # The terminal sends Ctrl-C to the whole group; the supervisor alone decides when workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    import uvloop  # noqa: PLC0415 - a worker under a supervisor is never on Windows

    try:
        uvloop.run(_Child(options).run())
    finally:
        end_own_log()
    return 0


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when its supervisor dies (Linux)."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died in between
            os._exit(1)


class _Child:
    """Answers the supervisor."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._worker: Worker | None = None
        self._line: Line | None = None

    async def run(self) -> None:
        """Serve until the line ends."""
        line = self._line = await Line.over(socket.socket(fileno=self._options.control))
        try:
            await line.serve(self._answer)
        finally:
            if self._worker is not None:
                await self._worker.close()

    async def _answer(self, what: str, arguments: dict[str, Any]) -> Any:
        if what == "start":
            return await self._start(_unpacked(arguments["config"]))
        worker = self._worker
        if worker is None:
            raise LookupError("not started")
        match what:
            case "prepare":
                await worker.prepare(_unpacked(arguments["config"]))
            case "commit":
                worker.commit()
            case "abandon":
                await worker.abandon()
            case "probed":
                return worker.probed()
            case "told":
                worker.told(arguments["found"])
            case "snapshot":
                return worker.snapshot()
            case "status":
                return await worker.status()
            case "errors":
                return await worker.errors()
            case "view":
                return await worker.plugin_view(**arguments)
            case "erase":
                return await worker.erase(arguments["subject"])
            case "relayed":
                worker.services.relay.deliver(arguments["topic"], arguments["message"])
            case "reopen":
                worker.reopen_logs()
            case "level":
                worker.change_level(**arguments)
            case "drain":
                return await worker.drain(arguments["deadline"])
            case _:
                raise LookupError(what)
        return None

    async def _start(self, config: Config) -> None:
        catch_the_rest()
        begin_own_log(config.log)
        sockets = [socket.socket(fileno=number) for number in self._options.listener]
        for sock in sockets:
            sock.setblocking(False)
        self._worker = Worker(config, index=self._options.index, workers=self._options.workers, sockets=sockets)
        self._worker.services.relay.send = self._tell_others
        await self._worker.start()

    async def _tell_others(self, topic: str, message: str) -> None:
        assert self._line is not None
        await self._line.ask("relay", _TELL_TIME, topic=topic, message=message)


def packed(config: Config) -> str:
    """A configuration as it goes over the line.

    Workers get what the supervisor has read and checked, and do not read the files again: those may have changed, and a
    worker that dies must come back even while what stands in them is refused.
    """
    return base64.b64encode(pickle.dumps(config)).decode()


def _unpacked(text: str) -> Config:
    config = pickle.loads(base64.b64decode(text))  # noqa: S301 - the line leads to nobody but our own supervisor
    assert isinstance(config, Config)
    return config
