from __future__ import annotations

import asyncio

import pytest

from gateway.services.clock import Wheel
from gateway.transport.answer import HIGH_WATER
from gateway.transport.tunnel import RawTunnel


class Connection:
    """A connection that remembers what a tunnel asks of it."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.lost = False
        self.asked: list[str] = []
        self.sent: list[bytes] = []

    def pause(self) -> None:
        self.asked.append("pause")

    def resume(self) -> None:
        self.asked.append("resume")

    def close(self) -> None:
        self.asked.append("close")
        self.lost = True

    async def write(self, data: bytes) -> None:
        self.sent.append(data)


async def test_bytes_come_in_order_and_then_the_end():
    tunnel = RawTunnel(Connection())
    waiting = asyncio.ensure_future(tunnel.read())
    await asyncio.sleep(0)
    tunnel.feed(b"a")
    tunnel.feed(b"b")
    tunnel.feed(b"")
    assert [await waiting, await tunnel.read(), await tunnel.read(), await tunnel.read()] == [b"a", b"b", b"", b""]


async def test_a_client_that_lags_holds_the_target_back():
    connection = Connection()
    tunnel = RawTunnel(connection)
    tunnel.feed(b"x" * HIGH_WATER)
    assert connection.asked == []
    tunnel.feed(b"x")
    assert connection.asked == ["pause"]
    await tunnel.read()
    assert connection.asked == ["pause", "resume"]


async def test_what_is_written_goes_to_the_target():
    connection = Connection()
    await RawTunnel(connection).write(b"frame")
    assert connection.sent == [b"frame"]


@pytest.mark.parametrize(
    "talk", [pytest.param("feed", id="the target speaks"), pytest.param("write", id="the client speaks")]
)
async def test_silence_ends_a_tunnel_and_talk_keeps_it(talk):
    connection, wheel = Connection(), Wheel()
    tunnel = RawTunnel(connection, wheel.of(0.2))
    for _ in range(6):
        await asyncio.sleep(0.1)
        if talk == "feed":
            tunnel.feed(b"x")
        else:
            await tunnel.write(b"x")
    assert not connection.lost
    for _ in range(100):
        if connection.lost:
            break
        await asyncio.sleep(0.02)
    assert connection.lost
    wheel.close()


@pytest.mark.parametrize("waits", [True, False], ids=["a read that waits", "the next read that would"])
async def test_a_read_is_woken_once_and_nothing_is_lost(waits: bool):
    tunnel = RawTunnel(Connection())
    if waits:
        waiting = asyncio.ensure_future(tunnel.read())
        await asyncio.sleep(0)
        tunnel.wake()
        assert await waiting == b""
    else:
        tunnel.feed(b"a")
        tunnel.wake()
        assert [await tunnel.read(), await tunnel.read()] == [b"a", b""]
    waiting = asyncio.ensure_future(tunnel.read())
    await asyncio.sleep(0)
    tunnel.feed(b"b")
    assert await waiting == b"b"
