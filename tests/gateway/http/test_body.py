"""A body gives the same bytes however it is cut, filtered and read, and is never left open."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InternalError, PayloadTooLarge, TruncatedAnswer
from gateway.http import Body
from gateway.testing import Chunks

CUTS = st.lists(st.binary(max_size=40), max_size=12)


def streamed(*chunks, error=None, trailers=None, length=None):
    source = Chunks(chunks, error=error, trailers=trailers)
    return Body(None, source, length), source


async def drained(body):
    return b"".join([chunk async for chunk in body])


class Upper:
    """Changes every byte, keeps none back."""

    def feed(self, chunk):
        return chunk.upper()

    def finish(self):
        return b"!"


class Deflate:
    """Keeps bytes back and gives them at the end."""

    def __init__(self):
        self._compressor = zlib.compressobj()

    def feed(self, chunk):
        assert chunk, "a filter is never fed nothing"
        return self._compressor.compress(chunk)

    def finish(self):
        return self._compressor.flush()


class Swallow:
    """Gives nothing before the end."""

    def __init__(self):
        self.seen = bytearray()

    def feed(self, chunk):
        self.seen += chunk
        return b""

    def finish(self):
        return bytes(self.seen)


class Count:
    def __init__(self):
        self.chunks = []

    def feed(self, chunk):
        self.chunks.append(chunk)
        return chunk

    def finish(self):
        return b""


class Refuse:
    """Lets so many bytes pass, then fails."""

    def __init__(self, limit):
        self.left = limit

    def feed(self, chunk):
        self.left -= len(chunk)
        if self.left < 0:
            raise PayloadTooLarge
        return chunk

    def finish(self):
        return b""


@given(cuts=CUTS)
@pytest.mark.parametrize("filters", [(), (Upper,), (Deflate,), (Swallow, Upper), (Upper, Deflate, Swallow)])
async def test_any_chunking_gives_what_the_whole_gives(filters, cuts):
    data = b"".join(cuts)
    whole, (body, _), (held, _) = Body(data), streamed(*cuts), streamed(*cuts)
    for each in (whole, body, held):
        for made in filters:
            each.filter(made())
    expected = whole.whole
    decode = zlib.decompress if Deflate in filters else bytes  # zlib may cut its blocks as it likes
    assert decode(await drained(body)) == decode(await held.read(10_000)) == decode(expected)
    assert whole.length == len(expected)
    assert held.length == len(held.whole)


@given(cuts=CUTS, limit=st.integers(0, 200))
async def test_a_body_over_the_limit_streams_as_if_never_read(cuts, limit):
    data = b"".join(cuts)
    body, _ = streamed(*cuts)
    body.filter(Upper())
    expected = data.upper() + b"!"
    if len(expected) <= limit:
        assert await body.read(limit) == expected
        return
    with pytest.raises(PayloadTooLarge):
        await body.read(limit)
    assert body.whole is None
    assert body.replayable
    body.filter(Swallow())  # one that comes later sees what was pulled ahead
    assert await drained(body) == expected


async def test_a_body_that_gave_up_reading_may_be_read_again_with_more():
    body, _ = streamed(b"abc", b"def")
    with pytest.raises(PayloadTooLarge):
        await body.read(4)
    with pytest.raises(PayloadTooLarge):
        await body.read(5)
    assert await body.read(6) == b"abcdef"
    assert await body.read(6) == b"abcdef"


async def test_no_more_than_a_chunk_over_the_limit_is_held():
    body, source = streamed(*[b"x" * 10] * 100)
    with pytest.raises(PayloadTooLarge):
        await body.read(25)
    assert source.given == 30


@pytest.mark.parametrize(
    ("body", "limit", "fits"),
    [
        pytest.param(lambda: Body(b"abc"), 3, True, id="whole, at the limit"),
        pytest.param(lambda: Body(b"abc"), 2, False, id="whole, over it"),
        pytest.param(Body, 0, True, id="empty"),
        pytest.param(lambda: Body(None), 0, True, id="neither bytes nor source"),
        pytest.param(lambda: streamed(b"ab", b"c")[0], 3, True, id="streamed, at the limit"),
        pytest.param(lambda: streamed(b"ab", b"c")[0], 2, False, id="streamed, over it"),
        pytest.param(lambda: streamed()[0], 0, True, id="a stream of nothing"),
    ],
)
async def test_read_keeps_its_limit(body, limit, fits):
    made = body()
    if fits:
        assert len(await made.read(limit)) <= limit
    else:
        with pytest.raises(PayloadTooLarge):
            await made.read(limit)


async def test_a_declared_length_over_the_limit_is_refused_before_a_byte_is_pulled():
    body, source = streamed(b"x" * 10, length=10)
    with pytest.raises(PayloadTooLarge):
        await body.read(9)
    assert source.given == 0
    assert await body.read(10) == b"x" * 10


async def test_a_stream_is_read_once():
    body, _ = streamed(b"a", b"b")
    assert body.replayable
    async for _chunk in body:
        break
    assert not body.replayable
    with pytest.raises(InternalError):
        async for _chunk in body:
            pass
    with pytest.raises(InternalError):
        await body.read(10)


async def test_a_whole_body_is_read_as_often_as_you_like():
    body = Body(b"abc")
    assert [await drained(body), await drained(body), await body.read(3)] == [b"abc"] * 3
    assert body.replayable


async def test_a_held_body_may_be_sent_again():
    body, source = streamed(b"a", b"b")
    await body.read(2)
    assert body.replayable
    assert source.ended
    assert await drained(body) == await drained(body) == b"ab"


# -- filters -----------------------------------------------------------------------------------------------------------


def test_a_filter_on_a_whole_body_runs_at_once():
    body = Body(b"abc")
    body.filter(Upper())
    assert (body.whole, body.length) == (b"ABC!", 4)


def test_an_empty_body_is_finished_but_not_fed():
    body = Body()
    body.filter(Deflate())
    assert zlib.decompress(body.whole) == b""


def test_a_filter_that_fails_on_a_whole_body_fails_where_it_is_put():
    with pytest.raises(PayloadTooLarge):
        Body(b"abc").filter(Refuse(2))


async def test_filters_stand_in_the_order_they_were_put():
    body, _ = streamed(b"a")
    body.filter(Upper())  # A!
    body.filter(Swallow())
    body.filter(Upper())  # A!!
    assert await drained(body) == b"A!!"


async def test_a_filter_that_fails_stops_the_stream_and_the_source_can_be_closed():
    body, source = streamed(b"ab", b"cd", b"ef")
    body.filter(Refuse(3), changes=False)
    assert await body.pull() == b"ab"
    with pytest.raises(PayloadTooLarge):
        await body.pull()
    body.close()
    assert source.closed
    assert source.given == 4


async def test_a_filter_that_changes_nothing_keeps_length_and_trailers():
    body, _ = streamed(b"ab", trailers={"Checksum": "1"}, length=2)
    counted = Count()
    body.filter(counted, changes=False)
    assert body.length == 2
    assert await drained(body) == b"ab"
    assert body.trailers["checksum"] == "1"
    assert counted.chunks == [b"ab"]


async def test_a_filter_that_changes_bytes_drops_length_and_trailers():
    body, source = streamed(b"ab", trailers={"Checksum": "1"}, length=2)
    body.filter(Upper())
    assert body.length is None
    await drained(body)
    assert source.trailers is not None
    assert body.trailers is None


async def test_trailers_are_there_after_the_end_and_not_before():
    body, _ = streamed(b"a", trailers={"T": "1"})
    assert body.trailers is None
    await body.pull()
    assert body.trailers is None
    assert await body.pull() == b""
    assert body.trailers["t"] == "1"


async def test_trailers_outlast_holding():
    body, _ = streamed(b"a", trailers={"T": "1"})
    await body.read(1)
    assert body.trailers["t"] == "1"


def test_replace_gives_up_what_streamed():
    body, source = streamed(b"abc", trailers={"T": "1"}, length=3)
    body.filter(Upper())
    body.replace(b"new")
    assert source.closed
    assert (body.whole, body.length, body.trailers) == (b"new", 3, None)


# -- the end -----------------------------------------------------------------------------------------------------------


async def test_at_end_comes_after_the_last_byte_and_once():
    ends = []
    body, _ = streamed(b"a", b"b")
    body.at_end(lambda: ends.append(1))
    assert await body.pull() == b"a"
    assert await body.pull() == b"b"
    assert ends == []
    assert await body.pull() == b""
    assert ends == [1]
    assert await body.pull() == b""
    body.close()
    assert ends == [1]


async def test_at_end_waits_for_what_a_filter_kept_back():
    ends = []
    body, _ = streamed(b"a")
    body.filter(Swallow())
    body.at_end(lambda: ends.append(1))
    assert await body.pull() == b"a"
    assert ends == []
    assert await body.pull() == b""
    assert ends == [1]


@pytest.mark.parametrize("how", ["whole", "held", "ended", "closed"])
async def test_at_end_is_called_at_once_when_there_is_nothing_to_wait_for(how):
    body, _ = streamed(b"a")
    if how == "whole":
        body = Body(b"a")
    elif how == "held":
        await body.read(1)
    elif how == "ended":
        await drained(body)
    else:
        body.close()
    ends = []
    body.at_end(lambda: ends.append(1))
    assert ends == [1]


async def test_an_abort_closes_the_source_and_is_an_end():
    ends = []
    body, source = streamed(b"a", b"b")
    body.filter(Upper())
    body.at_end(lambda: ends.append(1))
    await body.pull()
    body.close()
    body.close()
    assert source.closed
    assert ends == [1]


async def test_closing_after_the_end_closes_nothing():
    body, source = streamed(b"a")
    await drained(body)
    body.close()
    assert source.ended
    assert not source.closed


async def test_one_callback_that_fails_does_not_keep_the_next_from_its_turn(caplog):
    ends = []
    body, _ = streamed(b"a")
    body.at_end(lambda: 1 / 0)
    body.at_end(lambda: ends.append(1))
    await drained(body)
    assert ends == [1]
    assert "ZeroDivisionError" in caplog.text


async def test_a_source_that_breaks_off_breaks_off_the_body():
    body, _ = streamed(b"a", error=TruncatedAnswer())
    assert await body.pull() == b"a"
    with pytest.raises(TruncatedAnswer):
        await body.pull()


async def test_half_a_body_is_never_taken_for_a_whole_one():
    body, _ = streamed(b"a", error=TruncatedAnswer())
    with pytest.raises(TruncatedAnswer):
        await body.read(10)
    assert body.whole is None
    assert not body.replayable


def test_a_whole_body_passes_through_no_generator():
    """Nothing of a whole body's path can be suspended: there is no coroutine and no generator to pay for."""
    body = Body(b"abc")
    assert body.whole is body.whole == b"abc"
    assert not hasattr(body.__aiter__(), "asend")
