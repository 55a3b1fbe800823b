"""The place where clients ask stands in ``tests/plugins/test_respond_async.py``; here is what a target may report."""

import pytest

from gateway.errors import BadRequest
from plugins.respond_async.desk import _progress


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param(b'{"percent": 0}', {"percent": 0}, id="nothing yet"),
        pytest.param(b'{"percent": 99.5, "message": "nearly"}', {"percent": 99.5, "message": "nearly"}, id="both"),
        pytest.param(b'{"message": "' + b"x" * 300 + b'"}', {"message": "x" * 200}, id="a long message is cut"),
        pytest.param(b'{"percent": 101, "message": "m"}', {"message": "m"}, id="what cannot be is left out"),
        pytest.param(b'{"percent": 5, "more": [1]}', {"percent": 5}, id="what is not known is left out"),
    ],
)
def test_progress(body, told):
    assert _progress(body) == told


@pytest.mark.parametrize("body", [b"", b"5", b"null", b'{"percent": "5"}', b"\xff", b"[" * 100_000])
def test_what_tells_nothing(body):
    with pytest.raises(BadRequest):
        _progress(body)
