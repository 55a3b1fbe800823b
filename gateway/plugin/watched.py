"""What a plugin reads from elsewhere, again and again: taken up when it changes, kept while it cannot be read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from gateway.errors import StoreUnavailable
from gateway.plugin.context import Context

T = TypeVar("T")


class Watched(Generic[T]):
    """One such thing, looked at every so often between `open` and `close`."""

    def __init__(
        self,
        context: Context,
        name: str,
        every: float,
        read: Callable[[], Awaitable[T | None]],
        take: Callable[[T], None],
    ) -> None:
        """``name`` says in logs what it is; ``every`` is in seconds.

        ``read`` gives None if nothing has changed since, and raises OSError, ValueError or StoreUnavailable; ``take``
        is called on the loop with what is new.
        """
        self._context = context
        self._name = name
        self._every = every
        self._read = read
        self._take = take
        self._timer: asyncio.TimerHandle | None = None
        self.error = ""
        """Why it could not be read the last time; empty if it could."""
        self.known = False
        """It was read at least once."""

    async def open(self) -> None:
        """Read it for the first time, and again from now on."""
        await self.refresh()
        self._wait()

    def close(self) -> None:
        """Idempotent."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    async def refresh(self) -> None:
        """Look at it now. What goes wrong is logged once."""
        try:
            found = await self._read()
        except (OSError, ValueError, StoreUnavailable) as error:
            why = error.reason if isinstance(error, StoreUnavailable) else str(error)
            if why != self.error:
                self._context.log.warning("%s stay as they were: %s", self._name, why)
            self.error = why
            return
        self.error = ""
        if found is not None:
            self.known = True
            self._take(found)

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._every, self._look)

    def _look(self) -> None:
        _ = self._context.spawn(self._look_again(), f"look at {self._name}")

    async def _look_again(self) -> None:
        await self.refresh()
        if self._timer is not None:  # not closed meanwhile
            self._wait()


def changed_files(paths: Iterable[Path], seen: tuple[object, ...] | None) -> tuple[object, ...] | None:
    """What the files look like from outside, to be given as ``seen`` the next time; None if nothing has changed.

    Raises OSError.
    """
    found = tuple(_sign(os.stat(path)) for path in paths)  # noqa: PTH116 - Path.stat costs twice as much
    return None if found == seen else found


def _sign(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mtime_ns, status.st_size, status.st_ino
