"""Sends errors on to a tracker that speaks Sentry's protocol, through `sentry-sdk`, from a thread.

The event is made here and not by the SDK, which would add what it finds: of a request there is its id and its route in
it, no body, no header field, no cookie, no local variable. Texts are masked. The SDK is imported with the first error.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from traceback import TracebackException
from typing import Any, Final

from gateway.services.mailbox import Mailbox
from gateway.services.masking import Masking
from gateway.services.unhandled.group import Group, Occurrence, masked

log = logging.getLogger("gateway.errors")

_MODULE: Final = "sentry_sdk"
_WAITING: Final = 100
_FLUSH: Final = 2.0
"""Seconds for what waits at the end."""
_LONGEST: Final = 4096
"""Characters of a message."""
_CHAIN: Final = 8
"""Causes of one error that are sent."""
_REMEMBERED: Final = 1000


def available() -> bool:
    """Whether the extra ``sentry`` is installed."""
    return importlib.util.find_spec(_MODULE) is not None


@dataclass(frozen=True, slots=True)
class Options:
    """Where errors are sent, and how many."""

    dsn: str = field(repr=False)
    environment: str = "production"
    release: str = ""
    """Empty: the gateway's version."""
    sample: float = 1.0
    interval: float = 60.0
    """Seconds between two reports of one group."""
    most: int = 20
    """Reports a minute, of all groups."""


@dataclass(slots=True)
class _Report:
    group: Group
    occurrence: Occurrence
    count: int
    suppressed: int


class Tracker:
    """One tracker's end, in one process."""

    def __init__(self, options: Options, masking: Masking, clock: Callable[[], float] = time.monotonic) -> None:
        self.options = options
        self.sent = 0
        """Given to the SDK."""
        self.suppressed = 0
        """Left out by sampling, or by one of the limits."""
        self.lost = 0
        """That the SDK could not deliver."""
        self._masking = masking
        self._clock = clock
        self._mailbox: Mailbox[_Report] = Mailbox("errors", self._deliver, room=_WAITING, batch=1)
        self._client: Any = None
        self._last: dict[str, float] = {}
        self._missed: dict[str, int] = {}
        self._minute = -1
        self._used = 0

    @property
    def dropped(self) -> int:
        """That found no room, or failed on the way."""
        return self._mailbox.dropped + self._mailbox.failed

    def note(self, group: Group, occurrence: Occurrence) -> None:
        """An error has happened. Never blocks."""
        if not self._may(group.id):
            self.suppressed += 1
            if len(self._missed) < _REMEMBERED:
                self._missed[group.id] = self._missed.get(group.id, 0) + 1
            return
        self._mailbox.put([_Report(group, occurrence, group.count, self._missed.pop(group.id, 0))])

    def _may(self, group: str) -> bool:
        options = self.options
        if options.sample < 1 and random.random() >= options.sample:  # noqa: S311
            return False
        now = self._clock()
        if now - self._last.get(group, float("-inf")) < options.interval:
            return False
        minute = int(now // 60)
        if minute != self._minute:
            self._minute, self._used = minute, 0
        if self._used >= options.most:
            return False
        self._used += 1
        if len(self._last) >= _REMEMBERED:
            self._last.clear()
        self._last[group] = now
        return True

    # -- in the thread -----------------------------------------------------------------------------------------

    def _deliver(self, reports: list[_Report]) -> None:
        client = self._client
        if client is None:
            client = self._client = self._open()
        for report in reports:
            client.capture_event(self._event(report))
            self.sent += 1

    def _open(self) -> Any:
        import sentry_sdk  # noqa: PLC0415 - an extra, and only with the first error

        options = self.options
        client: Any = sentry_sdk.Client(
            dsn=options.dsn,
            environment=options.environment,
            release=options.release or f"sidegate@{_version()}",
            default_integrations=False,
            auto_enabling_integrations=False,
            auto_session_tracking=False,
            max_request_body_size="never",
            include_local_variables=False,
            include_source_context=False,
            propagate_traces=False,
            send_client_reports=False,
            max_breadcrumbs=0,
            max_value_length=_LONGEST,  # older versions have a limit of their own
            spotlight=False,  # else a variable of the environment sends everything to another place as well
            enable_backpressure_handling=False,
            shutdown_timeout=_FLUSH,
            transport_queue_size=_WAITING,
        )
        transport = client.transport
        if transport is not None:
            told = transport.record_lost_event

            def lost(*args: Any, **kwargs: Any) -> Any:
                self.lost += 1
                return told(*args, **kwargs)

            transport.record_lost_event = lost
        return client

    def _event(self, report: _Report) -> dict[str, Any]:
        group, occurrence = report.group, report.occurrence
        known = occurrence.known
        route = known.get("route")
        event: dict[str, Any] = {
            "event_id": uuid.uuid4().hex,
            "timestamp": occurrence.at,
            "level": "error",
            "platform": "python",
            "logger": occurrence.logger,
            "transaction": group.where,
            "fingerprint": [group.id],
            "tags": {"group": group.id, **({"route": route} if route else {})},
            "extra": {
                "count": report.count,
                "suppressed": report.suppressed,
                **{name: self._text(value, route) for name, value in known.items() if name == "request_id"},
            },
        }
        if occurrence.trace is None:
            event["message"] = self._text(occurrence.text, route)
        else:
            event["exception"] = {"values": self._values(occurrence.trace, route)}
        if "trace" in known and "span" in known:
            event["contexts"] = {"trace": {"trace_id": known["trace"], "span_id": known["span"]}}
        return event

    def _values(self, trace: TracebackException, route: str | None) -> list[dict[str, Any]]:
        """The error with its causes, the first cause first."""
        values: list[dict[str, Any]] = []
        waiting = [trace]
        while waiting and len(values) < _CHAIN:
            one = waiting.pop(0)
            kind: type[BaseException] | None = getattr(one, "exc_type", None)  # it may be gone from Python some day
            frames = [
                {
                    "filename": _relative(frame.filename),
                    "function": frame.name,
                    "lineno": frame.lineno,
                    "context_line": frame.line,
                    "in_app": "site-packages" not in frame.filename,
                }
                for frame in one.stack
            ]
            values.append(
                {
                    "type": kind.__qualname__ if kind is not None else "Error",
                    "module": kind.__module__ if kind is not None else None,
                    "value": self._text(str(one), route),
                    "stacktrace": {"frames": frames},
                    "mechanism": {"type": "logging", "handled": False},
                }
            )
            cause = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
            # Of a group its own errors say what happened.
            waiting += [each for each in (*(one.exceptions or ()), cause) if each is not None]
        return values[::-1]

    def _text(self, text: str, route: str | None) -> str:
        # Masked before it is cut: of what is cut through nobody can tell what it was.
        return masked(text[: 4 * _LONGEST], self._masking, route)[:_LONGEST]

    def close(self) -> None:
        """Send what waits and stop. Blocks for a few seconds at most. Idempotent."""
        self._mailbox.close(_FLUSH)
        client, self._client = self._client, None
        if client is not None:
            client.close(timeout=_FLUSH)


def _relative(file: str) -> str:
    """From the package on: where it is installed is nobody's business."""
    for mark in ("/site-packages/", "/dist-packages/", "/lib/python"):
        if mark in file:
            return file.rpartition(mark)[2]
    for package in ("/gateway/", "/plugins/"):
        if package in file:
            return package[1:] + file.rpartition(package)[2]
    return file.rpartition("/")[2]


def _version() -> str:
    try:
        return importlib.metadata.version("sidegate")
    except importlib.metadata.PackageNotFoundError:
        return "0"
