"""A process's way to the audit trail, over all reloads; without a trail it takes events and does nothing."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.services.audit import files
from gateway.services.audit.chain import Keys
from gateway.services.audit.event import Event, Kind, Result, Writer
from gateway.services.audit.ledger import Ledger
from gateway.services.audit.trail import Trail, state_of
from gateway.services.masking import Masking
from gateway.services.metrics import Metrics


@dataclass(frozen=True, slots=True)
class TrailOptions:
    """What a trail is made of."""

    path: Path
    instance: str
    secrets: tuple[bytes, ...] = ()
    identity_key: bytes = b""
    flush: float = 0.2
    """Seconds that records may gather."""
    fsync: bool = True
    retention: float | None = None
    """Seconds."""
    verify: float | None = None
    """Seconds after which a gateway has it verified again."""
    deny: bool = True
    """Nothing that has to be recorded is begun while records cannot be written."""


def ledger_of(options: TrailOptions, masking: Masking) -> tuple[Ledger, Writer]:
    """The writing end of a trail, not yet open. Raises ValueError for keys that will not do."""
    writer = Writer(options.instance, masking, options.identity_key)
    return Ledger(options.path, Keys(options.secrets), writer, fsync=options.fsync), writer


@dataclass(frozen=True, slots=True)
class _Seen:
    """What lies in a trail's folder."""

    size: float
    """Bytes."""
    intact: bool | None
    """What the last verification found; None if there was none."""
    at: float
    """When it was."""

    @classmethod
    def of(cls, folder: Path) -> _Seen | None:
        """Look; None if there is no such folder."""
        try:
            with os.scandir(folder) as entries:
                size = float(sum(entry.stat(follow_symlinks=False).st_size for entry in entries))
        except OSError:
            return None
        try:
            told = json.loads((folder / files.VERIFIED).read_bytes())
            return cls(size, told["ok"] is True, float(told["at"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls(size, None, 0.0)


def _moved(options: TrailOptions | None) -> Event:
    """The last word of a trail that is no longer written."""
    where = str(options.path) if options is not None else "off"
    return Event(Kind.GATEWAY, "trail", where, Result.SUCCESS, actor="gateway")


class Audit:
    """Where events go. ``owner``: this process removes what is past its retention."""

    def __init__(self, metrics: Metrics, masking: Masking, *, owner: bool = False) -> None:
        self.options: TrailOptions | None = None
        """Of the trail in force."""
        self._trail: Trail | None = None
        self._next: tuple[TrailOptions | None, Trail | None] | None = None
        self._masking = masking
        self._owner = owner
        self._closing: set[asyncio.Task[None]] = set()
        self._seen: _Seen | None = None
        """What the folder held at the last look."""
        self._seen_next: _Seen | None = None
        self._failures = self._lost = 0
        """Of trails that are closed."""
        self._records = metrics.counter(
            "audit_records_total", "Records of the audit trail on the disk.", ("kind", "outcome")
        )
        self._count(metrics)

    def _count(self, metrics: Metrics) -> None:
        def read(take: Any) -> Any:
            return lambda: [((), take(self._trail))] if self._trail is not None else []

        failures = metrics.counter("audit_failures_total", "Times that the audit trail could not be written.")
        failures.read = lambda: [((), self._failures + (self._trail.failures if self._trail is not None else 0))]
        lost = metrics.counter("audit_lost_total", "Events that never became records of the audit trail.")
        lost.read = lambda: [((), self._lost + (self._trail.lost if self._trail is not None else 0))]
        metrics.gauge("audit_pending", "Events that wait for the disk.", read=read(lambda trail: trail.pending))
        metrics.gauge(
            "audit_lag_seconds", "How long the oldest of them has waited.", rule="max", read=read(lambda t: t.lag)
        )
        metrics.gauge(
            "audit_up",
            "Whether the audit trail can be written.",
            rule="min",
            read=read(lambda trail: int(not trail.problem)),
        )
        if self._owner:
            metrics.gauge(
                "audit_last_verified_timestamp_seconds",
                "When `gateway audit verify` last found the trail whole, since 1970; 0: never.",
                rule="max",
                read=self._shown(lambda seen: seen.at if seen.intact else 0.0),
            )
            metrics.gauge(
                "audit_intact",
                "Whether the last verification found the audit trail whole.",
                rule="min",
                read=self._shown(lambda seen: None if seen.intact is None else float(seen.intact)),
            )
            metrics.gauge(
                "audit_bytes",
                "Size of the audit trail on the disk.",
                rule="max",
                read=self._shown(lambda seen: seen.size),
            )

    @property
    def verified_at(self) -> float:
        """When the trail was last verified, by whomever and whatever came of it, as of the last look; 0: never."""
        return self._seen.at if self._seen is not None else 0.0

    def look(self) -> None:
        """Look at the folder for the metrics of a trail. Blocks for as long as the disk does: never on the loop."""
        if self.options is not None:
            self._seen = _Seen.of(self.options.path)

    def _shown(self, take: Callable[[_Seen], float | None]) -> Callable[[], Iterable[tuple[tuple[str, ...], float]]]:
        def read() -> Iterable[tuple[tuple[str, ...], float]]:
            seen = self._seen if self.options is not None else None
            value = take(seen) if seen is not None else None
            return [((), value)] if value is not None else []

        return read

    # -- events ------------------------------------------------------------------------------------------------

    @property
    def enabled(self) -> bool:
        """There is a trail."""
        return self._trail is not None

    @property
    def refusing(self) -> str:
        """Why nothing may be begun that has to be recorded; empty if it may, or if the operator prefers it so."""
        trail, options = self._trail, self.options
        return trail.refusing if trail is not None and options is not None and options.deny else ""

    def record(self, event: Event) -> None:
        """Have an event written soon. Never blocks, never raises."""
        if self._trail is not None:
            self._trail.record(event)

    async def record_and_wait(self, event: Event, patience: float = 5.0) -> bool:
        """Have an event written and wait until it is on the disk. False if that took more than ``patience`` seconds."""
        if self._trail is None:
            return True
        return await self._trail.record_and_wait(event, patience)

    def state(self) -> dict[str, Any] | None:
        """For reports; None without a trail."""
        trail, options = self._trail, self.options
        if trail is None or options is None:
            return None
        return {**state_of(trail), "critical": options.deny}

    # -- life --------------------------------------------------------------------------------------------------

    async def prepare(self, options: TrailOptions | None) -> None:
        """Open the trail of a configuration beside the one in force. Raises OSError or ValueError."""
        await self.abandon()
        if options == self.options:
            return
        self._next = (options, await asyncio.to_thread(self._open, options) if options is not None else None)

    def _open(self, options: TrailOptions) -> Trail:
        ledger, writer = ledger_of(options, self._masking)
        try:
            ledger.open()
        except OSError as error:
            if options.deny:
                raise OSError(error.errno, f"audit: {options.path}: {error.strerror}") from error
            # It is tried again with the first record, and `/readyz` tells.
        if self._owner:
            self._seen_next = _Seen.of(options.path)
        return Trail(
            ledger,
            writer,
            flush=options.flush,
            retention=options.retention if self._owner else None,
            written=lambda event: self._records.child(event.kind.value, event.result.value).inc(),
        )

    def commit(self) -> None:
        """What was prepared is in force; what was before writes what it has and closes."""
        if self._next is None:
            return
        old = self._trail
        if old is not None and self._owner:
            old.record(_moved(self._next[0]))
        (self.options, self._trail), self._next = self._next, None
        self._seen = self._seen_next
        if old is not None:
            self._retire(old)
        if self._trail is not None and self._owner:
            self._trail.start()

    def _retire(self, old: Trail) -> None:
        def ended(task: asyncio.Task[None]) -> None:
            self._closing.discard(task)
            self._failures += old.failures
            self._lost += old.lost
            for event in old.left():  # the disk was full, say, and this is why there is another
                if self._trail is not None:
                    self._trail.record(event)
                else:
                    self._lost += 1

        task = asyncio.get_running_loop().create_task(asyncio.to_thread(old.close))
        self._closing.add(task)
        task.add_done_callback(ended)

    async def abandon(self) -> None:
        """Forget what was prepared."""
        unwanted, self._next = self._next, None
        if unwanted is not None and unwanted[1] is not None:
            await asyncio.to_thread(unwanted[1].close)

    async def close(self) -> None:
        """Write what waits and close. Idempotent."""
        await self.abandon()
        if self._closing:  # what they could not write is for the one in force
            await asyncio.gather(*self._closing, return_exceptions=True)
        trail, self._trail, self.options = self._trail, None, None
        if trail is not None:
            await asyncio.to_thread(trail.close)
