"""Conditions, made and looked at; the fields that a 304 brings."""

import pytest
from multidict import CIMultiDict

from plugins.cache.condition import ask_for, merged, unmodified


@pytest.mark.parametrize(
    ("given", "etag", "modified", "holds"),
    [
        pytest.param({}, '"a"', 100.0, False, id="no condition"),
        pytest.param({"If-None-Match": '"a"'}, '"a"', None, True, id="the tag"),
        pytest.param({"If-None-Match": 'W/"a"'}, '"a"', None, True, id="RFC 9110 §8.8.3.2 compared weakly"),
        pytest.param({"If-None-Match": '"a"'}, "", None, False, id="nothing to compare"),
        pytest.param({"If-None-Match": '""'}, '""', None, True, id="an empty tag is one"),
        pytest.param({"If-None-Match": "a"}, '"a"', None, False, id="without quotes it is another"),
        pytest.param({"If-None-Match": ""}, '"a"', None, False, id="an empty list"),
        pytest.param(
            {"If-None-Match": '"b"', "If-Modified-Since": "Thu, 01 Jan 1970 01:00:00 GMT"}, '"a"', 1.0, False,
            id="RFC 9110 §13.1.3 the date is not looked at",
        ),
    ],
)  # fmt: skip
def test_conditions(given: dict[str, str], etag: str, modified: float | None, holds: bool):
    assert unmodified(CIMultiDict(given), etag, modified, 0.0) is holds


def test_what_is_asked_takes_the_place_of_what_the_client_asked():
    headers = CIMultiDict({"If-None-Match": '"mine"', "Range": "bytes=0-1", "If-Range": '"x"', "A": "1"})
    ask_for(headers, ['"a"', "", '"a"', 'W/"b"'], "Thu, 01 Jan 1970 01:00:00 GMT")
    assert dict(headers) == {
        "A": "1",
        "If-None-Match": '"a", W/"b"',
        "If-Modified-Since": "Thu, 01 Jan 1970 01:00:00 GMT",
    }


def test_fields_of_a_304_replace_all_lines_of_their_name():
    stored = [b"A: 1", b"a: 2", b"B: 3", b"Content-Length: 4"]
    assert merged(stored, [(b"A", b"9"), (b"a", b"8"), (b"content-length", b"0"), (b"C", b"7")]) == [
        b"B: 3", b"Content-Length: 4", b"A: 9", b"a: 8", b"C: 7",
    ]  # fmt: skip
