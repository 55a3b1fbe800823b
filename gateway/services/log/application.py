"""The gateway's own log: everything that `logging` carries, libraries' lines too, as JSON."""

from __future__ import annotations

import contextlib
import logging
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway.services.log.sink import Outlet, StreamSink

LEVELS: Final = ("debug", "info", "warning", "error")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_encode: Final = msgspec.json.Encoder(enc_hook=str).encode

Processor = Callable[[dict[str, Any]], dict[str, Any] | None]
"""Changes a line, or drops it by returning None. Must not log; if it raises, its line is withheld."""
WITHHELD: Final = "a line was withheld: a log processor failed on it"
UNWRITABLE: Final = "a line was withheld: it cannot be written"


class LineFormatter(logging.Formatter):
    """Makes a record's line, leads it through the processors, and writes what they leave."""

    def __init__(self, processors: Sequence[Processor] = ()) -> None:
        super().__init__()
        self.processors = tuple(processors)
        self.failures = 0
        """Lines that a processor failed on."""

    def format(self, record: logging.LogRecord) -> str:
        """One line without its end; empty if a processor dropped it."""
        line: dict[str, Any] | None = self.line_of(record)
        if self.processors:
            try:
                for process in self.processors:
                    if line is None:
                        return ""
                    line = process(line)
            except Exception:  # noqa: BLE001 - what cannot be masked must not be written; that it was there, may
                self.failures += 1
                line = {"ts": _stamp(record), "level": record.levelname.lower(), "logger": record.name, "msg": WITHHELD}
        return "" if line is None else self.text_of(line, record)

    def line_of(self, record: logging.LogRecord) -> dict[str, Any]:
        """The usual fields, and beside them what ``extra`` gave."""
        line: dict[str, Any] = {
            "ts": _stamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return line

    def text_of(self, line: dict[str, Any], record: logging.LogRecord) -> str:
        """How a line is written."""
        raise NotImplementedError


class JsonFormatter(LineFormatter):
    """One object a line: what `extra` gave stands beside the usual fields."""

    def text_of(self, line: dict[str, Any], record: logging.LogRecord) -> str:
        del record
        try:
            return _encode(line).decode()
        except UnicodeEncodeError:  # bytes that were no UTF-8 (surrogates): the line matters more than they do
            return _encode(
                {key: str(value).encode("utf-8", "replace").decode() for key, value in line.items()}
            ).decode()


def _stamp(record: logging.LogRecord) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


class SinkHandler(logging.Handler):
    """Hands lines to a sink; what is at least a warning is not left to wait."""

    def __init__(self, sink: Outlet, shares: Mapping[int, float] | None = None) -> None:
        """``shares`` are those of lines written, by level; all of what is not named, warnings and errors anyway."""
        super().__init__()
        self.sink = sink
        self.shares = dict(shares or {})
        self._failed_before = 0
        self._unwritable = 0

    @property
    def processors(self) -> tuple[Processor, ...]:
        """What lines go through."""
        return self.formatter.processors if isinstance(self.formatter, LineFormatter) else ()

    @property
    def failures(self) -> int:
        """Lines that a processor failed on or that could not be made, so far."""
        return self._failed_before + self._unwritable + self._of_formatter()

    def _of_formatter(self) -> int:
        return self.formatter.failures if isinstance(self.formatter, LineFormatter) else 0

    def take(self, formatter: LineFormatter) -> None:
        """Write lines this way from now on; in one step, so that no line of another thread goes past its processors."""
        self._failed_before += self._of_formatter()
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if record.levelno < logging.WARNING and self.shares:
                share = self.shares.get(record.levelno, 1.0)
                if share < 1.0 and random.random() >= share:  # noqa: S311 - a sample, no secret
                    return
            text = self.format(record)
            if not text:
                return
            self.sink.write((text + "\n").encode("utf-8", "replace"))
            if record.levelno >= logging.WARNING:
                self.sink.hurry()
        except Exception as error:  # noqa: BLE001 - logging's own rule: a line that fails must not raise where it was written
            # Not `handleError`: it would print what the line was made of, which nothing has masked.
            self._unwritable += 1
            self._say(record, error)

    def _say(self, record: logging.LogRecord, error: Exception) -> None:
        """Where the line that cannot be written came from, so that it can be mended."""
        line = {"ts": _stamp(record), "level": record.levelname.lower(), "logger": record.name, "msg": UNWRITABLE}
        line |= {"error": type(error).__name__, "at": f"{record.pathname.rpartition('/')[2]}:{record.lineno}"}
        self.sink.write(_encode(line) + b"\n")

    def flush(self) -> None:
        self.sink.flush()


def configure(level: str, sink: Outlet | None = None, shares: Mapping[int, float] | None = None) -> SinkHandler:
    """Send everything that `logging` carries to ``sink`` (stderr if none). Replaces what was there."""
    handler = SinkHandler(sink or StreamSink(sys.stderr.fileno(), name="stderr"), shares)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    set_level(level)
    return handler


def redirect(sink: Outlet, shares: Mapping[int, float] | None = None) -> None:
    """Send lines there from now on. Each line of before is in the sink of before, which is the caller's to close."""
    for handler in _handlers():
        # Under its lock: a thread that is writing a line has put it into the old sink when this returns.
        with handler.lock or contextlib.nullcontext():
            handler.sink, handler.shares = sink, dict(shares or {})


def configured() -> bool:
    """`configure` was called in this process."""
    return bool(_handlers())


def process(processors: Sequence[Processor]) -> None:
    """Lead every line from now on through these, in this order; they replace those before."""
    for handler in _handlers():
        handler.take(JsonFormatter(processors))


def _handlers() -> list[SinkHandler]:
    return [each for each in logging.getLogger().handlers if isinstance(each, SinkHandler)]


def application_failed() -> int:
    """Lines of this log that no sink got: a processor failed on them, or they could not be made."""
    return sum(each.failures for each in _handlers())


def set_level(level: str) -> None:
    """Least severe line written; libraries are held to warnings unless it is ``debug``."""
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger().setLevel(logging.DEBUG if number <= logging.DEBUG else max(number, logging.WARNING))
    logging.getLogger("gateway").setLevel(number)
    # It tells of each change in the watched folder, and a log file in there changes with each line that is told.
    logging.getLogger("watchfiles").setLevel(max(number, logging.WARNING))


def more_verbose() -> str:
    """One level more; what a signal does. Returns the level now in force."""
    return _step(-1)


def quieter() -> str:
    """One level less."""
    return _step(1)


def _step(by: int) -> str:
    now = logging.getLevelName(logging.getLogger("gateway").getEffectiveLevel()).lower()
    at = LEVELS.index(now) if now in LEVELS else 1
    level = LEVELS[min(max(at + by, 0), len(LEVELS) - 1)]
    set_level(level)
    return level
