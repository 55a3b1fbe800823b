"""What a line looks like: the gateway's own field names, those of ECS or OpenTelemetry, or text for people.

Made of the finished line (after masking) by the thread that writes it, so that a layout costs no request anything.
"""

from __future__ import annotations

import time
from calendar import timegm
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

Record = Mapping[str, Any]
Layout = Callable[[Record], bytes]
"""From a line's fields to what is written, line break included."""

SERVICE: Final = "sidegate"
ECS_VERSION: Final = "8.17.0"
HARMLESS: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    code: f"\\u{code:04x}" for code in (0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
}
"""What would forge lines, drive the terminal of who reads, or show them the rest of a line in another order."""
SEVERITY_NUMBERS: Final = {"debug": 5, "info": 9, "warning": 13, "error": 17, "critical": 21}
"""OpenTelemetry's (logs data model, SeverityNumber)."""

encode: Final = msgspec.json.Encoder(enc_hook=str).encode
_decode: Final = msgspec.json.Decoder().decode


def laid_out(lines: Sequence[bytes], layout: Layout) -> list[bytes]:
    """What is written for each line; one that cannot be made is left out."""
    made = []
    for line in lines:
        try:
            made.append(layout(_decode(line)))
        except Exception:  # noqa: BLE001, S112 - counted by the sink; the others matter more
            continue
    return made


def record_of_line(line: bytes) -> dict[str, Any]:
    """A line's fields. Raises ValueError."""
    found = _decode(line)
    if not isinstance(found, dict):
        raise ValueError("no mapping")  # noqa: TRY004 - what msgspec raises for a line that is no JSON
    return found


def is_access(record: Record) -> bool:
    """It is about an exchange, and no line of the gateway's own."""
    return "msg" not in record


def level_of(record: Record) -> str:
    """How severe: the line's own word, and for an exchange ``error`` if the gateway or its target failed."""
    level = record.get("level")
    if level is not None:
        return str(level)
    return "error" if is_access(record) and _int(record.get("status")) >= 500 else "info"


def message_of(record: Record) -> str:
    """In a few words."""
    if not is_access(record):
        return str(record["msg"])
    return f"{record.get('method', '-')} {record.get('path', '-')} {record.get('status', '-')}"


def seconds_of(record: Record) -> float:
    """When it was written, seconds since 1970; now if it does not say so."""
    stamp = record.get("ts")
    try:
        text = str(stamp)
        return timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + float("0" + text[19:].rstrip("Z"))
    except ValueError:
        return time.time()


def _int(value: Any) -> int:
    return value if isinstance(value, int) else 0


# -- ECS ---------------------------------------------------------------------------------------------------------------

_ECS: Final = {
    "agent": "user_agent.original",
    "bytes_in": "http.request.body.bytes",
    "bytes_out": "http.response.body.bytes",
    "error": "error.code",
    "exception": "error.stack_trace",
    "host": "url.domain",
    "logger": "log.logger",
    "method": "http.request.method",
    "path": "url.path",
    "principal": "user.id",
    "reason": "error.message",
    "request_id": "http.request.id",
    "span": "span.id",
    "status": "http.response.status_code",
    "tenant": "organization.id",
    "trace": "trace.id",
}
"""Elastic Common Schema; what it has no name for stands below ``sidegate``."""


def ecs(record: Record) -> bytes:
    """Dotted names in one flat object, as the ECS loggers write them."""
    access = is_access(record)
    line: dict[str, Any] = {
        "@timestamp": record.get("ts"),
        "log.level": level_of(record),
        "message": message_of(record),
        "ecs.version": ECS_VERSION,
        "service.name": SERVICE,
        "event.dataset": f"{SERVICE}.{'access' if access else 'gateway'}",
    }
    for key, value in record.items():
        if key in ("ts", "level", "msg"):
            continue
        if key == "client":
            line["client.address"] = value
            if _is_address(value):  # masked ones are not, and a field of type ip would refuse the whole document
                line["client.ip"] = value
        elif key == "duration_ms" and access and isinstance(value, int | float):
            line["event.duration"] = round(value * 1_000_000)
        else:
            line[_ECS.get(key) or f"{SERVICE}.{key}"] = value
    if access:
        line["event.outcome"] = "failure" if _int(record.get("status")) >= 500 else "success"
    return encode(line) + b"\n"


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and (
        value.replace(".", "").isdecimal() if "." in value and ":" not in value else ":" in value and "/" not in value
    )


# -- OpenTelemetry -----------------------------------------------------------------------------------------------------

_OTEL: Final = {
    "agent": "user_agent.original",
    "bytes_in": "http.request.body.size",
    "bytes_out": "http.response.body.size",
    "client": "client.address",
    "error": "error.type",
    "exception": "exception.stacktrace",
    "host": "server.address",
    "method": "http.request.method",
    "path": "url.path",
    "principal": "user.id",
    "status": "http.response.status_code",
}
"""Semantic conventions; what they have no name for stands below ``sidegate``."""
_OF_RECORD: Final = frozenset({"ts", "level", "msg", "logger", "trace", "span"})


def otel_attributes(record: Record) -> dict[str, Any]:
    """What is not a field of the record itself in OpenTelemetry's data model."""
    return {_OTEL.get(key) or f"{SERVICE}.{key}": value for key, value in record.items() if key not in _OF_RECORD}


def scope_of(record: Record) -> str:
    """Who says it."""
    return "gateway.access" if is_access(record) else str(record.get("logger", "gateway"))


def otel(record: Record) -> bytes:
    """The fields of OpenTelemetry's logs data model, attributes by its semantic conventions."""
    level = level_of(record)
    line: dict[str, Any] = {
        "Timestamp": record.get("ts"),
        "SeverityText": level.upper(),
        "SeverityNumber": SEVERITY_NUMBERS.get(level, 9),
        "Body": message_of(record),
    }
    for key, name in (("trace", "TraceId"), ("span", "SpanId")):
        if key in record:
            line[name] = record[key]
    line["Resource"] = {"service.name": SERVICE}
    line["InstrumentationScope"] = {"Name": scope_of(record)}
    line["Attributes"] = otel_attributes(record)
    return encode(line) + b"\n"


# -- for people --------------------------------------------------------------------------------------------------------

_SAID: Final = frozenset({"ts", "level", "logger", "msg", "exception"})
_SAID_OF_ACCESS: Final = frozenset({"ts", "method", "path", "status", "duration_ms", "route"})


def console(record: Record) -> bytes:
    """Time, level, who, what; then the rest. Times are the machine's, as people's watches are."""
    at = time.strftime("%H:%M:%S", time.localtime(seconds_of(record)))
    if is_access(record):
        text = (
            f"{at} {record.get('status', '-')} {record.get('duration_ms', 0):>8}ms "
            f"{record.get('method', '-')} {record.get('path', '-')} ({record.get('route', '-')})"
        )
        said = _SAID_OF_ACCESS
    else:
        who = str(record.get("logger", "")).removeprefix("gateway.")
        text, said = f"{at} {level_of(record):7} {who}: {record['msg']}", _SAID
    extra = " ".join(f"{key}={value}" for key, value in record.items() if key not in said)
    text = (f"{text}  {extra}" if extra else text).translate(HARMLESS)
    if "exception" in record and not is_access(record):
        text += "\n" + str(record["exception"]).translate(HARMLESS | {10: "\n"})
    return text.encode("utf-8", "replace") + b"\n"


LAYOUTS: Final[Mapping[str, Layout | None]] = {"sidegate": None, "ecs": ecs, "otel": otel, "console": console}
"""By what is written in YAML; None is the line as it comes."""
