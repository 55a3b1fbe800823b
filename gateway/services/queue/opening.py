"""From the URL of `stores.durable` to an open queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.services.clock import Clock
from gateway.services.queue.contract import Queue, QueueUrlError

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """How a queue is kept, whatever its kind."""

    gateway: str = ""
    """This replica's name, for leases and attempts."""
    keys: Sequence[bytes] = ()
    """Payloads are sealed with the first and opened with any; none: they are kept as they come."""
    max_items: int = 10_000_000
    max_size: int = 50 * 1024**3
    """Bytes of payloads; beyond it `Queue.put` raises QueueFull."""
    retention: float = 30 * DAY
    """How long dead letters are kept."""


async def open_queue(url: str, settings: QueueSettings, clock: Clock) -> Queue:
    """Open the queue at ``url``: ``sqlite:///absolute/path.db``, or a Redis of the schemes that stores take.

    Raises QueueUrlError for what is no such URL, QueueUnavailable if it cannot be opened.
    """
    scheme, found, rest = url.partition("://")
    if not found:
        raise QueueUrlError("a queue is named by a URL, such as sqlite:///var/lib/sidegate/queue.db")
    if scheme == "sqlite":
        from gateway.services.queue.sqlite import open_sqlite  # noqa: PLC0415 - paid for only by who uses it

        return await open_sqlite(rest, settings, clock)
    if scheme in ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"):
        from gateway.services.queue.streams import open_streams  # noqa: PLC0415

        return await open_streams(url, settings, clock)
    raise QueueUrlError(f"there is no queue of the kind {scheme}://")
