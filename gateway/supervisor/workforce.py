"""The workers of a gateway as one: the one in this process, or several (`gateway.supervisor.processes`)."""

from __future__ import annotations

from typing import Any, Protocol

from gateway.config.load import Loaded
from gateway.services.metrics import Snapshot, alone
from gateway.services.queue import Queue
from gateway.supervisor.worker import Worker


class Workforce(Protocol):
    """What the gateway asks of its workers; each call reaches all of them."""

    async def start(self) -> None:
        """Start serving. Raises if the configuration cannot be made live or an address cannot be bound."""
        ...

    async def prepare(self, loaded: Loaded) -> None:
        """Build a configuration beside the one in force, in every worker. Raises `gateway.reload.Refused`."""
        ...

    async def commit(self) -> None:
        """Put what was prepared in force."""
        ...

    async def abandon(self) -> None:
        """Forget what was prepared."""
        ...

    async def snapshots(self) -> list[Snapshot]:
        """Counters."""
        ...

    async def statuses(self) -> list[dict[str, Any]]:
        """States of the workers that answer."""
        ...

    async def errors(self) -> list[list[dict[str, Any]]]:
        """Errors that nobody has handled, by group, of each worker that answers."""
        ...

    async def plugin_view(self, route: str, id: str, name: str, method: str, query: dict[str, str]) -> list[Any]:  # noqa: A002
        """What every worker's instance of a plugin answers. Raises LookupError."""
        ...

    async def erase(self, subject: str) -> list[dict[str, Any]]:
        """Of every worker: how much its plugins have erased of a subject's data, and which could not."""
        ...

    async def queue(self) -> Queue:
        """The durable queue, for operators. Raises RuntimeError if there is none, or what opening it raises."""
        ...

    async def reopen_logs(self) -> None:
        """Begin new log files."""
        ...

    async def change_level(self, *, more: bool) -> None:
        """Turn the gateway's own log up or down."""
        ...

    async def drain(self, deadline: float) -> bool:
        """Stop accepting, end what is under way within ``deadline`` seconds. False if something was cut."""
        ...

    async def close(self) -> None:
        """Idempotent."""
        ...

    @property
    def addresses(self) -> list[str]:
        """Where the listeners really are, in the order of the configuration."""
        ...


class InProcess:
    """One worker, in this process."""

    def __init__(self, loaded: Loaded) -> None:
        self._worker = Worker(loaded.config)

    async def start(self) -> None:
        """Start serving."""
        await self._worker.start()

    async def prepare(self, loaded: Loaded) -> None:
        """Build beside the one in force."""
        await self._worker.prepare(loaded.config)

    async def commit(self) -> None:
        """Put it in force."""
        self._worker.commit()

    async def abandon(self) -> None:
        """Forget it."""
        await self._worker.abandon()

    async def snapshots(self) -> list[Snapshot]:
        """Counters of this process."""
        return [self._worker.snapshot(), census(1, 1, 0)]

    async def statuses(self) -> list[dict[str, Any]]:
        """State of this process."""
        return [await self._worker.status()]

    async def errors(self) -> list[list[dict[str, Any]]]:
        """Errors of this process."""
        return [await self._worker.errors()]

    async def plugin_view(self, route: str, id: str, name: str, method: str, query: dict[str, str]) -> list[Any]:  # noqa: A002
        """What the plugin answers."""
        return [await self._worker.plugin_view(route, id, name, method, query)]

    async def erase(self, subject: str) -> list[dict[str, Any]]:
        """What this process's plugins keep."""
        return [await self._worker.erase(subject)]

    async def queue(self) -> Queue:
        """The worker's."""
        return await self._worker.services.queue()

    async def reopen_logs(self) -> None:
        """Begin new log files."""
        self._worker.reopen_logs()

    async def change_level(self, *, more: bool) -> None:
        """Turn the gateway's own log up or down."""
        self._worker.change_level(more=more)

    async def drain(self, deadline: float) -> bool:
        """End what is under way."""
        return await self._worker.drain(deadline)

    async def close(self) -> None:
        """Close everything."""
        await self._worker.close()

    @property
    def addresses(self) -> list[str]:
        """Where the listeners really are."""
        return [listener.name for listener in self._worker.listeners]


def census(wanted: int, ready: int, restarts: int) -> Snapshot:
    """How many workers there are."""
    return [
        alone("workers", "gauge", "Workers that are wanted.", wanted),
        alone("workers_ready", "gauge", "Workers that serve.", ready),
        alone("worker_restarts_total", "counter", "Workers started again after they died.", restarts),
    ]
