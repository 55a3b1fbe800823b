"""Finds errors that nobody has handled where all of them come by: in the log, as records with a traceback.

What ends an exchange (`gateway.chain.crashed`), a task, a callback of the event loop, a thread or the process is logged
with its traceback at level error; expected failures are lines without one. So code need not know of this to be watched.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Sequence
from traceback import TracebackException
from typing import Any, Final

from gateway.services.masking import Masking
from gateway.services.metrics import OTHER, Metrics
from gateway.services.unhandled.group import FRAMES, Group, Occurrence, fingerprint
from gateway.services.unhandled.tracker import Options, Tracker

log = logging.getLogger("gateway.errors")

GROUPS: Final = 100
"""What comes after shares one."""
_KNOWN: Final = ("route", "request_id", "trace", "span")
_IGNORED: Final = ("sentry_sdk", "opentelemetry")
_EXPECTED: Final = (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError)
_MESSAGE: Final = 2000


class Unhandled(logging.Handler):
    """One process's. Of ``extra``, ``incident`` makes a record without a traceback count: its name is the group's."""

    def __init__(self, metrics: Metrics, masking: Masking) -> None:
        super().__init__(logging.ERROR)
        self.groups: dict[str, Group] = {}
        self.tracker: Tracker | None = None
        self._masking = masking
        self._counted = metrics.counter(
            "unhandled_errors_total",
            "Errors that nobody has handled, by their group; the admin API's /errors tells more of each.",
            ("group", "error", "where"),
            limit=GROUPS + 1,
        )
        self._reports = metrics.counter("error_reports_total", "What became of reports to the tracker.", ("outcome",))
        self._reports.read = self._outcomes
        self._gone = [0, 0, 0, 0]
        """What trackers that are closed have counted."""

    def open(self) -> None:
        """Begin to watch."""
        logging.getLogger().addHandler(self)

    def track(self, options: Options | None) -> None:
        """Send errors there from now on; None: nowhere."""
        before = self.tracker
        if before is not None and before.options == options:
            return
        self.tracker = Tracker(options, self._masking) if options is not None else None
        if before is not None:  # what waits is sent in its own time
            threading.Thread(target=self._retire, args=(before,), name="errors-retire", daemon=True).start()

    def _retire(self, tracker: Tracker) -> None:
        tracker.close()
        self._gone = [a + b for a, b in zip(self._gone, _counts(tracker), strict=True)]

    def emit(self, record: logging.LogRecord) -> None:
        """Note a record, if it is one of those. Never raises."""
        incident = getattr(record, "incident", None)
        error = record.exc_info[1] if record.exc_info else None
        if (error is None and incident is None) or isinstance(error, _EXPECTED) or record.name.startswith(_IGNORED):
            return
        try:
            self._note(record, error, incident)
        except Exception:  # noqa: BLE001 - logging's own rule: what fails here must not raise where the line was written
            self.handleError(record)

    def _note(self, record: logging.LogRecord, error: BaseException | None, incident: str | None) -> None:
        if error is not None:
            key, kind, where = fingerprint(error)
        else:
            key = kind = str(incident)
            where = record.name
        group = self.groups.get(key)
        if group is None:
            if len(self.groups) >= GROUPS:
                key = kind = where = OTHER
            group = self.groups.setdefault(key, Group(key, kind, where, record.created))
        group.count += 1
        group.last = record.created
        self._counted.child(group.id, group.error, group.where).inc()
        trace = None
        if error is not None:
            # Lines of the source are looked up when it is shown, and no local variable is kept.
            trace = TracebackException(
                type(error), error, error.__traceback__, limit=-FRAMES, lookup_lines=False, compact=True
            )
        known = {name: str(value) for name in _KNOWN if (value := getattr(record, name, None)) is not None}
        occurrence = Occurrence(trace, record.getMessage()[:_MESSAGE], record.name, record.created, known)
        group.sample = occurrence
        if self.tracker is not None:
            self.tracker.note(group, occurrence)

    def _outcomes(self) -> list[tuple[tuple[str, ...], float]]:
        now = _counts(self.tracker) if self.tracker is not None else (0, 0, 0, 0)
        names = ("sent", "suppressed", "dropped", "lost")
        return [((name,), a + b) for name, a, b in zip(names, self._gone, now, strict=True)]

    def shown(self) -> list[dict[str, Any]]:
        """All groups, the latest first, masked. Reads source files, so not on the loop."""
        groups = sorted(self.groups.values(), key=lambda group: -group.last)
        return [group.shown(self._masking) for group in groups]

    def close(self) -> None:
        """Stop watching and send what waits; blocks for a few seconds at most. Idempotent."""
        logging.getLogger().removeHandler(self)
        tracker, self.tracker = self.tracker, None
        if tracker is not None:
            tracker.close()
            self._gone = [a + b for a, b in zip(self._gone, _counts(tracker), strict=True)]
        super().close()


def _counts(tracker: Tracker) -> tuple[int, int, int, int]:
    return tracker.sent, tracker.suppressed, tracker.dropped, tracker.lost


def merged(lists: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What several processes tell, as one list: counts add up, the sample is the latest one's."""
    groups: dict[str, dict[str, Any]] = {}
    for each in (one for told in lists for one in told):
        before = groups.get(each["group"])
        if before is None:
            groups[each["group"]] = each
            continue
        latest, other = (each, before) if each["last_seen"] >= before["last_seen"] else (before, each)
        groups[each["group"]] = {
            **latest,
            "count": latest["count"] + other["count"],
            "first_seen": min(latest["first_seen"], other["first_seen"]),
        }
    return sorted(groups.values(), key=lambda group: -group["last_seen"])


def catch_the_rest() -> None:
    """Log what ends threads and finalizers, which would otherwise only be printed. For a process of our own."""

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is SystemExit or args.exc_value is None:
            return
        name = args.thread.name if args.thread is not None else "?"
        log.error("unhandled error in thread %s", name, exc_info=args.exc_value)

    def in_finalizer(unraisable: Any) -> None:
        log.error("unhandled error, ignored: %s", unraisable.err_msg or "", exc_info=unraisable.exc_value)

    threading.excepthook = in_thread
    sys.unraisablehook = in_finalizer
