"""Bodies taken apart."""

import gzip
import zlib

import pytest

from gateway.errors import PayloadTooLarge
from plugins.request_validation.body import inflate, media_type, parts_of
from plugins.request_validation.strict import Unreadable


@pytest.mark.parametrize(
    ("given", "kind", "parameters"),
    [
        ("Application/JSON; Charset=UTF-8", "application/json", {"charset": "UTF-8"}),
        ('multipart/form-data; boundary="a\\"b;c"', "multipart/form-data", {"boundary": 'a"b;c'}),
        ("text/plain;a=1;a=2", "text/plain", {"a": "1"}),
        ("", "", {}),
    ],
)
def test_media_type(given, kind, parameters):
    assert media_type(given) == (kind, parameters)


def test_inflate():
    assert inflate(gzip.compress(b"abc"), "gzip", 3) == b"abc"
    assert inflate(zlib.compress(b"abc"), "deflate", 3) == b"abc"
    with pytest.raises(PayloadTooLarge):
        inflate(gzip.compress(b"a" * 100_000), "gzip", 1000)
    for broken in (b"", b"abc", gzip.compress(b"abc")[:-4], gzip.compress(b"abc") + b"x"):
        with pytest.raises(Unreadable):
            inflate(broken, "gzip", 1000)


def test_parts():
    body = (
        b"preamble\r\n--B\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n2\r\n"
        b'--B \t\r\nContent-Disposition: form-data; name="b"; filename="x"\r\nContent-Type: a/b\r\n\r\n-\r\n--B--\r\n'
    )
    assert parts_of(body, "B")[0] == ("a", "text/plain", False, b"1\r\n2")
    with pytest.raises(Unreadable):
        parts_of(b"--B\r\n\r\nx\r\n--B--", "B")
    with pytest.raises(Unreadable):
        parts_of(b"x", "")
