"""A worker's process under a supervisor: does what it is asked over the line, and dies with its supervisor."""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from gateway.config.load import Loaded, load
from gateway.services.log import configure
from gateway.supervisor.control import Line
from gateway.supervisor.worker import Worker

log = logging.getLogger("gateway.worker")

_PR_SET_PDEATHSIG: Final = 1


def main(arguments: Sequence[str]) -> int:
    """Run a worker. Not for people: the supervisor starts it with what it needs."""
    parser = argparse.ArgumentParser(prog="gateway worker")
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--index", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--listener", type=int, action="append", default=[])
    parser.add_argument("-c", "--config", action="append", type=Path, default=[])
    options = parser.parse_args(arguments)
    _die_with_parent()
    # The terminal sends Ctrl-C to the whole group; the supervisor alone decides when workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    import uvloop  # noqa: PLC0415 - a worker under a supervisor is never on Windows

    uvloop.run(_Child(options).run())
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
        self._loaded: Loaded | None = None

    async def run(self) -> None:
        """Serve until the line ends."""
        line = await Line.over(socket.socket(fileno=self._options.control))
        try:
            await line.serve(self._answer)
        finally:
            if self._worker is not None:
                await self._worker.close()

    async def _answer(self, what: str, arguments: dict[str, Any]) -> Any:
        if what == "start":
            return await self._start(arguments["identity"])
        worker = self._worker
        if worker is None:
            raise LookupError("not started")
        match what:
            case "prepare":
                await worker.prepare(self._load(arguments["identity"]).config)
            case "commit":
                worker.commit()
            case "abandon":
                await worker.abandon()
            case "snapshot":
                return worker.snapshot()
            case "status":
                return await worker.status()
            case "view":
                return await worker.plugin_view(**arguments)
            case "reopen":
                worker.reopen_logs()
            case "level":
                worker.change_level(**arguments)
            case "drain":
                return await worker.drain(arguments["deadline"])
            case _:
                raise LookupError(what)
        return None

    def _load(self, identity: str) -> Loaded:
        """The configuration that the supervisor has read. Raises RuntimeError if the files have changed since."""
        loaded = load(self._options.config)
        if loaded.identity != identity:
            raise RuntimeError("the configuration changed while it was taken up")
        return loaded

    async def _start(self, identity: str) -> None:
        loaded = self._load(identity)
        configure(loaded.config.log.level, loaded.config.log.format)
        sockets = [socket.socket(fileno=number) for number in self._options.listener]
        for sock in sockets:
            sock.setblocking(False)
        self._worker = Worker(loaded.config, index=self._options.index, workers=self._options.workers, sockets=sockets)
        await self._worker.start()
