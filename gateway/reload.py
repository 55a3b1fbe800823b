"""Taking up a changed configuration: build beside the old, swap one reference, drain the old.

`Succession` is one worker's part: a runtime in force and perhaps one that is ready to follow. `Reloader` decides when:
it reads the files again on a signal or when one of them changes, and offers what it read to whoever runs the workers.
A configuration that is refused changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.config.load import ConfigurationError, Loaded, load
from gateway.config.model import Config
from gateway.plugin.document import FileState, file_state
from gateway.runtime import Runtime, Services, build
from gateway.runtime.review import findings

log = logging.getLogger("gateway.reload")

UNSEEN: Final = 5.0
"""Seconds between looks at files whose changes the system may not tell."""


class Refused(Exception):
    """The new configuration was not taken up; the old one serves on. ``problems`` as lines for people."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Succession:
    """The runtime in force in this worker, and the one to follow."""

    def __init__(
        self, services: Services, publish: Callable[[Runtime], None], retired: Callable[[], None] | None = None
    ) -> None:
        """``publish`` is told what is in force from now on; ``retired`` is called when an old runtime is gone."""
        self.services = services
        self._retired = retired
        self.current: Runtime | None = None
        self._publish = publish
        self._next: Runtime | None = None
        self._retiring: dict[Runtime, asyncio.Task[None]] = {}

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
        for name, upstream in runtime.upstreams.items():
            before = old.upstreams.get(name) if old is not None else None
            if before is not None and before is not upstream:
                upstream.adopt(before)
        runtime.commit()
        self._publish(runtime)
        if old is not None:
            self._retiring[old] = asyncio.get_running_loop().create_task(self._retire(old))

    async def _retire(self, old: Runtime) -> None:
        """See an old runtime off: its exchanges end, what nobody else uses is closed, what it counted is forgotten."""
        try:
            assert self.current is not None
            drained = await old.emptied(self.current.config.reload.drain)
            await old.close(*self._living(old))
            if not drained:
                log.info("%d exchanges go on under an old configuration", old.in_flight)
                await old.emptied(math.inf)
        except Exception:
            log.exception("an old configuration did not retire cleanly")
        finally:
            del self._retiring[old]
        if not self._retiring:  # else another may still use them
            await self.services.settle()
        labels: set[str] = set()
        self.services.metrics.retain_routes(labels.union(*(each.labels for each in self._living())))
        if self._retired is not None:
            self._retired()

    def _living(self, but: Runtime | None = None) -> list[Runtime]:
        """In force, about to be, or still at work. An old runtime may share a plugin with one that is older yet, and
        not with its successor; so all of them are asked before anything is closed.
        """
        runtimes = (self.current, self._next, *(each for each in self._retiring if not each.closed))
        return [each for each in runtimes if each is not None and each is not but]

    async def abandon(self) -> None:
        """Close a prepared runtime that is not wanted after all."""
        unwanted, self._next = self._next, None
        if unwanted is not None:
            await unwanted.close(*self._living())
        await self.services.abandon()

    async def close(self) -> None:
        """Close everything; what still retires is cut."""
        await self.abandon()
        old, tasks = list(self._retiring), list(self._retiring.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        current, self.current = self.current, None
        for runtime in (*old, *([current] if current is not None else [])):
            await runtime.close()


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
        self.witness: Callable[[str, Loaded], None] = lambda _by, _before: None
        """Told of each reload that was taken up or refused: who wanted it, and what was in force before."""
        self._paths = tuple(paths)
        self._apply = apply
        self._turn = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None

    async def reload(self, *, even_if_unchanged: bool = False, by: str = "files") -> bool:
        """Take up what the files say now. True if it was taken up or nothing had changed; never raises."""
        outcome, before = self.outcome, self.loaded
        count = outcome.successes + outcome.failures
        ok = await self._reload(even_if_unchanged=even_if_unchanged)
        if outcome.successes + outcome.failures > count:
            self.witness(by, before)
        return ok

    async def _reload(self, *, even_if_unchanged: bool) -> bool:
        if not self._paths:  # made in memory (`gateway proxy`): there is nothing that could say otherwise
            return True
        async with self._turn:
            began = time.monotonic()
            try:
                loaded = await asyncio.to_thread(load, self._paths, review=findings)
                if loaded.identity == self.loaded.identity and not even_if_unchanged:
                    # What was refused before has been taken back.
                    self.outcome.last_ok, self.outcome.problems = True, ()
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
        changed = _bound(self.loaded.config, loaded.config)
        if changed:
            raise Refused([f"{', '.join(changed)} changed: {'these need' if changed[1:] else 'this needs'} a restart"])

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
        while True:
            try:
                await self._watch_folders()
            except Exception as error:  # noqa: BLE001 - a folder that is away for a moment must not end the watch
                log.warning("watching the configuration failed, tried again in %gs: %s", UNSEEN, error)
                await asyncio.sleep(UNSEEN)

    async def _watch_folders(self) -> None:
        """Watch until the set of files changes."""
        from watchfiles import awatch  # noqa: PLC0415 - paid for only by who watches

        named = self.loaded.files
        files = {file.resolve() for file in named}
        # Folders are watched, not files: editors and Kubernetes replace a file rather than write into it.
        folders = {file.parent for file in files} | {file.absolute().parent for file in named}
        known = files | {file.absolute() for file in named}
        # What has changed since they were read, before the watch began or between two watches, is told by nobody. And
        # some file systems never tell: so the files are also looked at now and then.
        before = self.loaded.states
        told = awatch(
            *folders, recursive=False, debounce=200, step=50, yield_on_timeout=True, rust_timeout=int(UNSEEN * 1000)
        )
        async for changes in told:
            seen = {Path(name) for _, name in changes}
            now = await asyncio.to_thread(_states, named)
            if now == before and not seen & known and not _remounted(seen):
                continue
            before = now
            await self.reload()
            if self.loaded.files != named or {file.resolve() for file in self.loaded.files} != files:
                return

    async def close(self) -> None:
        """Stop watching."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching


def _bound(old: Config, new: Config) -> list[str]:
    """What has changed of that which is bound to sockets and processes, and stays as it is until a restart."""
    changed = []
    if len(old.listeners) != len(new.listeners):
        changed.append("the number of listeners")
    else:
        for index, (before, after) in enumerate(zip(old.listeners, new.listeners, strict=True)):
            changed += [
                f"listeners[{index}].{key}"
                for key in ("bind", "permissions", "proxy_protocol")
                if getattr(before, key) != getattr(after, key)
            ]
            if (before.tls is None) != (after.tls is None):  # what TLS says, once there is some, is taken up
                changed.append(f"listeners[{index}].tls")
    if old.admin != new.admin:
        keys = () if old.admin is None or new.admin is None else type(old.admin).model_fields
        changed += [f"admin.{key}" for key in keys if getattr(old.admin, key) != getattr(new.admin, key)] or ["admin"]
    if old.worker_count != new.worker_count:
        changed.append("workers")
    return changed


def _states(files: Sequence[Path]) -> tuple[FileState, ...]:
    return tuple(map(file_state, files))


def _remounted(seen: set[Path]) -> bool:
    """A mounted ConfigMap or Secret changes by its ``..data`` link."""
    return any(path.name == "..data" for path in seen)
