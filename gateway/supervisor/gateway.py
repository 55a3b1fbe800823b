"""A gateway from start to end: its workers, the admin listener, checks, signals, reloads, shutdown."""

from __future__ import annotations

import asyncio
import logging
import platform
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gateway.admin import AdminServer, Checks
from gateway.config.load import Loaded
from gateway.config.model import Config
from gateway.reload import Refused, Reloader
from gateway.runtime import processors_of, tracker_options
from gateway.server.tls import renewing_context
from gateway.services.audit import Audit
from gateway.services.log import process
from gateway.services.masking import Masking
from gateway.services.metrics import Metrics, Snapshot, alone
from gateway.services.queue import Queue
from gateway.services.unhandled import Unhandled, catch_the_rest, merged
from gateway.supervisor.effective import effective_routes
from gateway.supervisor.outlets import (
    abandon_own_log,
    begin_own_log,
    commit_own_log,
    count_losses,
    end_own_log,
    prepare_own_log,
    reopen_own_log,
)
from gateway.supervisor.processes import Processes
from gateway.supervisor.witness import Witness
from gateway.supervisor.workforce import InProcess, Workforce

log = logging.getLogger("gateway")


class RunningGateway:
    """`gateway.admin.Gateway` over a `Workforce`."""

    def __init__(self, paths: Sequence[Path], loaded: Loaded) -> None:
        several = loaded.config.worker_count > 1
        self.stopping = False
        self._own_metrics = several
        self._checks = Checks()
        self._metrics = Metrics()
        if several:
            count_losses(self._metrics)
        self.masking = Masking()
        """What data goes through before operators see it."""
        self.witness = Witness(self.masking)
        self.workforce: Workforce = Processes(loaded, self.witness) if several else InProcess(loaded)
        self._unhandled = Unhandled(self._metrics, self.masking) if several else None
        """Of the supervisor's process, where that is another than the workers'."""
        self._reloader = Reloader(paths, loaded, self._apply)
        self._reloader.witness = self._reloaded
        self._admin: AdminServer | None = None
        self._forget_tls: Callable[[], None] = lambda: None
        self._stop = asyncio.Event()
        self._started = asyncio.Event()
        self._background: set[asyncio.Task[Any]] = set()

    @property
    def audit(self) -> Audit:
        """The audit trail."""
        return self.witness.audit

    # -- what the admin API asks -------------------------------------------------------------------------------

    @property
    def loaded(self) -> Loaded:
        """The configuration in force."""
        return self._reloader.loaded

    @property
    def checks(self) -> dict[str, dict[str, Any]]:
        """Results of ``health.checks``."""
        return self._checks.results

    async def queue(self) -> Queue:
        """The durable queue."""
        return await self.workforce.queue()

    async def snapshots(self) -> list[Snapshot]:
        """Every worker's counters, and this process's own."""
        return [*await self.workforce.snapshots(), self._own_snapshot()]

    def _own_snapshot(self) -> Snapshot:
        outcome = self._reloader.outcome
        own: Snapshot = self._metrics.snapshot() if self._own_metrics else []
        own += self.witness.snapshot()
        own += [
            alone("config_last_reload_successful", "gauge", "Whether the last reload was taken up.", outcome.last_ok),
            alone("config_last_reload_timestamp_seconds", "gauge", "When it was, since 1970.", outcome.last_at),
            alone("config_last_reload_seconds", "gauge", "How long it took.", outcome.last_seconds),
            alone("config_reloads_total", "counter", "Reloads that were taken up.", outcome.successes),
            alone("config_reloads_refused_total", "counter", "Reloads that were refused.", outcome.failures),
            _info("build_info", "The program.", version=version("sidegate"), python=platform.python_version()),
            _info("config_info", "The configuration in force.", digest=self.loaded.digest),
        ]
        own.append(
            {
                "name": "check_up",
                "kind": "gauge",
                "help": "Whether a named check succeeds.",
                "labels": ["check"],
                "rule": "max",
                "bounds": [],
                "samples": [[[name], int(result["ok"] is True)] for name, result in self.checks.items()],
            }
        )
        return own

    async def statuses(self) -> list[dict[str, Any]]:
        """Every worker's state."""
        return await self.workforce.statuses()

    async def errors(self) -> list[dict[str, Any]]:
        """Errors that nobody has handled, by group, of all processes."""
        own = [await asyncio.to_thread(self._unhandled.shown)] if self._unhandled is not None else []
        return merged([*await self.workforce.errors(), *own])

    def chains(self) -> list[dict[str, Any]]:
        """Routes with their effective chains."""
        return effective_routes(self.loaded.config)

    def reload_outcome(self) -> dict[str, Any]:
        """How reloads went."""
        outcome = self._reloader.outcome
        return {
            "ok": outcome.last_ok,
            "at": round(outcome.last_at, 3),
            "seconds": round(outcome.last_seconds, 3),
            "digest": self.loaded.digest,
            "problems": list(outcome.problems),
        }

    async def reload(self) -> bool:
        """Read the configuration again."""
        return await self._reloader.reload(by="admin")

    async def plugin_view(self, route: str, id: str, name: str, method: str, query: dict[str, str]) -> list[Any]:  # noqa: A002
        """What every worker's instance of a plugin answers."""
        return await self.workforce.plugin_view(route, id, name, method, query)

    async def erase(self, subject: str) -> list[dict[str, Any]]:
        """What every worker's plugins keep of a subject."""
        return await self.workforce.erase(subject)

    # -- life --------------------------------------------------------------------------------------------------

    async def _apply(self, loaded: Loaded) -> None:
        """All workers or none: build in all, then commit in all."""
        try:
            processors = processors_of(loaded.config, self._metrics)
            if self._own_metrics:  # this process has a log of its own
                prepare_own_log(loaded.config.log)
            await self.witness.prepare(loaded)
            await self.workforce.prepare(loaded)
        except Exception as error:
            await self.audit.abandon()
            await self.workforce.abandon()
            await abandon_own_log()
            if isinstance(error, Refused):
                raise
            raise Refused([str(error) or type(error).__name__]) from error
        await self.workforce.commit()
        self.audit.commit()
        self.masking.refill(*processors)
        if self._own_metrics:
            process(processors[0])
            commit_own_log(self.loaded.config.log, loaded.config.log)
        self._checks.start(loaded.config.health.checks)
        self._watch_errors(loaded.config)

    def _watch_errors(self, config: Config) -> None:
        if self._unhandled is not None:
            self._unhandled.open()
            self._unhandled.track(tracker_options(config))

    async def start(self) -> None:
        """Start everything. Raises what keeps it from serving; then nothing is left open."""
        config = self.loaded.config
        try:
            processors = processors_of(config, self._metrics)
            self.masking.refill(*processors)
            process(processors[0])  # why it cannot start is masked as well
            await self.witness.prepare(self.loaded)
            self.audit.commit()
            self._watch_errors(config)
            await self.workforce.start()
            self._checks.start(config.health.checks)
            if config.admin is not None:
                self._admin = AdminServer(self)
                tls = None
                if config.admin.tls is not None:
                    tls, self._forget_tls = renewing_context(config.admin.tls)
                await self._admin.start(config.admin, tls)
        except BaseException as error:
            self.witness.not_started(self.loaded, error)
            await self.close()
            raise
        self.witness.started(self.loaded, self.addresses, self.admin_address)
        self._started.set()
        if config.reload.watch:
            self._reloader.watch()
        for address in self.workforce.addresses:
            log.info("listening on %s", address)
        if self._admin is not None:
            log.info("admin on %s", self._admin.name)

    @property
    def addresses(self) -> list[str]:
        """Where the listeners really are."""
        return self.workforce.addresses

    @property
    def admin_address(self) -> str:
        """Where the admin listener really is, or nothing."""
        return self._admin.name if self._admin is not None else ""

    async def run(self) -> bool:
        """Serve until told to stop by a signal (`handle_signals`) or `stop`, then shut down.

        False if exchanges had to be cut.
        """
        await self._stop.wait()
        return await self.shut_down()

    def handle_signals(self) -> None:
        """From now on signals are answered; those that come while it starts are answered after that."""
        loop = asyncio.get_running_loop()
        handlers: dict[signal.Signals, Callable[[], Any]] = {
            signal.SIGTERM: lambda: self.stop("signal:SIGTERM"),
            signal.SIGINT: lambda: self.stop("signal:SIGINT"),
            signal.SIGHUP: lambda: self._later(self._hangup()),
            signal.SIGUSR1: lambda: self._later(self._change_level("signal:SIGUSR1", more=True)),
            signal.SIGUSR2: lambda: self._later(self._change_level("signal:SIGUSR2", more=False)),
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(self._when_started(work))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _when_started(self, work: Any) -> None:
        await self._started.wait()
        await work

    async def _hangup(self) -> None:
        await self.workforce.reopen_logs()
        if self._own_metrics:
            reopen_own_log()
        await self._reloader.reload(even_if_unchanged=True, by="signal:SIGHUP")

    async def _change_level(self, by: str, *, more: bool) -> None:
        self.witness.level_changed(by, more=more)
        await self.workforce.change_level(more=more)

    def _reloaded(self, by: str, before: Loaded) -> None:
        problems = self._reloader.outcome.problems
        self.witness.reloaded(by, before.digest, self.loaded.digest, len(problems))

    def stop(self, by: str = "gateway") -> None:
        """Begin to shut down; ``by`` stands in the audit trail."""
        if not self._stop.is_set():
            self.witness.told_to_stop(by)
        self._stop.set()

    async def shut_down(self) -> bool:
        """Drain, then close everything. False if exchanges had to be cut."""
        settings = self.loaded.config.shutdown
        self.stopping = True
        log.info("shutting down")
        await self._reloader.close()
        if settings.delay:
            await asyncio.sleep(settings.delay)
        clean = await self.workforce.drain(settings.drain)
        self.witness.drained(clean=clean)
        if not clean:
            log.warning("exchanges were cut after %gs", settings.drain)
        await self.close()
        return clean

    async def close(self) -> None:
        """Close everything at once. Idempotent."""
        await self._reloader.close()
        await self._checks.close()
        self._forget_tls()
        if self._admin is not None:
            await self._admin.close()
        await self.workforce.close()
        await self.witness.close()
        if self._unhandled is not None:
            await asyncio.to_thread(self._unhandled.close)


def _info(name: str, text: str, **labels: str) -> dict[str, Any]:
    """A gauge that is 1 and says what it has to say in its labels."""
    return {**alone(name, "gauge", text, 1), "labels": list(labels), "samples": [[list(labels.values()), 1]]}


def run(paths: Sequence[Path], loaded: Loaded) -> int:
    """Run a gateway in this process until a signal ends it. The exit code: 1 if it cannot start."""
    catch_the_rest()
    try:
        begin_own_log(loaded.config.log)
    except (OSError, ModuleNotFoundError) as error:
        log.error("cannot start: cannot open the log: %s", error)
        return 1
    try:
        return _loop_runner()(_serve(paths, loaded))
    finally:
        end_own_log()


def _loop_runner() -> Callable[[Any], int]:
    if sys.platform != "win32":
        import uvloop  # noqa: PLC0415 - where there is one

        return uvloop.run
    return asyncio.run


async def _serve(paths: Sequence[Path], loaded: Loaded) -> int:
    gateway = RunningGateway(paths, loaded)
    gateway.handle_signals()
    try:
        await gateway.start()
    except Exception as error:
        log.error("cannot start: %s", error)
        log.debug("cannot start", exc_info=error)
        return 1
    await gateway.run()
    return 0
