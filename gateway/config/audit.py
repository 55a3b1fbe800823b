"""The audit trail: where its records are kept, for how long, and what holds while they cannot be written."""

from __future__ import annotations

import socket
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.plugin.settings import Duration, FilePath, OneOrMany, Secret, Settings, expected_secret
from gateway.services.audit import LEAST_KEY, TrailOptions


class Audit(Settings):
    """A chain of records on the disk. Start, stop, configurations and admin actions are always recorded; requests are
    where a route has the plugin `audit`.
    """

    path: FilePath = Field(
        description="Folder of the trail, made if it is not there: a file for each day. One for each gateway; its "
        "workers share it. On a disk of this machine: it is locked while records are added.",
        examples=["/var/lib/sidegate/audit"],
    )
    instance: str = Field(
        default="",
        max_length=128,
        description="Name of this gateway in its records. Unset: the host's.",
        examples=["${HOSTNAME}"],
    )
    key: Annotated[tuple[Secret, ...], OneOrMany()] = Field(
        default=(),
        description="Signs the chain (HMAC-SHA-256), at least 16 bytes each: nobody without it can change records "
        "and have them fit again. A list: the first signs, all verify, so a new one goes in front and the old ones "
        "stay as long as there are records of theirs. Unset: plain hashes, which whoever writes to the disk can make "
        "anew.",
    )
    identity_key: Secret | None = Field(
        default=None,
        description="At least 16 bytes: principals of requests stand in the trail as tokens made with it, the same "
        "for the same principal. Unset: as they are, unless `pii_masking` says otherwise.",
    )
    retention: Duration = Field(
        default=365 * 86400.0,
        ge=86400,
        description="How long a day's records are kept. A record vouches for what was removed, so the rest can still "
        "be verified. A year, as PCI DSS 4.0 §10.5.1 asks.",
    )
    verify: Duration | None = Field(
        default=86400.0,
        ge=60,
        description="How often the gateway has the whole trail verified, by a process of its own that the workers go "
        "before: `sidegate_audit_intact` and the log say what came of it. Null: never, for whoever has "
        "`gateway audit verify` run elsewhere. A day, so that the file of each has been looked at before anybody asks.",
    )
    flush: Duration = Field(
        default=0.2,
        gt=0,
        le=60,
        description="How long records may gather before they are written: what a crash can lose at most. Those that "
        "somebody waits for are written at once.",
    )
    fsync: bool = Field(
        default=True,
        description="Whether records are forced to the disk (`fdatasync`) before they count as written. Without it "
        "they survive the end of the process, but not that of the machine.",
    )
    on_error: Literal["deny", "allow"] = Field(
        default="deny",
        description="What holds while records cannot be written: `deny` answers requests that would have to be "
        "recorded with 503 and makes `/readyz` 503; `allow` lets them pass, and records that find no room are lost and "
        "counted. `deny` because filling the disk must not be a way to act unseen.",
    )

    @model_validator(mode="after")
    def _long_enough(self) -> Audit:
        keys = (*self.key, *([self.identity_key] if self.identity_key is not None else ()))
        if any(len(key.get_secret_value().encode()) < LEAST_KEY for key in keys):
            raise expected_secret(f"keys of at least {LEAST_KEY} bytes")
        return self

    @property
    def options(self) -> TrailOptions:
        """For `gateway.services.audit`."""
        identity = self.identity_key
        return TrailOptions(
            path=self.path,
            instance=self.instance or socket.gethostname(),
            secrets=tuple(key.get_secret_value().encode() for key in self.key),
            identity_key=identity.get_secret_value().encode() if identity is not None else b"",
            flush=self.flush,
            fsync=self.fsync,
            retention=self.retention,
            verify=self.verify,
            deny=self.on_error == "deny",
        )
