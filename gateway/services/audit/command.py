"""For commands that change state without asking a gateway: what they did stands in its trail, and who ran them."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Mapping
from typing import Any

from gateway.services.audit.event import Event, Kind, Result
from gateway.services.audit.port import TrailOptions, ledger_of
from gateway.services.masking import Masking


def user() -> str:
    """As whom this process runs: ``uid:1000 (alice)``."""
    uid = os.getuid()
    try:
        return f"uid:{uid} ({pwd.getpwuid(uid).pw_name})"
    except KeyError:  # a container's user that no passwd knows
        return f"uid:{uid}"


def record_command(
    trail: TrailOptions, action: str, resource: str, result: Result, details: Mapping[str, Any] | None = None
) -> bool:
    """Record what a command did. On the disk when this returns; False, told on stderr, if that failed. Blocks.

    A gateway may be writing the same trail. Ask before what cannot be undone: `may_record`.
    """
    event = Event(Kind.COMMAND, action, resource, result, user(), details=details or {})
    ledger, writer = ledger_of(trail, Masking())
    try:
        ledger.append([writer(event)])
    except OSError as error:
        sys.stderr.write(f"this could not be recorded in {trail.path}: {error.strerror or error}\n")
        return False
    finally:
        ledger.close()
    return True


def may_record(trail: TrailOptions) -> bool:
    """Whether something that has to be recorded may be done now: the trail can be opened, or need not be."""
    ledger, _ = ledger_of(trail, Masking())
    try:
        ledger.open()
    except OSError:
        return not trail.deny
    finally:
        ledger.close()
    return True
