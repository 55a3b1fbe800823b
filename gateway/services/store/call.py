"""A call on its way to Redis, what a batch of them looks like, and what Redis' refusals mean."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Final

from redis.exceptions import (
    AskError,
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from gateway.services.store.script import Script
from gateway.services.store.wire import pack

ASKING: Final = pack(b"ASKING")

# Answers of a server that is of no use at all for now, and of one that refuses this kind of call only.
# (LOADING, NOAUTH and WRONGPASS never come here: redis-py takes them for broken connections.) Before version 7, Redis
# wraps the error of a command inside a script in one of the script, with a dash before the original code.
_AWAY: Final = (ReadOnlyError, ClusterDownError)
_AWAY_TEXT: Final = ("-READONLY ", "BUSY ")
_IMPAIRED_TEXT: Final = ("-OOM ", "MISCONF ", "NOREPLICAS ")


class Refusal(Enum):
    """What an error answer says about the server."""

    AWAY = "of no use for now"
    IMPAIRED = "takes no writes for now: out of memory, or its disk fails"
    ONCE = "did not take this call"
    FAULT = "the call itself is wrong"


def refusal(error: ResponseError) -> Refusal:
    """Sort an error answer. Redirections and unknown scripts are dealt with before."""
    text = str(error)
    if isinstance(error, _AWAY) or any(word in text for word in _AWAY_TEXT):
        return Refusal.AWAY
    if isinstance(error, OutOfMemoryError) or any(word in text for word in _IMPAIRED_TEXT):
        return Refusal.IMPAIRED
    if isinstance(error, (TryAgainError, AskError, NoPermissionError)):
        return Refusal.ONCE
    return Refusal.FAULT


class Call:
    """One command on its way."""

    __slots__ = ("asking", "command", "future", "read", "redirects", "reloaded", "script")

    def __init__(
        self,
        command: bytes,
        future: asyncio.Future[Any],
        *,
        script: Script[Any] | None = None,
        read: Callable[[Any], Any] | None = None,
    ) -> None:
        self.command = command
        self.future = future
        self.script = script
        self.read = read
        self.asking = False
        self.reloaded = False
        self.redirects = 0

    def succeed(self, reply: object) -> None:
        if not self.future.done():
            self.future.set_result(reply if self.read is None else self.read(reply))

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


def pipeline(batch: Sequence[Call], known: set[bytes]) -> tuple[list[Call | None], list[bytes]]:
    """Whose each reply will be (None: nobody's), and the bytes. Scripts that are not in ``known`` are loaded on the
    way.
    """
    plan: list[Call | None] = []
    parts: list[bytes] = []
    for call in batch:
        script = call.script
        if script is not None and script.sha not in known:
            known.add(script.sha)
            parts.append(script.load_command)
            plan.append(None)
        if call.asking:
            parts.append(ASKING)
            plan.append(None)
        parts.append(call.command)
        plan.append(call)
    return plan, parts
