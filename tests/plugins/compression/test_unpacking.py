"""Undoing a coding within limits."""

import gzip

import pytest

from plugins.compression.coding import Undecodable, decoder
from plugins.compression.unpacking import GRACE, Excess, Unpacking


def taken(unpacking: Unpacking, data: bytes) -> bytes:
    out = unpacking.feed(data)
    while part := unpacking.next():
        out += part
    return out


@pytest.mark.parametrize(
    ("size", "most", "ratio", "why"),
    [
        pytest.param(1000, 999, 10_000, "larger than max_size", id="larger than it may be"),
        pytest.param(1000, 1000, 2, None, id="just as large, and small enough for any ratio"),
        pytest.param(GRACE, 10**9, 2, None, id="the largest of any ratio"),
        pytest.param(GRACE + 1, 10**9, 2, "times its size", id="one byte more"),
        pytest.param(GRACE + 1, 10**9, 10_000, None, id="within its ratio"),
    ],
)
def test_limits(size: int, most: int, ratio: int, why: str | None):
    made = decoder("gzip")
    assert made is not None
    unpacking, data = Unpacking(made, most, ratio), gzip.compress(bytes(size))
    if why is None:
        assert taken(unpacking, data) == bytes(size)
        unpacking.end()
        return
    with pytest.raises(Excess, match=why):
        taken(unpacking, data)


def test_an_end_that_comes_too_early():
    made = decoder("gzip")
    assert made is not None
    unpacking = Unpacking(made, 1000, 10)
    assert taken(unpacking, gzip.compress(b"abc")[:-1]) == b"abc"
    with pytest.raises(Undecodable):
        unpacking.end()
