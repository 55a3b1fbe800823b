"""Bodies that are coded, or no longer are."""

import gzip
import zlib

import pytest

from gateway.http import Body
from gateway.services.metrics import Metrics
from plugins.compression.aside import Threads
from plugins.compression.coding import decoder, encoder
from plugins.compression.streams import Coded, Tally, Uncoded, code, unpack
from plugins.compression.unpacking import Bomb, Unpacking


class Pieces:
    """A source of these."""

    trailers = None

    def __init__(self, *pieces: bytes) -> None:
        self.left = list(pieces)
        self.closed = False

    async def read(self) -> bytes:
        return self.left.pop(0) if self.left else b""

    def close(self) -> None:
        self.closed = True


def tally() -> Tally:
    metrics = Metrics()
    counter = metrics.counter("x_total", "X.")
    return Tally(counter.child(), counter.child(), metrics.histogram("y", "Y.", bounds=(1.0,)).child())


@pytest.mark.parametrize("inline", [0, 1, 10**6])
@pytest.mark.parametrize("flush", [False, True])
async def test_coded(inline: int, flush: bool):
    source, threads = Pieces(b"a" * 1000, b"b", b"c" * 1000), Threads()
    body = Body(None, Coded(Body(None, source), encoder("gzip", 6), tally(), threads, inline=inline, flush=flush))
    got = [piece async for piece in body]
    assert gzip.decompress(b"".join(got)) == b"a" * 1000 + b"b" + b"c" * 1000
    if flush:
        assert zlib.decompressobj(31).decompress(got[0]) == b"a" * 1000
    await threads.close()


async def test_an_end_is_an_end():
    threads = Threads()
    source = Coded(Body(None, Pieces()), encoder("gzip", 6), tally(), threads, inline=10, flush=True)
    assert gzip.decompress(await source.read()) == b""
    assert (await source.read(), await source.read(), source.trailers) == (b"", b"", None)
    await threads.close()


async def test_closing_reaches_the_source():
    for make in (
        lambda body: Coded(body, encoder("gzip", 6), tally(), Threads(), inline=1, flush=False),
        lambda body: Uncoded(body, Unpacking(decoder("gzip"), 10, 10), lambda error: None),
    ):
        source = Pieces(b"x")
        Body(None, make(Body(None, source))).close()
        assert source.closed


async def test_uncoded_in_enforce_and_in_shadow():
    data, refused = gzip.compress(bytes(300_000)), []

    def refuse(error: Bomb) -> None:
        raise error

    with pytest.raises(Bomb):
        await Body(None, Uncoded(Body(None, Pieces(data)), Unpacking(decoder("gzip"), 10**9, 10), refuse)).read(10**9)
    shadowed = Uncoded(Body(None, Pieces(data)), Unpacking(decoder("gzip"), 10**9, 10), refused.append)
    assert await Body(None, shadowed).read(10**9) == bytes(300_000)
    assert [error.code for error in refused] == ["decompression_bomb"]


def test_whole():
    coded = code("gzip", 6, b"abc")
    assert unpack(Unpacking(decoder("gzip"), 100, 100), coded) == b"abc"
    assert unpack(Unpacking(decoder("gzip"), 100, 100), b"") == b""
