"""Tunnels: frames followed exactly, bytes both ways with back-pressure, half-close, and a polite end."""

from __future__ import annotations

import asyncio
import itertools
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.server import tunnel as module
from gateway.server.tunnel import GOING_AWAY, GOING_AWAY_MASKED, Frames

UPGRADE = b"GET /%b HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %b\r\nX-Mine: 1\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
MEGABYTE = 1 << 20


def frame(payload: bytes, *, opcode: int = 2, masked: bool = False, long: int = 0) -> bytes:
    """``long`` forces a longer form of the length than is needed; senders may not, but it must not derail us."""
    mask = 0x80 if masked else 0
    if len(payload) < 126 and not long:
        head = bytes([0x80 | opcode, mask | len(payload)])
    elif len(payload) < 65536 and long < 2:
        head = bytes([0x80 | opcode, mask | 126]) + struct.pack("!H", len(payload))
    else:
        head = bytes([0x80 | opcode, mask | 127]) + struct.pack("!Q", len(payload))
    return head + (b"\1\2\3\4" if masked else b"") + payload


frames_of_a_stream = st.lists(
    st.builds(
        frame,
        st.integers(0, 300).map(lambda size: b"\x88" * size)
        | st.sampled_from([b"", b"x" * 125, b"x" * 126, b"x" * 127, b"x" * 65535, b"x" * 65536]),
        opcode=st.sampled_from([0, 1, 2, 9, 10]),
        masked=st.booleans(),
        long=st.sampled_from([0, 0, 0, 1, 2]),
    ),
    min_size=1,
    max_size=6,
)


@given(frames_of_a_stream, st.data())
@settings(max_examples=200)
def test_frames_are_followed_however_the_stream_is_cut(stream: list[bytes], data: st.DataObject):
    whole = b"".join(stream)
    ends = {0}
    for each in stream:
        ends.add(max(ends) + len(each))
    cuts = sorted([*data.draw(st.lists(st.integers(0, len(whole)), max_size=12)), 0, len(whole)])
    frames = Frames()
    for start, stop in itertools.pairwise(cuts):
        found = frames.boundary(whole[start:stop])
        inside = [end for end in ends if start <= end <= stop]
        assert found == (max(inside) - start if inside else -1)
        assert frames.between is (stop in ends)
    assert not frames.closed


@given(st.integers(0, 200), st.booleans(), st.integers(1, 400))
@example(0, False, 1)
def test_a_close_frame_is_seen_at_its_end(before: int, masked: bool, step: int):
    whole = frame(b"x" * before, masked=masked) + frame(b"\x03\xe8bye", opcode=8, masked=masked)
    frames = Frames()
    for at in range(0, len(whole), step):
        assert not frames.closed
        frames.boundary(whole[at : at + step])
    assert frames.closed


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_frames_survive_anything(chunks: list[bytes]):
    frames = Frames()
    for chunk in chunks:
        assert -1 <= frames.boundary(chunk) <= len(chunk)


def test_the_goodbyes_are_frames():
    for goodbye in (GOING_AWAY, GOING_AWAY_MASKED):
        frames = Frames()
        assert frames.boundary(goodbye) == len(goodbye)
        assert frames.closed
        assert goodbye[-2:] == (1001).to_bytes(2, "big")


# -- over sockets --------------------------------------------------------------------------------------------------


async def opened(front, origin, conduct, *, protocol: bytes = b"custom", early: bytes = b""):
    """A tunnel through a gateway: the gateway and the client's wire. ``conduct`` is the origin's side of it."""

    async def play(side):
        heard = await side.request()
        assert (heard.one(b"Upgrade"), heard.one(b"Connection")) == (protocol, b"Upgrade")
        await side.send(SWITCHED % protocol)
        await conduct(side)

    gateway = await front(origin=(await origin(play)).port)
    wire = await gateway.connect()
    await wire.send(UPGRADE % (b"", protocol) + early)
    answer = await wire.head()
    assert answer.line == b"HTTP/1.1 101 Switching Protocols"
    assert (answer.one(b"Upgrade"), answer.one(b"Connection"), answer.one(b"X-Mine")) == (protocol, b"Upgrade", b"1")
    assert answer.all(b"Content-Length") == answer.all(b"Transfer-Encoding") == []
    return gateway, wire


async def echo(side) -> None:
    while data := await side.reader.read(65536):
        await side.send(data)


@pytest.mark.parametrize("protocol", [b"custom", b"websocket"])
@pytest.mark.parametrize("early", [b"", b"early bytes"], ids=["", "with bytes behind the request"])
async def test_bytes_pass_both_ways(front, origin, protocol: bytes, early: bytes):
    gateway, wire = await opened(front, origin, echo, protocol=protocol, early=early)
    async with wire:
        await wire.send(b"\0\r\n\xff GET / HTTP/1.1\r\n\r\n")
        expected = early + b"\0\r\n\xff GET / HTTP/1.1\r\n\r\n"
        assert await wire.reader.readexactly(len(expected)) == expected
    (record,) = await gateway.runtime.recorded()
    assert (record.status, record.sent_bytes, record.received_bytes) == (101, len(expected), len(expected))


async def test_early_bytes_of_the_target(front, origin):
    async def play(side):
        await side.request()
        await side.send(SWITCHED % b"custom" + b"hello")
        await echo(side)

    gateway = await front(origin=(await origin(play)).port)
    async with await gateway.connect() as wire:
        await wire.send(UPGRADE % (b"", b"custom"))
        await wire.head()
        assert await wire.reader.readexactly(5) == b"hello"


async def test_megabytes_both_ways(front, origin):
    _gateway, wire = await opened(front, origin, echo)
    data = bytes(range(256)) * (8 * MEGABYTE // 256)
    async with wire:
        wire.writer.write(data)
        assert await wire.reader.readexactly(len(data)) == data


async def test_a_stalled_client_stops_the_target(front, origin):
    sent = 0
    stalled = asyncio.Event()

    async def flood(side):
        nonlocal sent
        for _ in range(512):
            side.writer.write(b"x" * 65536)
            try:
                await asyncio.wait_for(side.writer.drain(), 0.5)
            except TimeoutError:
                stalled.set()
                await side.writer.drain()
            sent += 65536

    _gateway, wire = await opened(front, origin, flood)
    async with wire:
        wire.writer.transport.pause_reading()
        await asyncio.wait_for(stalled.wait(), 20)
        assert sent < 16 * MEGABYTE  # socket buffers of two hops
        wire.writer.transport.resume_reading()
        assert len(await wire.reader.readexactly(32 * MEGABYTE)) == 32 * MEGABYTE


async def test_a_stalled_target_stops_the_client(front, origin):
    proceed = asyncio.Event()

    async def wait(side):
        await proceed.wait()
        await side.reader.readexactly(32 * MEGABYTE)
        await side.send(b"got it")

    _gateway, wire = await opened(front, origin, wait)
    async with wire:
        wire.writer.write(b"x" * 32 * MEGABYTE)
        before = -1
        while (left := wire.writer.transport.get_write_buffer_size()) != before:
            before = left
            await asyncio.sleep(0.3)
        assert left > 16 * MEGABYTE
        proceed.set()
        assert await wire.reader.readexactly(6) == b"got it"


async def test_a_client_that_has_sent_all_may_still_listen(front, origin):
    async def count(side):
        data = await side.reader.read()
        await side.send(b"%d bytes" % len(data))
        side.close()

    _gateway, wire = await opened(front, origin, count)
    async with wire:
        await wire.send(b"x" * 100_000)
        wire.writer.write_eof()
        assert await wire.rest() == b"100000 bytes"


async def test_a_target_that_has_sent_all_may_still_listen(front, origin):
    heard = asyncio.get_running_loop().create_future()

    async def finish(side):
        await side.send(b"that was all")
        side.writer.write_eof()
        heard.set_result(await side.reader.read())

    gateway, wire = await opened(front, origin, finish)
    async with wire:
        assert await wire.rest() == b"that was all"
        await wire.send(b"thanks")
        wire.writer.write_eof()
        assert await asyncio.wait_for(heard, 60) == b"thanks"
    await gateway.runtime.recorded()


@pytest.mark.parametrize("protocol", [b"custom", b"websocket"])
@pytest.mark.parametrize("who", ["the client", "the target"])
async def test_when_one_side_is_reset_the_other_ends(front, origin, protocol: bytes, who: str):
    gone = asyncio.Event()

    async def conduct(side):
        await side.reader.readexactly(1)
        if who == "the target":
            side.reset()
        else:
            await side.gone()
        gone.set()

    gateway, wire = await opened(front, origin, conduct, protocol=protocol)
    async with wire:
        await wire.send(b"x")
        if who == "the client":
            await asyncio.sleep(0.05)
            wire.reset()
        else:
            assert await wire.rest() == b""
        await asyncio.wait_for(gone.wait(), 60)
        (record,) = await gateway.runtime.recorded()
    assert record.status == 101
    assert gateway.pool.total == 0


# -- declined ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [b"custom", b"websocket", b"h2c"])
@pytest.mark.parametrize("together", [True, False], ids=["the next request in the same packet", "and in another"])
async def test_after_a_declined_upgrade_the_connection_goes_on(front, origin, protocol: bytes, together: bool):
    async def play(side):
        await side.request()
        await side.send(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: other\r\nContent-Length: 2\r\n\r\nno")
        await side.request()
        await side.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await side.gone()

    gateway = await front(origin=(await origin(play)).port)
    async with await gateway.connect() as wire:
        await wire.send(UPGRADE % (b"", protocol) + (GET if together else b""))
        answer = await wire.answer()
        assert (answer.status, answer.body, answer.one(b"Upgrade")) == (426, b"no", b"other")
        if not together:
            await wire.send(GET)
        assert (await asyncio.wait_for(wire.answer(), 60)).body == b"ok"


@pytest.mark.parametrize("cut", range(1, 5))
async def test_bytes_behind_an_upgrade_whose_head_was_cut(front, origin, cut: int):
    """The empty line arrives in two packets, the second with the tunnel's first bytes."""
    gateway = None

    async def play(side):
        await side.request()
        await side.send(SWITCHED % b"custom")
        await echo(side)

    gateway = await front(origin=(await origin(play)).port)
    head = UPGRADE % (b"", b"custom")
    async with await gateway.connect() as wire:
        await wire.send(head[:-cut])
        await asyncio.sleep(0.05)
        await wire.send(head[-cut:] + b"early")
        await wire.head()
        assert await wire.reader.readexactly(5) == b"early"


# -- leaving -------------------------------------------------------------------------------------------------------


async def leaving(front, origin, first: bytes, second: bytes, *, reply: bool = True):
    """A WebSocket at whose shutdown the client has sent ``first`` and, after it, sends ``second``."""
    heard = bytearray()
    parted = asyncio.Event()

    async def conduct(side):
        try:
            while data := await side.reader.read(65536):
                heard.extend(data)
                if heard.endswith(GOING_AWAY_MASKED) and reply:
                    await side.send(frame(b"\x03\xe9", opcode=8))
        finally:
            parted.set()

    gateway, wire = await opened(front, origin, conduct, protocol=b"websocket")
    async with wire:
        await wire.send(first)
        while len(heard) < len(first):
            await asyncio.sleep(0.001)
        gateway.edge.drain()
        assert await asyncio.wait_for(wire.reader.readexactly(4), 60) == GOING_AWAY
        await wire.send(second)
        if reply:
            await wire.send(frame(b"\x03\xe9", opcode=8, masked=True))
        assert await asyncio.wait_for(wire.rest(), 60) == b""
        await asyncio.wait_for(parted.wait(), 60)
        await gateway.runtime.recorded()
    return bytes(heard)


WHOLE = frame(b"hello", masked=True)


async def test_both_sides_are_told_between_frames(front, origin):
    assert await leaving(front, origin, WHOLE, b"") == WHOLE + GOING_AWAY_MASKED


@pytest.mark.parametrize("cut", [1, 3, 7])
async def test_a_frame_under_way_is_ended_first(front, origin, cut: int):
    heard = await leaving(front, origin, WHOLE + WHOLE[:cut], WHOLE[cut:])
    assert heard in (WHOLE * 2 + GOING_AWAY_MASKED, WHOLE * 2 + frame(b"\x03\xe9", opcode=8, masked=True))


async def test_half_a_frame_behind_the_one_under_way_is_dropped(front, origin):
    heard = await leaving(front, origin, WHOLE[:4], WHOLE[4:] + WHOLE + frame(b"x" * 100)[:3])
    assert heard == WHOLE * 2 + GOING_AWAY_MASKED


async def test_a_frame_that_never_ends_is_waited_for_and_cut(front, origin):
    assert await leaving(front, origin, WHOLE[:4], b"", reply=False) == WHOLE[:4]


async def test_a_frame_of_the_target_is_ended_first(front, origin):
    proceed = asyncio.Event()
    large = frame(b"x" * 100_000)

    async def conduct(side):
        await side.send(large[:50_000])
        await proceed.wait()
        await side.send(large[50_000:] + frame(b"next")[:3])
        await side.gone()

    gateway, wire = await opened(front, origin, conduct, protocol=b"websocket")
    async with wire:
        await wire.reader.readexactly(50_000)
        gateway.edge.drain()
        await asyncio.sleep(0.05)
        proceed.set()
        assert await wire.reader.readexactly(len(large) - 50_000 + 4) == large[50_000:] + GOING_AWAY
        await wire.send(frame(b"\x03\xe9", opcode=8, masked=True))
        assert await asyncio.wait_for(wire.rest(), 60) == b""


async def test_another_protocol_goes_on_while_the_gateway_drains(front, origin):
    gateway, wire = await opened(front, origin, echo)
    async with wire:
        gateway.edge.drain()
        await wire.send(b"still here")
        assert await wire.reader.readexactly(10) == b"still here"
    while gateway.edge.connections:
        await asyncio.sleep(0.001)


async def test_a_side_that_takes_no_goodbye_leaves_nothing_behind(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.01)

    class Stuck:
        gone = False

        async def read(self) -> bytes:
            return await asyncio.get_running_loop().create_future()

        async def write(self, _data: bytes) -> None:
            await asyncio.get_running_loop().create_future()

    async def drain() -> None:
        await asyncio.get_running_loop().create_future()

    class Transport(asyncio.Transport):
        def write(self, data: object) -> None:
            pass

    side = module.ClientSide(Transport(), drain, websocket=True)
    before = asyncio.all_tasks()
    side.leave()
    await module.pump(side, Stuck())  # type: ignore[arg-type]
    assert asyncio.all_tasks() == before
