"""Has the audit trail verified now and then, by a process of its own: nobody's request waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from gateway.services.audit import Audit, TrailOptions

log = logging.getLogger("gateway.audit")

LOOK: Final = 60.0
"""Seconds between two looks whether it is time."""
LONGEST: Final = 6 * 3600.0
"""Seconds that one verification may take."""
_MOST: Final = 4000
"""Bytes of what it says that are told."""
_KINDEST: Final = 19
"""See setpriority(2): the workers come first."""


class Rounds:
    """Watches one gateway's trail, from `start` until `close`."""

    def __init__(self, audit: Audit, done: Callable[[bool], object], *, look: float = LOOK) -> None:
        """``done`` is told of each verification whether the trail holds."""
        self._audit = audit
        self._done = done
        self._look = look
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Idempotent."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """End a verification that is under way, too. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._look)
            options = self._audit.options
            if options is None:
                continue
            await asyncio.to_thread(self._audit.look)  # the disk may hang
            if options.verify is None:
                continue
            if not 0 <= time.time() - self._audit.verified_at < options.verify:  # also if the clock went back
                try:
                    await self._verify(options)
                except (OSError, TimeoutError) as error:
                    log.error("the audit trail could not be verified: %s", str(error) or type(error).__name__)

    async def _verify(self, options: TrailOptions) -> None:
        with _piped(options.secrets) as descriptors:
            command = [sys.executable, "-m", "gateway", "audit", "verify", "--path", str(options.path.absolute())]
            for descriptor in descriptors:
                command += ["--key-file", f"/dev/fd/{descriptor}"]
            process = await asyncio.create_subprocess_exec(
                *command,
                pass_fds=descriptors,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        try:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, _KINDEST)
            async with asyncio.timeout(LONGEST):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        held = process.returncode == 0
        if not held:
            log.error("the audit trail does NOT hold: %s", said[:_MOST].decode("utf-8", "replace").strip() or "unread")
        await asyncio.to_thread(self._audit.look)
        self._done(held)


@contextlib.contextmanager
def _piped(secrets: Sequence[bytes]) -> Iterator[list[int]]:
    """The keys, each in a pipe: they stand on no command line and in no file."""
    readable: list[int] = []
    try:
        for secret in secrets:
            reading, writing = os.pipe()
            readable.append(reading)
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(secret)
        yield readable
    finally:
        for descriptor in readable:
            os.close(descriptor)
