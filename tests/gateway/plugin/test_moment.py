"""Points in time: dates and times with a zone, and nothing that could be meant otherwise."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.plugin.moment import Moment

READ = TypeAdapter(Moment).validate_python


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        pytest.param("2027-03-31", datetime(2027, 3, 31, tzinfo=UTC), id="a date is its beginning in UTC"),
        pytest.param(" 2027-03-31T10:00:00Z ", datetime(2027, 3, 31, 10, tzinfo=UTC), id="a time in UTC"),
        pytest.param("2027-03-31T10:00:00+02:00", datetime(2027, 3, 31, 8, tzinfo=UTC), id="a time elsewhere"),
        pytest.param(
            datetime(2027, 3, 31, tzinfo=timezone(timedelta(hours=1))),
            datetime(2027, 3, 30, 23, tzinfo=UTC),
            id="from code",
        ),
    ],
)
def test_what_is_read(given, meant):
    assert READ(given) == meant


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("2027", id="a year, which pydantic takes for seconds"),
        pytest.param(1780272000, id="a number"),
        pytest.param("2026-06-01T10:00:00", id="a time without a zone"),
        pytest.param(datetime(2027, 3, 31), id="from code, without a zone"),  # noqa: DTZ001
        pytest.param("2026-02-30", id="a day there is none of"),
        pytest.param("soon", id="a word"),
        pytest.param(None, id="nothing"),
    ],
)
def test_what_is_refused(given):
    with pytest.raises(ValidationError):
        READ(given)
