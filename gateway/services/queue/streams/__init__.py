"""The durable queue on Redis Streams."""

from __future__ import annotations

from typing import Final

from gateway.services.clock import Clock
from gateway.services.queue.contract import QueueUrlError
from gateway.services.queue.opening import QueueSettings
from gateway.services.queue.streams.queue import StreamsQueue
from gateway.services.store import StoreUrlError, parse_store_url
from gateway.services.store.redis import RedisStore

__all__ = ["PATIENCE", "StreamsQueue", "open_streams"]

PATIENCE: Final = 3.0
"""Seconds for an answer, the disk's included; then the item counts as refused, and what follows is refused at once
until Redis is back.
"""


async def open_streams(url: str, settings: QueueSettings, clock: Clock, *, patience: float = PATIENCE) -> StreamsQueue:
    """The queue in the Redis at ``url``: a server, the master of sentinels or a cluster, as stores name them.

    A Redis that is away is no error: puts are refused until it is back. Raises QueueUrlError.
    """
    try:
        address = parse_store_url(url)
    except StoreUrlError as error:
        raise QueueUrlError(str(error)) from error
    if address.kind == "memory":
        raise QueueUrlError("memory:// keeps nothing: a durable queue needs Redis or sqlite:///path")
    store = RedisStore(address, timeout=patience)
    await store.open()
    queue = StreamsQueue(store, settings, clock)
    await queue.open()
    return queue
