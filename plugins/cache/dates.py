"""HTTP dates (RFC 9110 §5.6.7) in the three forms that recipients must take, whatever their case (RFC 9111 §4.2)."""

from __future__ import annotations

import calendar
import time
from email.utils import formatdate
from functools import lru_cache
from typing import Final

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONG_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}


def format_date(seconds: float) -> str:
    """Seconds since 1970 as an IMF-fixdate."""
    return formatdate(seconds, usegmt=True)


@lru_cache(maxsize=1024)
def parse_date(text: str) -> float | None:
    """Seconds since 1970; None for what is no HTTP date. A zone other than GMT makes it none (RFC 9111 §4.2)."""
    parts = text.strip().lower().split(" ")
    try:
        if len(parts) == 6 and parts[0][:-1] in _DAYS and parts[0].endswith(",") and parts[5] == "gmt":
            return _seconds(_number(parts[3], 4), parts[2], _number(parts[1], 2), parts[4])
        if len(parts) == 4 and parts[0][:-1] in _LONG_DAYS and parts[0].endswith(",") and parts[3] == "gmt":
            day, month, year = parts[1].split("-")
            return _seconds(_century(_number(year, 2)), month, _number(day, 2), parts[2])
        if parts and parts[0] in _DAYS:  # asctime pads the day with a blank
            kept = [part for part in parts if part]
            if len(kept) == 5 and len(parts) == (6 if len(kept[2]) == 1 else 5):
                return _seconds(_number(kept[4], 4), kept[1], int(kept[2]), kept[3])
    except (ValueError, KeyError, OverflowError):
        pass
    return None


def _seconds(year: int, month: str, day: int, clock: str) -> float:
    hour, minute, second = [_number(part, 2) for part in clock.split(":")]
    number = _MONTHS[month]
    if hour > 23 or minute > 59 or second > 60 or not 1 <= day <= calendar.monthrange(year, number)[1]:
        raise ValueError("no such time")
    return float(calendar.timegm((year, number, day, hour, minute, min(second, 59), 0, 0, 0)))


def _number(text: str, digits: int) -> int:
    if len(text) != digits or not (text.isascii() and text.isdigit()):
        raise ValueError("not a number of that length")
    return int(text)


def _century(year: int) -> int:
    """A two-digit year: one that seems more than 50 years ahead is the latest past one that ends so."""
    this = time.gmtime().tm_year
    full = this - this % 100 + year
    return full - 100 if full > this + 50 else full
