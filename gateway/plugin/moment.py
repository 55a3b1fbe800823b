"""Points in time as operators write them in settings."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator

from gateway.plugin.settings import expected


def _read(value: Any) -> Any:
    """A bare number would be read as seconds, which nobody means who writes a year."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or value.strip().isdecimal():
        raise expected("a date such as 2027-03-31 (its beginning in UTC) or a time such as 2027-03-31T10:00:00Z")
    text = value.strip()
    return f"{text}T00:00:00Z" if len(text) == 10 else text


Moment = Annotated[AwareDatetime, BeforeValidator(_read)]
"""``2027-03-31`` (its beginning in UTC) or a time with its zone, ``2027-03-31T10:00:00+02:00`` (RFC 3339)."""
