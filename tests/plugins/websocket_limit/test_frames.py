"""One direction of a WebSocket: what passes, where it is cut, however the bytes come."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.services.metrics import Counter
from plugins.websocket_limit.frames import FRAGMENTS, PROTOCOL, RATE, SIZE, Direction, Rate, close_frame


def direction(objections=None, *, enforce=True, masked=True, extended=False, max_message=100, max_fragments=10, **more):
    def object_to(what):
        if objections is not None:
            objections.append(what)
        return enforce

    return Direction(
        object_to,
        masked=masked,
        extended=extended,
        max_message=max_message,
        max_fragments=max_fragments,
        **more,
    )


def in_pieces(made, data, size):
    return b"".join([made.feed(data[at : at + size]) for at in range(0, len(data), size)])


GOOD = {
    "a message": lambda f: f(b"hi"),
    "an empty message": lambda f: f(),
    "a ping inside a message": lambda f: f(b"a", fin=False) + f(b"?", opcode=9) + f(b"b", opcode=0),
    "many messages": lambda f: f(b"x" * 90) * 50,
    "a message as large as may be": lambda f: f(b"x" * 60, fin=False) + f(b"x" * 40, opcode=0),
    "as many fragments as may be": lambda f: f(fin=False) + f(opcode=0, fin=False) * 8 + f(opcode=0),
    "a Close": lambda f: f(b"\x03\xe8bye", opcode=8),
    "the largest ping": lambda f: f(b"x" * 125, opcode=9),
}

# what passes before, the frame that is too much, what is wrong with it
BAD = {
    "a message too large": (lambda f: f(b"a"), lambda f: f(b"x" * 101), SIZE),
    "a message too large by its head alone": (lambda f: f(b"a"), lambda f: f(b"", length=2**40), SIZE),
    "its last fragment is too much": (
        lambda f: f(b"x" * 60, fin=False),
        lambda f: f(b"x" * 41, opcode=0),
        SIZE,
    ),
    "a fragment too many": (lambda f: f(fin=False) + f(opcode=0, fin=False) * 9, lambda f: f(opcode=0), FRAGMENTS),
    "a client's frame without a mask": (lambda f: f(b"a"), lambda f: f(b"a", masked=False), PROTOCOL),
    "a reserved bit": (lambda f: f(b"a"), lambda f: f(b"a", rsv=0x40), PROTOCOL),
    "a reserved opcode": (lambda f: b"", lambda f: f(b"a", opcode=3), PROTOCOL),
    "a reserved control opcode": (lambda f: b"", lambda f: f(b"a", opcode=0xB), PROTOCOL),
    "a ping in fragments": (lambda f: b"", lambda f: f(b"a", opcode=9, fin=False), PROTOCOL),
    "a ping too large": (lambda f: b"", lambda f: f(b"x" * 126, opcode=9), PROTOCOL),
    "a continuation of nothing": (lambda f: f(b"a"), lambda f: f(b"a", opcode=0), PROTOCOL),
    "a message inside a message": (lambda f: f(b"a", fin=False), lambda f: f(b"b"), PROTOCOL),
    "a length with its first bit set": (lambda f: b"", lambda f: f(b"", length=2**63), PROTOCOL),
}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
@pytest.mark.parametrize("stream", [pytest.param(make, id=name) for name, make in GOOD.items()])
def test_what_is_in_order_passes_as_it_is(frame, stream, size):
    made, said = stream(frame), []
    it = direction(said)
    assert in_pieces(it, made, size) == made
    assert (said, it.between) == ([], True)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in BAD.items()])
def test_what_is_not_is_cut_where_the_frame_begins(frame, row, size):
    before, bad, what = row[0](frame), row[1](frame), row[2]
    said = []
    it = direction(said)
    assert in_pieces(it, before + bad + frame(b"later") * 3, size) == before
    assert (said, it.between) == ([what], True)


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in BAD.items()])
def test_in_shadow_mode_everything_passes(frame, row):
    stream = row[0](frame) + row[1](frame) + frame(b"later")
    assert direction(enforce=False).feed(stream) == stream


def test_a_target_does_not_mask(frame):
    said = []
    assert direction(said, masked=False).feed(frame(b"a", masked=False) + frame(b"b")) == frame(b"a", masked=False)
    assert said == [PROTOCOL]


@pytest.mark.parametrize("rsv", [0x40, 0x20])
def test_what_an_extension_means_is_not_known_and_passes(frame, rsv):
    stream = frame(b"compressed", rsv=rsv)
    assert direction(extended=True).feed(stream) == stream


def test_compressed_messages_count_by_their_size_on_the_wire(frame):
    said = []
    assert direction(said, extended=True).feed(frame(b"x" * 101, rsv=0x40)) == b""
    assert said == [SIZE]


def test_the_frame_under_way_is_ended_when_it_is_cut_from_outside(frame):
    it = direction()
    first = frame(b"x" * 50)
    assert it.feed(first[:20]) == first[:20]
    it.cut = True
    assert not it.between
    assert it.feed(first[20:] + frame(b"next")) == first[20:]
    assert it.between


@pytest.mark.parametrize("cut", [True, False])
def test_a_close_is_noticed_whether_it_passes_or_not(frame, cut):
    it = direction()
    it.cut = cut
    goodbye = frame(b"\x03\xe8", opcode=8)
    assert in_pieces(it, goodbye[:-1], 1) == (b"" if cut else goodbye[:-1])
    assert not it.closed
    it.feed(goodbye[-1:])
    assert (it.closed, it.said_goodbye) == (True, not cut)


def test_rate_counts_messages_and_pings_but_no_fragments(frame):
    now = [0.0]
    said = []
    it = direction(said, rate=Rate(2, 1.0, 3, lambda: now[0]), messages=(messages := Counter()))
    stream = frame(b"a", fin=False) + frame(b"b", opcode=0) + frame(opcode=9) + frame(b"c")
    assert it.feed(stream) == stream
    assert messages.value == 2
    now[0] = 0.5
    assert it.feed(frame(b"d")) == frame(b"d")
    assert it.feed(frame(b"\x03\xe8", opcode=8)) != b"", "a Close is always heard"
    assert it.feed(frame(b"e")) == b""
    assert said == [RATE]


@given(st.integers(1, 20), st.integers(1, 20), st.lists(st.floats(0, 3), max_size=80))
@settings(max_examples=100)
def test_no_more_than_the_rate_and_its_burst_pass(rate, burst, waits):
    now = [0.0]
    it = Rate(rate, 1.0, burst, lambda: now[0])
    passed = []
    for wait in waits:
        now[0] += wait
        if it.take():
            passed.append(now[0])
    for first, start in enumerate(passed):
        for count, end in enumerate(passed[first:], 1):
            assert count <= burst + (end - start) * rate + 1e-3


any_frame = st.tuples(
    st.binary(max_size=300), st.sampled_from([0, 1, 2, 8, 9, 10, 3, 11]), st.booleans(), st.booleans()
)


@given(st.lists(any_frame, max_size=8), st.lists(st.integers(1, 40), min_size=1, max_size=30))
@settings(max_examples=100)
def test_however_a_stream_is_cut_into_pieces_the_same_passes(frame, made, sizes):
    frames = [frame(p, opcode=o, fin=f, masked=m) for p, o, f, m in made]
    stream = b"".join(frames)
    at_once = direction()
    whole = at_once.feed(stream) if stream else b""
    it, out, at = direction(), b"", 0
    while at < len(stream):
        size = sizes[at % len(sizes)]
        out += it.feed(stream[at : at + size])
        at += size
    assert out == whole
    assert it.cut is at_once.cut
    assert any(whole == b"".join(frames[:count]) for count in range(len(frames) + 1)), "not on a frame boundary"


def test_close_frames():
    assert close_frame(1009, "big", masked=False) == b"\x88\x05\x03\xf1big"
    assert close_frame(1001, "", masked=True) == b"\x88\x82\0\0\0\0\x03\xe9"
    assert len(close_frame(1008, "x" * 500, masked=False)) == 2 + 125
