"""JSON that all readers read alike, or none."""

import pytest

from plugins.request_validation.strict import Unreadable, read_json


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'{"a": 1, "b": {"a": 2}}', id="a key in two objects"),
        pytest.param(b'{"a b": 1, "ab": 2}', id="keys that differ in white space"),
        pytest.param(b'{"n": 1.0, "m": 1e2, "s": "\\u00e9\\/"}', id="spelt otherwise"),
        pytest.param(b" [] ", id="space around"),
    ],
)
def test_read(data):
    import json

    assert read_json(data, 5) == json.loads(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'{"a":1,"a":1}', id="the same twice"),
        pytest.param(b'[{"a":1,"\\u0061":2}]', id="spelt in two ways"),
        pytest.param(b'{"a":{"x":[{"b":1,"b":2}]}}', id="deep inside"),
        pytest.param(b'{"a":1, "a":22, "b":"  "}', id="hidden behind white space"),
        pytest.param(b"[Infinity]", id="infinite"),
        pytest.param(b"[[[[[[1]]]]]]", id="deeper than allowed"),
        pytest.param(b"\xef\xbb\xbf{}", id="a byte order mark"),
        pytest.param(b"[1,]", id="a comma too many"),
        pytest.param(b"'a'", id="quotes of another kind"),
        pytest.param(b"[1]//x", id="a comment"),
    ],
)
def test_refused(data):
    with pytest.raises(Unreadable):
        read_json(data, 5)
