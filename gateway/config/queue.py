"""How durable work is kept, whatever keeps it: `queue` at the top of a configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from gateway.plugin.settings import Count, Duration, FilePath, Secret, Settings, Size, expected_secret
from gateway.services.queue.backups import Plan
from gateway.services.queue.opening import DAY, QueueSettings


class Backup(Settings):
    """Copies of the queue that are made while it works."""

    folder: FilePath = Field(description="Where copies are put. It must exist, best on another disk.")
    every: Duration = Field(default=DAY, ge=60, description="Time between two copies.")
    keep: Annotated[Count, Field(ge=1, le=10_000)] = Field(
        default=7, description="Copies that are kept: an older one goes when a newer one is whole."
    )

    def plan(self) -> Plan:
        """The same for `gateway.services.queue.backups.Backups`."""
        return Plan(self.folder, self.every, self.keep)


class QueueOptions(Settings):
    """How what `stores.durable` names keeps accepted work."""

    keys: tuple[Secret, ...] = Field(
        default=(),
        description="Encrypts payloads (AES-256-GCM), and values kept for later. The first one seals and all open: put "
        "a new one in front to change it, and take an old one out when nothing that it sealed is left. Unset: they are "
        "kept as they come.",
    )
    max_items: Annotated[Count, Field(ge=1)] = Field(
        default=10_000_000, description="Most items, dead letters included; beyond it nothing more is accepted (503)."
    )
    max_size: Size = Field(
        default=50 * 1024**3, gt=0, description="Most bytes of payloads; beyond it nothing more is accepted (503)."
    )
    retention: Duration = Field(default=30 * DAY, gt=0, description="How long dead letters are kept.")
    backup: Backup | None = Field(
        default=None, description="Copies made by the gateway itself. Unset: none. SQLite only."
    )

    @model_validator(mode="after")
    def _long_enough(self) -> QueueOptions:
        if not self.keys:
            return self
        from gateway.services.seal import LEAST_KEY  # noqa: PLC0415 - its library's memory is paid by who has keys

        if any(len(each.get_secret_value().encode()) < LEAST_KEY for each in self.keys):
            raise expected_secret(f"`keys` of at least {LEAST_KEY} bytes each")
        return self

    def settings(self, gateway: str) -> QueueSettings:
        """The same for `gateway.services.queue.opening.open_queue`; ``gateway`` is this replica's name."""
        return QueueSettings(
            gateway=gateway,
            keys=tuple([each.get_secret_value().encode() for each in self.keys]),
            max_items=self.max_items,
            max_size=self.max_size,
            retention=self.retention,
        )
