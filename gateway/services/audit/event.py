"""What a record says: who did what to which resource, with which result, and when."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

import msgspec

from gateway.services.masking import Masking, token_of

TEXT: Final = 2048
"""Characters of a text that are kept."""
LARGEST: Final = 16 * 1024
"""Bytes of a record's own members; what is larger loses its details."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_RESERVED: Final = frozenset(
    {"seq", "prev", "kid", "hash", "kind", "ts", "instance", "actor", "action", "resource", "result", "route"}
)
_encode: Final = msgspec.json.Encoder(enc_hook=str).encode


class Kind(StrEnum):
    """What sort of thing a record is about."""

    REQUEST = "request"
    ADMIN = "admin"
    """Asked of the admin API."""
    COMMAND = "command"
    """Done by a command of ``gateway``."""
    GATEWAY = "gateway"
    """Start, stop, configuration, signals."""
    CHAIN = "chain"
    """The trail itself."""


class Result(StrEnum):
    """How it ended."""

    SUCCESS = "success"
    REFUSED = "refused"
    """Somebody was not let: 401, 403, a limit, a policy."""
    FAILED = "failed"
    ABORTED = "aborted"
    """The answer was cut short, or nobody waited for it."""


@dataclass(slots=True)
class Event:
    """One thing that happened."""

    kind: Kind
    action: str
    resource: str
    result: Result
    actor: str = ""
    """Who; nothing if nobody knows."""
    route: str | None = None
    """Of a request; decides which masking holds."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the gateway itself says, such as a status: written as it is."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What comes from outside, such as claims: masked."""
    at: float = field(default_factory=time.time)
    """Seconds since the epoch."""


class Writer:
    """Turns events into the members of records."""

    def __init__(self, instance: str, masking: Masking, identity_key: bytes = b"") -> None:
        self._instance = instance[:TEXT]
        self._masking = masking
        self._identity_key = identity_key

    def actor(self, event: Event) -> str:
        """Whom the record names: with a key a token that is the same for the same principal."""
        if self._identity_key and event.actor and event.kind is Kind.REQUEST:
            return token_of(self._identity_key, "principal", event.actor)
        return event.actor[:TEXT]

    def __call__(self, event: Event) -> bytes:
        """JSON without the braces around it, no line break in it. Never raises."""
        try:
            body = self._encoded(event, event.details)
            return body if len(body) <= LARGEST else self._encoded(event, {"cut": len(body)})
        except Exception as error:  # noqa: BLE001 - a record that cannot be told whole is told in short
            bare = Event(event.kind, "", "", event.result, at=event.at)
            return self._encoded(bare, {"unreadable": type(error).__name__})

    def _encoded(self, event: Event, details: Mapping[str, Any]) -> bytes:
        told: dict[str, Any] = {"actor": self.actor(event), "resource": event.resource[:TEXT]}
        if event.action not in _METHODS:  # else there is nothing to mask in it
            told["action"] = event.action[:TEXT]
        if not _RESERVED.isdisjoint(details):  # else they would say of the record what it does not say of itself
            details = {f"of_{name}" if name in _RESERVED else name: value for name, value in details.items()}
        if event.kind is not Kind.CHAIN:
            told = self._masking.attributes({**told, **details}, event.route)
            if event.action in _METHODS:
                told["action"] = event.action
        else:
            told.update(details)
        record: dict[str, Any] = {"kind": event.kind.value, "ts": timestamp(event.at), "instance": self._instance}
        for name in ("actor", "action", "resource"):
            record[name] = told.pop(name, None) or ""
        record["result"] = event.result.value
        if event.route is not None:
            record["route"] = event.route
        record.update(event.facts)
        record.update(told)
        try:
            return _encode(record)[1:-1]
        except UnicodeEncodeError:  # bytes that were no UTF-8 (surrogates)
            return _encode(_clean(record))[1:-1]


def timestamp(at: float) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    second, rest = divmod(int(at * 1000), 1000)
    return f"{_second(second)}.{rest:03d}Z"


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _clean(value: Any) -> Any:
    """What stands for bytes that were no UTF-8 cannot be written as JSON."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_clean(str(key)): _clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    return value
