"""Taking up a changed configuration: build beside the old, swap one reference, drain the old.

`Succession` is one worker's part: a runtime in force and perhaps one that is ready to follow. `Reloader` decides when:
it reads the files again on a signal or when one of them changes, and offers what it read to whoever runs the workers.
A configuration that is refused changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.config.load import ConfigurationError, Loaded, load
from gateway.config.model import Config
from gateway.runtime import Runtime, Services, build
from gateway.runtime.review import findings

log = logging.getLogger("gateway.reload")

NEEDS_RESTART: Final = ("listeners", "admin", "workers")
"""Top-level keys that are bound to sockets and processes: a reload that changes them is refused, with this reason."""


class Refused(Exception):
    """The new configuration was not taken up; the old one serves on. ``problems`` as lines for people."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Succession:
    """The runtime in force in this worker, and the one to follow."""

    def __init__(self, services: Services, publish: Callable[[Runtime], None]) -> None:
        self.services = services
        self.current: Runtime | None = None
        self._publish = publish
        self._next: Runtime | None = None
        self._retiring: set[asyncio.Task[Any]] = set()

    async def prepare(self, config: Config) -> None:
        """Build the next runtime beside the one in force. Raises what `gateway.runtime.build` raises."""
        await self.abandon()
        self._next = await build(config, self.services, old=self.current)

    def commit(self) -> None:
        """Put the prepared runtime in force and let the old one end its exchanges. Cannot fail."""
        runtime, self._next = self._next, None
        if runtime is None:
            return
        old, self.current = self.current, runtime
        runtime.commit()
        self._publish(runtime)
        if old is not None:
            task = asyncio.get_running_loop().create_task(old.retire(runtime, runtime.config.reload.drain))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def abandon(self) -> None:
        """Close a prepared runtime that is not wanted after all."""
        unwanted, self._next = self._next, None
        if unwanted is not None:
            await unwanted.close(self.current)

    async def close(self) -> None:
        """Close everything; what still retires is cut."""
        await self.abandon()
        for task in list(self._retiring):
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        current, self.current = self.current, None
        if current is not None:
            await current.close()


@dataclass(slots=True)
class Outcome:
    """How reloads went, for metrics and the admin API."""

    successes: int = 0
    failures: int = 0
    last_ok: bool = True
    last_at: float = field(default_factory=time.time)
    last_seconds: float = 0.0
    problems: tuple[str, ...] = ()


Apply = Callable[[Loaded], Awaitable[None]]
"""Takes a configuration up everywhere or nowhere. Raises Refused, or anything: then nothing has changed."""


class Reloader:
    """Reads the configuration again when told to, or when one of its files changes."""

    def __init__(self, paths: Sequence[Path], loaded: Loaded, apply: Apply) -> None:
        self.loaded = loaded
        self.outcome = Outcome()
        self._paths = tuple(paths)
        self._apply = apply
        self._turn = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None

    async def reload(self, *, even_if_unchanged: bool = False) -> bool:
        """Take up what the files say now. True if it was taken up or nothing had changed; never raises."""
        if not self._paths:  # made in memory (`gateway proxy`): there is nothing that could say otherwise
            return True
        async with self._turn:
            began = time.monotonic()
            try:
                loaded = await asyncio.to_thread(load, self._paths, review=findings)
                if loaded.identity == self.loaded.identity and not even_if_unchanged:
                    return True
                self._check(loaded)
                await self._apply(loaded)
            except ConfigurationError as error:
                self._refused([str(problem) for problem in error.problems], began)
                return False
            except Refused as error:
                self._refused(list(error.problems), began)
                return False
            except Exception as error:
                log.exception("reload failed")
                self._refused([str(error) or type(error).__name__], began)
                return False
            self.loaded = loaded
            outcome = self.outcome
            outcome.successes += 1
            outcome.last_ok, outcome.problems = True, ()
            outcome.last_at, outcome.last_seconds = time.time(), time.monotonic() - began
            log.info("configuration %s in force", loaded.digest, extra={"seconds": round(outcome.last_seconds, 3)})
            return True

    def _check(self, loaded: Loaded) -> None:
        old, new = self.loaded.config, loaded.config
        changed = [key for key in NEEDS_RESTART if getattr(old, key) != getattr(new, key)]
        if changed:
            raise Refused([f"{', '.join(changed)} changed: these need a restart"])

    def _refused(self, problems: Sequence[str], began: float) -> None:
        outcome = self.outcome
        outcome.failures += 1
        outcome.last_ok, outcome.problems = False, tuple(problems)
        outcome.last_at, outcome.last_seconds = time.time(), time.monotonic() - began
        for problem in problems:
            log.error("reload refused: %s", problem)

    def watch(self) -> None:
        """Begin to reload when a file changes."""
        if self._watching is None and self._paths:
            self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        from watchfiles import awatch  # noqa: PLC0415 - paid for only by who watches

        while True:
            files = {file.resolve() for file in self.loaded.files}
            # Folders are watched, not files: editors and Kubernetes replace a file rather than write into it.
            folders = {file.parent for file in files} | {file.parent for file in self.loaded.files}
            async for changes in awatch(*folders, recursive=False, debounce=200, step=50):
                seen = {Path(name) for _, name in changes}
                if not seen & (files | set(self.loaded.files)) and not _remounted(seen):
                    continue
                await self.reload()
                if {file.resolve() for file in self.loaded.files} != files:
                    break

    async def close(self) -> None:
        """Stop watching."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching


def _remounted(seen: set[Path]) -> bool:
    """A mounted ConfigMap or Secret changes by its ``..data`` link."""
    return any(path.name == "..data" for path in seen)
