"""One process that serves: its services, the runtime in force, its listeners."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import time
from collections.abc import Sequence
from typing import Any

from gateway.config.logs import AccessLog as AccessLogSettings
from gateway.config.model import Config
from gateway.reload import Succession
from gateway.runtime import Runtime, Services, log_processors, tracker_options
from gateway.server.edge import Edge, EdgeLimits
from gateway.server.listener import OpenListener, open_listener
from gateway.server.tls import ServerTls
from gateway.services.lag import LoopLag
from gateway.services.log import AccessLog, Sampling, Slow, more_verbose, process, quieter
from gateway.services.metrics import Snapshot
from gateway.services.unhandled import Unhandled
from gateway.supervisor.memory import keep_memory
from gateway.supervisor.outlets import (
    PROCESSOR,
    Outlets,
    abandon_own_log,
    commit_own_log,
    count_losses,
    prepare_own_log,
    reopen_own_log,
    settle_own_log,
)
from gateway.supervisor.status import plugin_reports, upstream_states

log = logging.getLogger("gateway.worker")


class Worker:
    """A worker from start to end. ``sockets`` are those that a supervisor bound, in the order of the listeners."""

    def __init__(
        self, config: Config, *, index: int = 0, workers: int = 1, sockets: Sequence[socket.socket] | None = None
    ) -> None:
        self.config = config
        self.index = index
        self.started_at = time.time()
        self.services = Services(workers=workers, owner=index == 0)
        self.unhandled = Unhandled(self.services.metrics, self.services.masking)
        self.succession = Succession(self.services, self._publish, _freeze)
        self.edges: list[Edge] = []
        self.listeners: list[OpenListener] = []
        self._sockets = sockets
        self._outlets = Outlets()
        self._access: AccessLog | None = None
        self._failed = 0
        """Lines that processors of access logs of before failed on."""
        self._next: Config | None = None
        self._handshakes: list[ServerTls | None] = []
        """How the listeners of the next configuration greet."""
        self._lag: LoopLag | None = None

    async def start(self) -> None:
        """Build the runtime, then open the listeners. Raises BuildError, StoreUrlError or OSError."""
        self._outlets.prepare(self.config.access_log.to, self.config.access_log.format)
        self._outlets.commit()
        self.unhandled.open()
        await self.succession.prepare(self.config)
        self.succession.commit()
        runtime = self.succession.current
        assert runtime is not None
        for number, listener in enumerate(self.config.listeners):
            limits = EdgeLimits.of(self.config.limits_of(listener), trace=listener.trace)
            edge = Edge(runtime, limits, self.services.wheel, self.config.trusted_proxies)
            self.edges.append(edge)
            bound = self._sockets[number] if self._sockets is not None else None
            try:
                self.listeners.append(await open_listener(listener, edge, sock=bound))
            except OSError as error:
                raise OSError(error.errno, f"cannot listen on {listener.bind}: {error.strerror}") from error
        self._count()
        self._lag = LoopLag(self.services.metrics)
        keep_memory()
        gc.set_threshold(50_000, 20, 100)
        _freeze()

    def _publish(self, runtime: Runtime) -> None:
        for edge, listener in zip(self.edges, runtime.config.listeners, strict=False):
            edge.runtime = runtime
            limits = EdgeLimits.of(runtime.config.limits_of(listener), trace=listener.trace)
            edge.configure(limits, self.services.wheel, runtime.config.trusted_proxies)
            edge.dismiss(runtime.lets_stay)
        for bound, listener, tls in zip(self.listeners, runtime.config.listeners, self._handshakes, strict=False):
            bound.configure(listener, tls)
        self._handshakes = []
        self._log_exchanges(runtime)
        self.unhandled.track(tracker_options(runtime.config))

    # -- reload ------------------------------------------------------------------------------------------------

    async def prepare(self, config: Config) -> None:
        """Build ``config`` beside what serves. Raises what `start` raises; then nothing has changed."""
        await self.abandon()
        try:
            # Opened now, so that a file that cannot be written refuses the configuration instead of breaking it.
            self._outlets.prepare(config.access_log.to, config.access_log.format)
            prepare_own_log(config.log)
            self._handshakes = [
                bound.prepare(listener) for bound, listener in zip(self.listeners, config.listeners, strict=False)
            ]
            await self.succession.prepare(config)
        except BaseException:
            await self._forget()
            raise
        self._next = config

    def commit(self) -> None:
        """Serve what was prepared."""
        if self._next is None:
            return
        before, self.config, self._next = self.config, self._next, None
        self._outlets.commit()
        commit_own_log(before.log, self.config.log)
        self.succession.commit()
        self._outlets.retire()  # now that nobody writes to them any more

    async def abandon(self) -> None:
        """Forget what was prepared."""
        await self._forget()
        await self.succession.abandon()

    async def _forget(self) -> None:
        self._next = None
        self._handshakes = []
        await self._outlets.abandon()
        await abandon_own_log()

    # -- logs and counters -------------------------------------------------------------------------------------

    def _log_exchanges(self, runtime: Runtime) -> None:
        everywhere, of_routes = log_processors(runtime)
        if self._access is not None:
            self._failed += self._access.failures
        outlet, settings = self._outlets.outlet, runtime.config.access_log
        self._access = None
        if outlet is not None or settings.slow.asked:
            self._access = AccessLog(
                outlet,
                everywhere,
                of_routes,
                sampling=_sampling(settings),
                slow=_slow(settings),
                plugins=settings.plugin_time,
            )
        process(everywhere)
        self.services.log_exchange = self._access

    def reopen_logs(self) -> None:
        """Begin new files after the old ones were moved away. Does not block."""
        self._outlets.reopen()
        reopen_own_log()

    def change_level(self, *, more: bool) -> None:
        """Turn the gateway's own log up or down."""
        log.warning("log level is now %s", more_verbose() if more else quieter())

    def _count(self) -> None:
        metrics = self.services.metrics
        metrics.gauge(
            "connections_open",
            "Open client connections.",
            read=lambda: [((), sum(len(e.connections) for e in self.edges))],
        )
        metrics.gauge(
            "connections_limit",
            "Most connections that may be open.",
            read=lambda: [((), sum(e.limits.connections for e in self.edges))],
        )
        accepted = metrics.counter("connections_total", "Client connections accepted.")
        accepted.read = lambda: [((), sum(edge.accepted for edge in self.edges))]
        refused = metrics.counter(
            "connections_refused_total", "Client connections cut at once: too many, or not from where they should be."
        )
        refused.read = lambda: [((), sum(edge.refused_connections for edge in self.edges))]
        count_losses(metrics, self._access_losses)

    def _access_losses(self) -> dict[str, int]:
        failed = self._failed + (self._access.failures if self._access is not None else 0)
        return {**self._outlets.losses(), PROCESSOR: failed}

    def snapshot(self) -> Snapshot:
        """Everything counted in this worker."""
        return self.services.metrics.snapshot()

    # -- what operators see ------------------------------------------------------------------------------------

    async def status(self) -> dict[str, Any]:
        """Tell the state of this worker, as JSON can hold it."""
        runtime = self.succession.current
        assert runtime is not None
        return {
            "worker": self.index,
            "pid": os.getpid(),
            "uptime_seconds": round(time.time() - self.started_at, 3),
            "in_flight": runtime.in_flight,
            "connections": sum(len(edge.connections) for edge in self.edges),
            "draining": any(edge.draining for edge in self.edges),
            "listeners": [listener.name for listener in self.listeners],
            "store": await self._store_state(),
            "queue": self.services.durable.snapshot(),
            "upstreams": upstream_states(runtime),
            "plugins": plugin_reports(runtime),
            "audit": self.services.audit.state(),
        }

    async def errors(self) -> list[dict[str, Any]]:
        """Errors that nobody has handled here, by group."""
        return await asyncio.to_thread(self.unhandled.shown)

    async def _store_state(self) -> dict[str, Any]:
        store = self.services.store()
        state: dict[str, Any] = {"scope": str(store.scope), "state": str(store.state)}
        try:
            state["seconds"] = round(await store.ping(), 6)
        except Exception as error:  # noqa: BLE001 - any failure is the answer
            state["state"], state["error"] = "degraded", type(error).__name__
        return state

    def probed(self) -> dict[str, dict[str, bool]]:
        """What active checks found here: upstream → target → whether it is healthy."""
        runtime = self.succession.current
        assert runtime is not None
        return {
            name: {target.name: target.probed for target in upstream.targets}
            for name, upstream in runtime.upstreams.items()
            if upstream.settings.health.active is not None
        }

    def told(self, found: dict[str, dict[str, bool]]) -> None:
        """Take over what the worker that makes the checks has found."""
        runtime = self.succession.current
        assert runtime is not None
        for name, targets in found.items():
            if name in runtime.upstreams:
                for target, healthy in targets.items():
                    runtime.upstreams[name].report(target, healthy, "as the worker that checks says")

    async def plugin_view(self, route: str, id: str, name: str, method: str, query: dict[str, str]) -> Any:  # noqa: A002
        """What a plugin's admin view answers in this worker. Raises LookupError."""
        runtime = self.succession.current
        assert runtime is not None
        for instance in runtime.instances.values():
            if (instance.route, instance.id) == (route, id):
                for view in instance.plugin.admin():
                    if view.name == name and method in view.methods:
                        return await view.answer(query)
        raise LookupError(f"{route}/{id}/{name}")

    async def erase(self, subject: str) -> dict[str, Any]:
        """Have every plugin here delete what it keeps of a subject: how much, and whose plugin could not."""
        runtime = self.succession.current
        assert runtime is not None
        erased, failed = 0, []
        for instance in list(runtime.instances.values()):
            try:
                erased += await instance.plugin.erase(subject)
            except Exception as error:  # noqa: BLE001 - the others go on, and it is told
                reason = getattr(error, "reason", "") or type(error).__name__
                failed.append(f"{instance.route}/{instance.id}: {reason}")
        return {"erased": erased, "failed": failed}

    # -- the end -----------------------------------------------------------------------------------------------

    async def drain(self, deadline: float) -> bool:
        """Accept no more, end what is under way within ``deadline`` seconds. False if something had to be cut."""
        self.services.ports.draining = True
        for listener in self.listeners:
            listener.stop_accepting()
        for sock in self._sockets or ():  # the supervisor closes its copies, too: nobody is queued who is not accepted
            sock.close()
        for edge in self.edges:
            edge.drain()
        until = time.monotonic() + deadline
        while any(edge.connections for edge in self.edges) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        left = [connection for edge in self.edges for connection in edge.connections]
        for connection in left:
            connection.abort()
        return not left

    async def close(self) -> None:
        """Close everything. Idempotent."""
        if self._lag is not None:
            self._lag.close()
        for listener in self.listeners:
            await listener.close()
        self.listeners.clear()
        await self.abandon()
        await self.succession.close()
        await self.services.close()
        # Together: a tracker that is dead must not take the time that a log needs.
        await asyncio.gather(asyncio.to_thread(self.unhandled.close), self._outlets.close())
        await settle_own_log()


def _sampling(settings: AccessLogSettings) -> Sampling | None:
    sample = settings.sample
    if sample.rate >= 1.0 and not sample.status and not sample.routes:
        return None
    return Sampling(sample.rate, {int(name[0]): share for name, share in sample.status.items()}, sample.routes)


def _slow(settings: AccessLogSettings) -> Slow | None:
    return Slow(settings.slow.after, settings.slow.routes) if settings.slow.asked else None


def _freeze() -> None:
    """Take what is there now out of the collector's sight, after freeing what can be freed.

    It lives as long as the configuration, and what an exchange makes is freed by counting references: the collector's
    pauses would show in the slowest percent.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
