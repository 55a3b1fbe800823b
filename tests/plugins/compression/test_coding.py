"""Codings: any bytes in any pieces come back, broken ones are found, and the client's wish is understood."""

import gzip
import random
import zlib

import brotli
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.compression.coding import STEP, Undecodable, chosen, decoder, encoder

CODINGS = ("gzip", "br", "zstd")
UNDO = {"gzip": gzip.decompress, "br": brotli.decompress, "zstd": zstd.decompress}
DO = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstd.compress, "deflate": zlib.compress}


def unpacked(coding, pieces):
    made, out = decoder(coding), b""
    for piece in pieces:
        while True:
            part = made.feed(piece)
            assert len(part) <= STEP * 2
            if not part and not made.more:
                break
            out += part
            piece = b""
    return out, made.ended


@pytest.mark.parametrize("coding", CODINGS)
@settings(max_examples=30)
@given(st.lists(st.binary(max_size=200), max_size=6), st.booleans())
def test_what_we_make_others_understand(coding, pieces, flush):
    made = encoder(coding, 5)
    out = b"".join(made.feed(piece) + (made.flush() if flush else b"") for piece in pieces) + made.finish()
    assert UNDO[coding](out) == b"".join(pieces)


@pytest.mark.parametrize("coding", CODINGS)
def test_what_is_flushed_can_be_read_at_once(coding):
    made, other = encoder(coding, 5), decoder(coding)
    assert other.feed(made.feed(b"tick\n") + made.flush()) == b"tick\n"


@pytest.mark.parametrize("coding", DO)
@settings(max_examples=30)
@given(st.binary(max_size=2000), st.integers(1, 50))
def test_what_others_make_we_understand(coding, data, size):
    coded = DO[coding](data)
    pieces = [coded[start : start + size] for start in range(0, len(coded), size)]
    assert unpacked(coding, pieces) == (data, True)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_several_members_are_one_body(coding, size):
    coded = DO[coding](b"one") + DO[coding](b"") + DO[coding](b"two")
    pieces = [coded[start : start + size] for start in range(0, len(coded), size)]
    assert unpacked(coding, pieces) == (b"onetwo", True)


@pytest.mark.parametrize("coding", DO)
def test_a_cut_stream_has_not_ended(coding):
    coded = DO[coding](random.Random(1).randbytes(1000))
    assert unpacked(coding, [coded[:-5]])[1] is False


@pytest.mark.parametrize("coding", DO)
@pytest.mark.parametrize("data", [b"not coded at all", b"\x00" * 40, b"\xff" * 40], ids=["text", "noughts", "ones"])
def test_what_is_not_coded(coding, data):
    with pytest.raises(Undecodable):
        if not unpacked(coding, [data])[1]:
            raise Undecodable  # it may also be taken for the beginning of something


@pytest.mark.parametrize("coding", DO)
def test_what_follows_the_end(coding):
    with pytest.raises(Undecodable):
        unpacked(coding, [DO[coding](b"x") + b"trailing"])


@pytest.mark.parametrize("coding", DO)
def test_a_bomb_is_unpacked_in_steps(coding):
    bomb = DO[coding](b"\0" * 20_000_000)
    assert len(bomb) < 25_000
    assert len(decoder(coding).feed(bomb)) <= STEP * 2


def test_a_window_that_would_take_too_much_memory():
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    made = zstd.ZstdCompressor(options=options)
    coded = made.compress(b"x" * 1000) + made.flush()
    with pytest.raises(Undecodable):
        unpacked("zstd", [coded])


@pytest.mark.parametrize("name", ["compress", "identity", "", "aws-chunked"])
def test_codings_that_are_not_known(name):
    assert decoder(name) is None


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        pytest.param("gzip", "gzip", id="one"),
        pytest.param("gzip, deflate, br, zstd", "zstd", id="all: ours in our order"),
        pytest.param("gzip;q=1.0, br;q=0.5", "gzip", id="the client's weight comes first"),
        pytest.param("GZIP ; Q=0.8", "gzip", id="in any case, with spaces"),
        pytest.param("x-gzip", "gzip", id="an old name"),
        pytest.param("*", "zstd", id="anything"),
        pytest.param("*;q=0.5, zstd;q=0", "br", id="anything but one"),
        pytest.param("gzip;q=0", None, id="not this one"),
        pytest.param("gzip;q=0.5, identity", None, id="who prefers it as it is"),
        pytest.param("gzip, identity;q=0.5", "gzip", id="and who does not"),
        pytest.param("identity;q=0", None, id="nothing of ours"),
        pytest.param("deflate", None, id="one that is ambiguous"),
        pytest.param("", None, id="nothing"),
        pytest.param("gzip;q=2", None, id="a weight that is none"),
        pytest.param("gzip;q=nan, br", "br", id="a weight that is no number"),
        pytest.param(",, ;q=1,br", "br", id="empty items"),
    ],
)
def test_chosen(accepted, coding):
    assert chosen(accepted, ("zstd", "br", "gzip")) == coding


@given(st.text(max_size=60))
def test_any_wish_is_read(accepted):
    assert chosen(accepted, ("br", "gzip")) in (None, "br", "gzip")
