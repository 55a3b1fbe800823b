"""Several workers, each a process of its own, on the same ports.

The supervisor binds one SO_REUSEPORT socket for each worker and listener and keeps them open: were a worker's socket
closed, connections that wait in its queue would be reset. A worker that dies is started again on its old sockets, with
a growing pause. Reloads are built in all workers before they are put in force in any.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import signal
import socket
import sys
import time
from collections.abc import Collection, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from gateway.config.address import Address
from gateway.config.listener import Listener
from gateway.config.load import Loaded
from gateway.reload import Refused
from gateway.runtime.durable import Durable
from gateway.server.listener import bind
from gateway.services.clock import Clock
from gateway.services.metrics import OTHER, Metrics, Snapshot, merge
from gateway.services.queue import Queue
from gateway.supervisor.child import packed
from gateway.supervisor.control import Line, Refusal
from gateway.supervisor.witness import Witness
from gateway.supervisor.workforce import census

log = logging.getLogger("gateway.supervisor")

START_TIME: Final = 60.0
ASK_TIME: Final = 5.0
BUILD_TIME: Final = 60.0
RELAY_TIME: Final = 1.0
SHORTEST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
"""Seconds."""
END_TIME: Final = 20.0
"""Seconds for a worker to end, beside what the collector of traces may have: more than it gives to a tracker, a sink
of the access log and one of its own log that are all stuck, so that none of them costs what another would take."""


class _Child:
    """One worker's process, its end of the line, and how it has fared."""

    def __init__(self, index: int, sockets: list[socket.socket]) -> None:
        self.index = index
        self.sockets = sockets
        self.process: asyncio.subprocess.Process | None = None
        self.line: Line | None = None
        self.ready = False
        self.deaths = 0
        self.began = 0.0
        """When it was started, on the monotonic clock."""
        self.last: Snapshot | None = None
        """The counters at the last look: what a dead worker leaves behind."""


class Processes:
    """`gateway.supervisor.workforce.Workforce` over child processes."""

    def __init__(self, loaded: Loaded, witness: Witness) -> None:
        self._loaded = loaded
        self._witness = witness
        self._prepared: Loaded | None = None
        self._children: list[_Child] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._departed: Snapshot = []
        self._restarts = 0
        self._files: dict[str, int] = {}
        """Unix sockets and their inodes, to be removed at the end."""
        self._closing = False
        self._durable = Durable(Clock(), Metrics(), owner=False)
        """The queue, for operators; the workers have their own."""
        self.addresses: list[str] = []

    # -- starting ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bind, start every worker and wait until all serve. Raises OSError or Refused."""
        config = self._loaded.config
        count = config.worker_count
        bound: list[list[socket.socket]] = []
        try:
            for listener in config.listeners:
                bound.append(_bind(listener, count))
                if path := listener.address.path:
                    self._files[path] = _inode(path)
        except OSError:
            for sock in itertools.chain.from_iterable(bound):
                sock.close()
            raise
        self.addresses = [_name(sockets[0]) for sockets in bound]
        self._children = [_Child(index, [sockets[index] for sockets in bound]) for index in range(count)]
        try:
            await asyncio.gather(*(self._launch(child) for child in self._children))
        except (Refusal, ConnectionError, TimeoutError) as error:
            raise Refused([f"a worker did not start: {error}"]) from error
        for child in self._children:
            self._spawn(self._keep(child))
        self._spawn(self._relay())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _launch(self, child: _Child) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        descriptors = [theirs.fileno(), *(sock.fileno() for sock in child.sockets)]
        command = [sys.executable, "-m", "gateway", "worker", "--control", str(theirs.fileno())]
        command += ["--index", str(child.index), "--workers", str(len(self._children))]
        for sock in child.sockets:
            command += ["--listener", str(sock.fileno())]
        try:
            child.process = await asyncio.create_subprocess_exec(
                *command, pass_fds=descriptors, stdin=asyncio.subprocess.DEVNULL
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        child.began = time.monotonic()
        line = child.line = await Line.over(ours)
        self._spawn(line.serve(partial(self._asked_by, child)))
        loaded = self._loaded
        await line.ask("start", START_TIME, config=packed(loaded.config))
        prepared: Loaded | None = None
        while loaded is not self._loaded or prepared is not self._prepared:  # a reload came, and did not ask this one
            if loaded is not self._loaded:
                loaded, prepared = self._loaded, None
                await line.ask("prepare", BUILD_TIME, config=packed(loaded.config))
                await line.ask("commit", ASK_TIME)
            elif (prepared := self._prepared) is not None:
                await line.ask("prepare", BUILD_TIME, config=packed(prepared.config))
        child.ready = True

    async def _keep(self, child: _Child) -> None:
        """Start a worker again whenever it dies."""
        while not self._closing:
            process = child.process
            assert process is not None
            code = await process.wait()
            child.ready = False
            if self._closing:
                return
            self._bury(child)
            lived = time.monotonic() - child.began
            child.deaths = 0 if lived > LONGEST_PAUSE else child.deaths + 1
            pause = min(SHORTEST_PAUSE * 2 ** max(child.deaths - 1, 0), LONGEST_PAUSE)
            log.error(
                "worker %d died (%s); starting it again in %gs",
                child.index,
                _cause(code),
                pause,
                extra={"incident": "worker_died"},
            )
            self._restarts += 1
            self._witness.worker_died(child.index, process.pid, _cause(code))
            await asyncio.sleep(pause)
            try:
                await self._launch(child)
                self._witness.worker_began(child.index)
            except (Refusal, ConnectionError, TimeoutError, OSError) as error:
                log.error("worker %d did not start again: %s", child.index, error)
                if child.process is not None and child.process.returncode is None:
                    child.process.kill()

    def _bury(self, child: _Child) -> None:
        if child.line is not None:
            child.line.close()
        counted = [family for family in child.last or [] if family["kind"] != "gauge"]
        child.last = None
        if counted:
            self._departed = merge([self._departed, counted]) if self._departed else counted

    # -- asking all --------------------------------------------------------------------------------------------

    async def _ask_all(self, what: str, seconds: float, **arguments: Any) -> list[Any]:
        """Every ready worker's answer, or the exception in its place, in their order."""
        lines = [child.line for child in self._children if child.ready and child.line is not None]
        asked = (line.ask(what, seconds, **arguments) for line in lines)
        return list(await asyncio.gather(*asked, return_exceptions=True))

    async def prepare(self, loaded: Loaded) -> None:
        """Build in all workers. Raises Refused with the words of the first that could not."""
        self._prepared = loaded
        answers = await self._ask_all("prepare", BUILD_TIME, config=packed(loaded.config))
        for answer in answers:
            if isinstance(answer, BaseException):
                raise Refused([str(answer) or type(answer).__name__])

    async def commit(self) -> None:
        """Put it in force in all workers; one that cannot answer any more is killed and starts with the new one."""
        if self._prepared is not None:
            self._loaded, self._prepared = self._prepared, None
        asked = [child for child in self._children if child.ready and child.line is not None]
        answers = await asyncio.gather(
            *(child.line.ask("commit", ASK_TIME) for child in asked if child.line is not None), return_exceptions=True
        )
        for child, answer in zip(asked, answers, strict=True):
            if isinstance(answer, BaseException) and child.process is not None and child.process.returncode is None:
                child.process.kill()
        config = self._loaded.config
        routes = {"-", OTHER, *(route.name for route in config.routes), *(f"upstream:{n}" for n in config.upstreams)}
        known = {"route": routes, "upstream": {OTHER, *config.upstreams}}
        self._departed = [_retained(family, known) for family in self._departed]

    async def _asked_by(self, sender: _Child, what: str, arguments: dict[str, Any]) -> None:
        """A worker tells all others something. Raises what any of them raised."""
        if what != "relay":
            raise LookupError(what)
        # Those that are not ready yet, too: they may serve already.
        others = [each.line for each in self._children if each is not sender and each.line is not None]
        asked = (line.ask("relayed", ASK_TIME, **arguments) for line in others)
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            # One that has died, or has only just been started, knows of nothing that could be out of date.
            gone = isinstance(answer, ConnectionError) or str(answer) == "lookup: not started"
            if isinstance(answer, BaseException) and not gone:
                raise answer

    async def _relay(self) -> None:
        """Active checks are made by one worker a gateway; the others are told here what it found."""
        while True:
            await asyncio.sleep(RELAY_TIME)
            if all(upstream.health.active is None for upstream in self._loaded.config.upstreams.values()):
                continue
            owner = self._children[0]
            if not owner.ready or owner.line is None:
                continue
            try:
                found = await owner.line.ask("probed", ASK_TIME)
            except (Refusal, ConnectionError, TimeoutError):
                continue
            others = [child.line for child in self._children[1:] if child.ready and child.line is not None]
            await asyncio.gather(*(line.ask("told", ASK_TIME, found=found) for line in others), return_exceptions=True)

    async def abandon(self) -> None:
        """Forget it in all workers."""
        self._prepared = None
        await self._ask_all("abandon", ASK_TIME)

    async def snapshots(self) -> list[Snapshot]:
        """Counters of all workers, the dead ones' last known included, and the supervisor's own."""
        ready = [child for child in self._children if child.ready and child.line is not None]
        answers = await asyncio.gather(
            *(child.line.ask("snapshot", ASK_TIME) for child in ready if child.line is not None), return_exceptions=True
        )
        for child, answer in zip(ready, answers, strict=True):
            if not isinstance(answer, BaseException):
                child.last = answer
        own = census(len(self._children), sum(child.ready for child in self._children), self._restarts)
        return [
            *(child.last for child in self._children if child.last),
            *([self._departed] if self._departed else []),
            own,
        ]

    async def statuses(self) -> list[dict[str, Any]]:
        """States of the workers that answer."""
        return [each for each in await self._ask_all("status", ASK_TIME) if not isinstance(each, BaseException)]

    async def errors(self) -> list[list[dict[str, Any]]]:
        """Of the workers that answer."""
        return [each for each in await self._ask_all("errors", ASK_TIME) if not isinstance(each, BaseException)]

    async def plugin_view(self, route: str, id: str, name: str, method: str, query: dict[str, str]) -> list[Any]:  # noqa: A002
        """What every worker's instance of a plugin answers. Raises LookupError."""
        answers = await self._ask_all("view", BUILD_TIME, route=route, id=id, name=name, method=method, query=query)
        for answer in answers:
            if isinstance(answer, Refusal) and str(answer).startswith("lookup:"):
                raise LookupError(f"{route}/{id}/{name}")
            if isinstance(answer, Refusal):
                raise ValueError(str(answer))  # noqa: TRY004 - the words of a refusal, not a type
        return [answer for answer in answers if not isinstance(answer, BaseException)]

    async def erase(self, subject: str) -> list[dict[str, Any]]:
        """Of every worker; one that does not answer has not done it, while one that is not ready holds nothing yet."""
        answers = await self._ask_all("erase", BUILD_TIME, subject=subject)
        lost = {"erased": 0, "failed": ["a worker did not answer"]}
        return [lost if isinstance(answer, BaseException) else answer for answer in answers]

    async def reopen_logs(self) -> None:
        """Begin new log files in all workers."""
        await self._ask_all("reopen", ASK_TIME)

    async def change_level(self, *, more: bool) -> None:
        """Turn the log up or down in all workers."""
        await self._ask_all("level", ASK_TIME, more=more)

    # -- the end -----------------------------------------------------------------------------------------------

    async def drain(self, deadline: float) -> bool:
        """Drain all workers. Their sockets are closed here too, so that nobody is accepted who would not be served."""
        self._closing = True
        drained = asyncio.ensure_future(self._ask_all("drain", deadline + ASK_TIME, deadline=deadline))
        await asyncio.sleep(0)
        self._close_sockets()
        return all(answer is True for answer in await drained)

    def _close_sockets(self) -> None:
        for path, inode in self._files.items():
            with contextlib.suppress(OSError):  # gone already
                if _inode(path) == inode:
                    Path(path).unlink()
        self._files.clear()
        for child in self._children:
            for sock in child.sockets:
                sock.close()

    async def queue(self) -> Queue:
        """Opened by whoever asks first, and another one after a reload that named another."""
        durable = self._durable
        await durable.prepare(self._loaded.config)
        durable.commit(())
        await durable.settle()
        return await durable.get()

    async def close(self) -> None:
        """End every worker: asked first, then killed. Idempotent."""
        self._closing = True
        self._close_sockets()
        tracing = self._loaded.config.tracing
        patience = END_TIME + (tracing.batch.flush if tracing is not None else 0.0)
        await asyncio.gather(*(_end(child, patience) for child in self._children))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._durable.close()


async def _end(child: _Child, patience: float) -> None:
    process = child.process
    if child.line is not None:
        child.line.close()  # a worker whose line ends, ends
    if process is None or process.returncode is not None:
        return
    try:
        async with asyncio.timeout(patience):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _retained(family: dict[str, Any], known: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """Without what was counted for routes and upstreams that are gone."""
    for label, names in known.items():
        if label in family["labels"]:
            at = family["labels"].index(label)
            family = {**family, "samples": [each for each in family["samples"] if each[0][at] in names]}
    return family


def _bind(listener: Listener, count: int) -> list[socket.socket]:
    """A socket for each worker. A unix socket cannot be bound several times: its workers share one queue."""
    address = listener.address
    sockets: list[socket.socket] = []
    try:
        if address.port:
            # Sharing a port is between our own workers; with another gateway's it would be an accident.
            bind(address).close()
        sockets.append(bind(address, mode=listener.unix_mode, reuse_port=not address.path))
        if not address.path:
            address = Address(address.host, sockets[0].getsockname()[1])
        for _ in range(count - 1):
            sockets.append(sockets[0].dup() if address.path else bind(address, reuse_port=True))
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise OSError(error.errno, f"cannot listen on {listener.bind}: {error.strerror}") from None
    return sockets


def _inode(path: str) -> int:
    return Path(path).stat().st_ino


def _name(sock: socket.socket) -> str:
    bound = sock.getsockname()
    return f"{bound[0]}:{bound[1]}" if isinstance(bound, tuple) else f"unix:{bound}"


def _cause(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
