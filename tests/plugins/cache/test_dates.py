"""HTTP dates."""

import pytest

from plugins.cache.dates import format_date, parse_date

THEN = 784111777.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("Sun, 06 Nov 1994 08:49:37 GMT", THEN, id="RFC 9110 §5.6.7 IMF-fixdate"),
        pytest.param("Sunday, 06-Nov-94 08:49:37 GMT", THEN, id="RFC 9110 §5.6.7 RFC 850"),
        pytest.param("Sun Nov  6 08:49:37 1994", THEN, id="RFC 9110 §5.6.7 asctime"),
        pytest.param("Sun Nov 16 08:49:37 1994", THEN + 864000, id="RFC 9110 §5.6.7 asctime, a later day"),
        pytest.param("sUN, 06 nOV 1994 08:49:37 gmt", THEN, id="RFC 9111 §4.2 any case"),
        pytest.param("Sun, 06 Nov 1994 08:49:60 GMT", THEN + 22, id="RFC 9110 §5.6.7 a leap second"),
        pytest.param("Tuesday, 01-Jan-30 00:00:00 GMT", 1893456000.0, id="RFC 9110 §5.6.7 two digits, near"),
        pytest.param("Saturday, 01-Jan-00 00:00:00 GMT", 946684800.0, id="RFC 9110 §5.6.7 two digits, past"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 UTC", None, id="RFC 9111 §4.2 no zone but GMT"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 +0000", None, id="RFC 9111 §4.2 no offset"),
        pytest.param("Sun, 6 Nov 1994 08:49:37 GMT", None, id="a day of one digit"),
        pytest.param("Sun, 06 Nov 1994 8:49:37 GMT", None, id="an hour of one digit"),
        pytest.param("Sun, 31 Feb 1994 08:49:37 GMT", None, id="a day that is not"),
        pytest.param("Sun, 06 Nov 1994 24:00:00 GMT", None, id="an hour that is not"),
        pytest.param("Sun, 06 Nuv 1994 08:49:37 GMT", None, id="a month that is not"),
        pytest.param("Sun 06 Nov 1994 08:49:37 GMT", None, id="no comma"),
        pytest.param("Sun, 06  Nov  1994 08:49:37 GMT", None, id="many blanks"),
        pytest.param("0", None, id="a number"),
        pytest.param("", None, id="nothing"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 GMT, x", None, id="more behind it"),
        pytest.param("Sun, 06 Nov ٢٠٢٤ 08:49:37 GMT", None, id="digits of another script"),
    ],
)
def test_dates(text: str, seconds: float | None):
    assert parse_date(text) == seconds


def test_there_and_back():
    assert parse_date(format_date(THEN)) == THEN
