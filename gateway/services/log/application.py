"""The gateway's own log: everything that `logging` carries, libraries' lines too, as JSON or for people."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, Final

import msgspec

from gateway.services.log.sink import Sink, StreamSink

LEVELS: Final = ("debug", "info", "warning", "error")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_encode: Final = msgspec.json.Encoder(enc_hook=str).encode
_HARMLESS: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
"""Control characters, which would forge lines or drive the terminal of who reads."""


class JsonFormatter(logging.Formatter):
    """One object a line: what `extra` gave stands beside the usual fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return _encode(line).decode()
        except UnicodeEncodeError:  # bytes that were no UTF-8 (surrogates): the line matters more than they do
            return _encode(
                {key: str(value).encode("utf-8", "replace").decode() for key, value in line.items()}
            ).decode()


class ConsoleFormatter(logging.Formatter):
    """For people: time, level, who, what; then what `extra` gave."""

    def format(self, record: logging.LogRecord) -> str:
        extra = " ".join(f"{key}={value}" for key, value in vars(record).items() if key not in _STANDARD)
        extra, message = extra.translate(_HARMLESS), record.getMessage().translate(_HARMLESS)
        text = f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {record.levelname.lower():7} "
        text += f"{record.name.removeprefix('gateway.')}: {message}"
        if extra:
            text += f"  {extra}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info).translate(_HARMLESS | {10: "\n"})
        return text


class SinkHandler(logging.Handler):
    """Hands lines to a sink; what is at least a warning is not left to wait."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self.sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.sink.write((self.format(record) + "\n").encode("utf-8", "replace"))
            if record.levelno >= logging.WARNING:
                self.sink.hurry()
        except Exception:  # noqa: BLE001 - logging's own rule: a line that fails must not raise where it was written
            self.handleError(record)

    def flush(self) -> None:
        self.sink.flush()


def configure(level: str, style: str, sink: Sink | None = None) -> SinkHandler:
    """Send everything that `logging` carries to ``sink`` (stderr if none). Replaces what was there."""
    handler = SinkHandler(sink or StreamSink(sys.stderr.fileno()))
    handler.setFormatter(ConsoleFormatter() if style == "console" else JsonFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    set_level(level)
    return handler


def restyle(level: str, style: str) -> None:
    """Change what `configure` set, after a reload."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, SinkHandler):
            handler.setFormatter(ConsoleFormatter() if style == "console" else JsonFormatter())
    set_level(level)


def application_lost() -> int:
    """Lines of this log that were given up."""
    return sum(each.sink.dropped for each in logging.getLogger().handlers if isinstance(each, SinkHandler))


def set_level(level: str) -> None:
    """Least severe line written; libraries are held to warnings unless it is ``debug``."""
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger().setLevel(logging.DEBUG if number <= logging.DEBUG else max(number, logging.WARNING))
    logging.getLogger("gateway").setLevel(number)


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
