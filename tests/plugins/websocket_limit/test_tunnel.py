"""A watched tunnel: both sides are told where a frame could begin, and nobody waits for ever."""

import asyncio

import pytest

from gateway.services.clock import ManualClock
from plugins.websocket_limit import tunnel as module
from plugins.websocket_limit.frames import SIZE, Direction
from plugins.websocket_limit.tunnel import WatchedTunnel

TOO_BIG_CLIENT = b"\x88\x05\x03\xf1big"
TOO_BIG_TARGET = b"\x88\x85\0\0\0\0\x03\xf1big"


class Wire:
    """The target's side, as the transport has it."""

    def __init__(self):
        self.sent = b""
        self.gone = self.closed = self.ended = False
        self._chunks = asyncio.Queue()

    def feed(self, data):
        self._chunks.put_nowait(data)

    def wake(self):
        self._chunks.put_nowait(b"")

    async def read(self):
        return await self._chunks.get()

    async def write(self, data):
        self.sent += data

    def end(self):
        self.ended = True

    def close(self):
        self.closed = True


@pytest.fixture
def wire():
    return Wire()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def watched(wire, clock, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    made = []

    def make(ends=None, idle=None, expires=None):
        ends = {SIZE: (1009, "big"), "idle": (1001, "idle"), "expired": (1008, "late")} if ends is None else ends

        def side(masked):
            return lambda object_to: Direction(
                object_to, masked=masked, extended=False, max_message=100, max_fragments=10
            )

        made.append(WatchedTunnel(wire, clock, ends.get, up=side(True), down=side(False), idle=idle, expires=expires))
        return made[-1]

    yield make
    for each in made:
        each.close()


async def test_bytes_pass_both_ways(watched, wire, frame):
    it = watched()
    await it.write(frame(b"up"))
    wire.feed(frame(b"down", masked=False))
    assert (wire.sent, await it.read()) == (frame(b"up"), frame(b"down", masked=False))
    wire.feed(b"")
    assert await it.read() == b""


async def test_a_client_over_the_limit_while_the_target_is_silent(watched, wire, frame):
    it = watched()
    waiting = asyncio.ensure_future(it.read())
    await asyncio.sleep(0)
    await it.write(frame(b"ok") + frame(b"x" * 101)[:50])
    assert wire.sent == frame(b"ok") + TOO_BIG_TARGET
    assert await waiting == TOO_BIG_CLIENT
    ending = asyncio.ensure_future(it.read())
    await it.write(frame(b"x" * 101)[50:] + frame(b"more"))
    assert not ending.done(), "its own Close is waited for"
    await it.write(frame(b"\x03\xf1", opcode=8))
    assert await ending == b""
    assert wire.sent == frame(b"ok") + TOO_BIG_TARGET


async def test_a_frame_of_the_target_is_ended_first(watched, wire, frame):
    it = watched()
    large = frame(b"y" * 90, masked=False)
    wire.feed(large[:40])
    assert await it.read() == large[:40]
    await it.write(frame(b"x" * 101))
    wire.feed(large[40:] + frame(b"not this", masked=False))
    assert await it.read() == large[40:]
    assert await it.read() == TOO_BIG_CLIENT


async def test_a_frame_of_the_client_is_ended_first(watched, wire, frame):
    it = watched()
    under_way = frame(b"u" * 90)
    await it.write(under_way[:30])
    wire.feed(frame(b"y" * 101, masked=False))
    assert await it.read() == TOO_BIG_CLIENT
    assert wire.sent == under_way[:30]
    await it.write(under_way[30:] + frame(b"not this"))
    assert wire.sent == under_way + TOO_BIG_TARGET


@pytest.mark.parametrize("where", ["target", "client"])
async def test_what_never_ends_is_waited_for_and_cut(watched, wire, frame, where):
    it = watched()
    if where == "target":
        wire.feed(frame(b"y" * 90, masked=False)[:40])
        await it.read()
    await it.write(frame(b"x" * 101))
    if where == "client":
        assert await it.read() == TOO_BIG_CLIENT
    assert await asyncio.wait_for(it.read(), 60) == b""


async def test_a_side_that_said_goodbye_is_told_nothing(watched, wire, frame):
    it = watched()
    await it.write(frame(b"\x03\xe8", opcode=8))
    wire.feed(frame(b"\x03\xe8", opcode=8, masked=False))
    await it.read()
    await it.write(frame(b"x" * 101))
    assert wire.sent == frame(b"\x03\xe8", opcode=8)
    assert await it.read() == b""


async def test_a_target_that_ends_while_it_is_parted_from(watched, wire, frame):
    it = watched()
    wire.feed(frame(b"y" * 90, masked=False)[:40])
    await it.read()
    await it.write(frame(b"x" * 101))
    wire.feed(b"")
    assert await asyncio.wait_for(it.read(), 60) == b""


async def test_what_is_let_pass_passes(watched, wire, frame):
    it = watched(ends={})
    await it.write(frame(b"x" * 101) + frame(b"after"))
    assert wire.sent == frame(b"x" * 101) + frame(b"after")


@pytest.mark.parametrize(
    ("settings", "advance", "code"),
    [
        pytest.param({"idle": 0.02}, 1, b"\x03\xe9idle", id="idle"),
        pytest.param({"expires": 1_800_000_000.02}, 1, b"\x03\xf0late", id="expired"),
        pytest.param({"expires": 1_700_000_000}, 0, b"\x03\xf0late", id="expired before it began"),
        pytest.param({"idle": 0.02, "expires": 1_800_000_900}, 1, b"\x03\xe9idle", id="idle before it expires"),
    ],
)
async def test_time_is_over(watched, wire, clock, settings, advance, code):
    it = watched(**settings)
    waiting = asyncio.ensure_future(it.read())
    clock.advance(advance)
    assert (await asyncio.wait_for(waiting, 60))[2:] == code
    assert await asyncio.wait_for(it.read(), 60) == b"", "a client that says nothing is not waited for long"
    assert wire.sent[6:] == code


async def test_bytes_keep_it_awake_and_time_that_is_let_pass_begins_anew(watched, wire, clock, frame):
    it = watched(ends={}, idle=0.02)
    clock.advance(5)
    while it._last < clock.now():  # the timer came and found nobody who minds
        await asyncio.sleep(0.005)
    await it.write(frame(b"a"))
    wire.feed(frame(b"b", masked=False))
    assert await it.read() == frame(b"b", masked=False)


async def test_half_close_and_close_reach_the_wire_and_the_timer_stops(watched, wire):
    it = watched(idle=10)
    it.end()
    it.close()
    it.close()
    assert (wire.ended, wire.closed, it._timer) == (True, True, None)


async def test_a_target_that_does_not_read_keeps_the_client_from_nothing(watched, wire, frame):
    it = watched(idle=10)
    stalled = asyncio.Event()

    async def write(_data):
        await stalled.wait()

    wire.write = write
    it._object("idle")
    assert (await asyncio.wait_for(it.read(), 60))[2:4] == b"\x03\xe9"
    assert await asyncio.wait_for(it.read(), 60) == b""
