"""Ranges of a stored body."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from plugins.cache.ranges import applies, multipart, parse_range, part


@given(st.text(alphabet="bytes=0123456789-, x", max_size=40), st.integers(0, 50))
@settings(max_examples=100)
def test_whatever_is_asked_for_lies_within_the_body(text: str, length: int):
    for first, last in parse_range(text, length) or ():
        assert 0 <= first <= last < length


@given(st.binary(min_size=1, max_size=50), st.integers(0, 49), st.integers(0, 49))
@settings(max_examples=100)
def test_a_part_is_what_stands_there(body: bytes, first: int, last: int):
    for start, end in parse_range(f"bytes={first}-{last}", len(body)) or ():
        data, told = part(body, start, end)
        assert data == body[first : last + 1]
        assert told == b"Content-Range: bytes %d-%d/%d" % (start, start + len(data) - 1, len(body))


def test_several_parts():
    body, kind = multipart(b"0123456789", [(0, 1), (8, 9)], b"text/plain")
    boundary = kind.partition(b"boundary=")[2]
    assert body == (
        b"--%b\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n"
        b"--%b\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\r\n--%b--\r\n"
    ) % (boundary, boundary, boundary)
    assert boundary not in b"0123456789"


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        pytest.param(None, True, id="none"),
        pytest.param('"a"', True, id="RFC 9110 §13.1.5 the tag"),
        pytest.param('"b"', False, id="RFC 9110 §13.1.5 another tag"),
        pytest.param('W/"a"', False, id="RFC 9110 §13.1.5 a weak tag"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 GMT", True, id="RFC 9110 §13.1.5 the date"),
        pytest.param("Sun, 06 Nov 1994 08:49:38 GMT", False, id="RFC 9110 §13.1.5 a later date is another"),
        pytest.param("nonsense", False, id="RFC 9110 §13.1.5 what cannot be read"),
    ],
)
def test_if_range(condition: str | None, holds: bool):
    headers = CIMultiDict({"If-Range": condition} if condition is not None else {})
    assert applies(headers, '"a"', 784111777.0, 784111777.0 + 60) is holds


def test_a_date_as_young_as_the_answer_is_no_strong_validator():
    headers = CIMultiDict({"If-Range": "Sun, 06 Nov 1994 08:49:37 GMT"})
    assert not applies(headers, "", 784111777.0, 784111777.0)
