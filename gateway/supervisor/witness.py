"""What the audit trail learns of the gateway itself: start, stop, configurations, and who was behind them."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Any

from gateway.config.load import Loaded
from gateway.services.audit import Audit, Event, Kind, Result, user
from gateway.services.masking import Masking
from gateway.services.metrics import Metrics, Snapshot
from gateway.supervisor.rounds import Rounds

RESOURCE = "gateway"


class Witness:
    """Records what happens to a gateway as a whole. Its process removes old records."""

    def __init__(self, masking: Masking) -> None:
        self._metrics = Metrics()
        self.audit = Audit(self._metrics, masking, owner=True)
        self._rounds = Rounds(self.audit, self._verified)

    def snapshot(self) -> Snapshot:
        """What this process has counted of the trail."""
        return [family for family in self._metrics.snapshot() if family["name"].startswith("audit_")]

    async def prepare(self, loaded: Loaded) -> None:
        """Open the trail of a configuration. Raises OSError."""
        audit = loaded.config.audit
        await self.audit.prepare(audit.options if audit is not None else None)

    def started(self, loaded: Loaded, addresses: list[str], admin: str) -> None:
        """The gateway serves."""
        self._rounds.start()
        self._record(
            "start",
            RESOURCE,
            Result.SUCCESS,
            user(),
            pid=os.getpid(),
            version=version("sidegate"),
            digest=loaded.digest,
            files=[str(path) for path in loaded.files],
            workers=loaded.config.worker_count,
            listeners=addresses,
            admin=admin,
        )

    def not_started(self, loaded: Loaded, error: BaseException) -> None:
        """It does not."""
        why = type(error).__name__
        self._record("start", RESOURCE, Result.FAILED, user(), digest=loaded.digest, error=why)

    def told_to_stop(self, by: str) -> None:
        """It begins to shut down."""
        self._record("stop", RESOURCE, Result.SUCCESS, by, pid=os.getpid())

    def drained(self, *, clean: bool) -> None:
        """What was under way has ended, or was cut."""
        self._record("drain", RESOURCE, Result.SUCCESS if clean else Result.ABORTED, RESOURCE)

    def reloaded(self, by: str, before: str, now: str, problems: int) -> None:
        """A configuration was taken up, or refused for its problems."""
        result = Result.REFUSED if problems else Result.SUCCESS
        more = {"problems": problems} if problems else {}
        self._record("configuration", RESOURCE, result, by, digest=now, before=before, **more)

    def worker_died(self, index: int, pid: int, cause: str) -> None:
        """A worker ended that should not have; what it had recorded and not yet written went with it."""
        self._record("worker_death", f"worker/{index}", Result.FAILED, RESOURCE, pid=pid, cause=cause)

    def worker_began(self, index: int) -> None:
        """Another serves in its place."""
        self._record("worker_start", f"worker/{index}", Result.SUCCESS, RESOURCE)

    def _verified(self, held: bool) -> None:
        self._record("verify", "trail", Result.SUCCESS if held else Result.FAILED, RESOURCE)

    async def close(self) -> None:
        """Write what waits and close. Idempotent."""
        await self._rounds.close()
        await self.audit.close()

    def level_changed(self, by: str, *, more: bool) -> None:
        """The log was turned up or down."""
        self._record("log_level", RESOURCE, Result.SUCCESS, by, direction="up" if more else "down")

    def _record(self, action: str, resource: str, result: Result, actor: str, **facts: Any) -> None:
        self.audit.record(Event(Kind.GATEWAY, action, resource, result, actor=actor, facts=facts))
