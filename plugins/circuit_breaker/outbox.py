"""What must be told to others and keeps no request waiting: a bounded queue with one task behind it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from gateway.plugin import Context

T = TypeVar("T")


class Outbox(Generic[T]):
    """Hands on one after the other, in their order, while there is something."""

    __slots__ = ("_context", "_deliver", "_name", "_task", "_waiting", "dropped")

    def __init__(self, context: Context, name: str, deliver: Callable[[T], Awaitable[None]], size: int) -> None:
        """``deliver`` must not raise. More than ``size`` that wait push out the oldest."""
        self._context = context
        self._name = name
        self._deliver = deliver
        self._waiting: deque[T] = deque(maxlen=size)
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0

    def put(self, item: T) -> None:
        """Hand it on as soon as possible. Never waits."""
        if len(self._waiting) == self._waiting.maxlen:
            self.dropped += 1
        self._waiting.append(item)
        if self._task is None or self._task.done():
            self._task = self._context.spawn(self._run(), self._name)

    async def _run(self) -> None:
        while self._waiting:
            await self._deliver(self._waiting.popleft())

    async def close(self, seconds: float) -> None:
        """Let what waits go out, for so long at most. Idempotent."""
        task, self._task = self._task, None
        if task is not None and not task.done():
            await asyncio.wait([task], timeout=seconds)
            task.cancel()
