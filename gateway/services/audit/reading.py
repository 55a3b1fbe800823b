"""Reads records back, for people and auditors: filtered, in their order, as they stand on the disk."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.services.audit import chain, files
from gateway.services.audit.chain import Keys

COLUMNS: Final = (
    "seq",
    "ts",
    "instance",
    "kind",
    "actor",
    "tenant",
    "client",
    "action",
    "resource",
    "result",
    "status",
    "error",
    "route",
    "method",
    "request_id",
    "trace",
    "target",
    "duration_ms",
    "bytes_in",
    "bytes_out",
    "more",
    "hash",
)
"""Of CSV; what has no column is in ``more``, as JSON."""
LATE: Final = 2
"""Days that a record may be written after what it tells of: long exchanges, trails that could not be written."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The last four are the full-width forms of the first, which some spreadsheets take for them."""

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records are wanted; what is not set matches all."""

    since: str = ""
    """RFC 3339 in UTC or the beginning of one, such as a day; that moment included."""
    until: str = ""
    """Likewise; that moment not included."""
    kinds: frozenset[str] = frozenset()
    results: frozenset[str] = frozenset()
    route: str = ""
    actors: frozenset[str] = frozenset()
    tenant: str = ""
    resource: str = ""
    """What it begins with."""

    def __call__(self, record: dict[str, Any]) -> bool:
        """Whether it is wanted."""
        at = record.get("ts", "")
        return (
            (not self.since or at >= self.since)
            and (not self.until or at < self.until)
            and (not self.kinds or record.get("kind") in self.kinds)
            and (not self.results or record.get("result") in self.results)
            and (not self.route or record.get("route") == self.route)
            and (not self.actors or record.get("actor") in self.actors)
            and (not self.tenant or record.get("tenant") == self.tenant)
            and (not self.resource or str(record.get("resource", "")).startswith(self.resource))
        )


@dataclass(slots=True)
class Count:
    """What was read so far."""

    bytes: int = 0
    total: int = 0
    broken: int = 0
    """Lines that are no records, or not what was written."""


def read(folder: Path, keys: Keys, wanted: Filter, count: Count) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Lines, without their line breaks, and what they say. Raises OSError.

    Each line's own hash is looked at, not the chain; what does not hold is counted and given all the same if it can be
    read, as it is for the reader to judge.
    """
    stands = files.standing(folder, keys)
    first, last = _days(wanted)
    names = [name for name in stands.sizes if first <= name[:10] <= last]
    count.total = sum(stands.sizes[name] for name in names)
    for name in names:
        size = 0
        with (folder / name).open("rb") as file:
            while size < stands.sizes[name] and (line := file.readline(chain.LONGEST)):
                size += len(line)
                count.bytes += len(line)
                line = line.rstrip(b"\n")
                link = chain.parse(line)
                if link is None or chain.holds(line, link, keys) is False:
                    count.broken += 1
                record = _record(line)
                if record is not None and wanted(record):
                    yield line, record


def _days(wanted: Filter) -> tuple[str, str]:
    """The files in which such records can be: none is written before it happened, by more than a clock is wrong."""
    first = _shifted(wanted.since, -1) if wanted.since else ""
    return first, _shifted(wanted.until, LATE) if wanted.until else "9999"


def _shifted(moment: str, days: int) -> str:
    return (dt.date.fromisoformat(moment[:10]) + dt.timedelta(days=days)).isoformat()


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        found = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if isinstance(found, dict) else None


def last_lines(folder: Path, keys: Keys, wanted: Filter, most: int) -> list[dict[str, Any]]:
    """The newest records that are wanted, oldest first. Raises OSError."""
    found: list[dict[str, Any]] = []
    for name in reversed(files.standing(folder, keys).sizes):
        with (folder / name).open("rb") as file:
            here = [record for line in file if (record := _record(line)) is not None and wanted(record)]
        found = here[-(most - len(found)) :] + found
        if len(found) >= most:
            break
    return found


def csv_head() -> str:
    """The line that names the columns."""
    return _csv(COLUMNS)


def csv_row(record: dict[str, Any]) -> str:
    """A record as a line of CSV (RFC 4180), safe to open in a spreadsheet."""
    more = {key: value for key, value in record.items() if key not in COLUMNS and key not in ("prev", "kid")}
    told = {**record, "more": _encode(more).decode() if more else ""}
    return _csv([_safe(told.get(column, "")) for column in COLUMNS])


def _safe(value: Any) -> str:
    """A text that a spreadsheet would take for a formula gets a quote in front (OWASP, CSV injection)."""
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text


def _csv(values: Any) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerow(values)
    return written.getvalue()
