from __future__ import annotations

import asyncio

import pytest

from gateway.errors import ConnectTimeout, PoolExhausted
from gateway.http import Request
from gateway.transport.endpoint import Endpoint
from gateway.transport.exchange import send


class Held:
    """A conduct that answers when told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, seen) -> None:
        await self.go.wait()
        await seen.answer()


async def asking(connections, timing):
    return await send(connections, Request("GET", "/"), "/", b"t", timing())


async def test_requests_beyond_the_limit_wait_for_a_connection(service, pool, timing, until):
    held = Held()
    target = await service(held)
    connections = pool(target.url, connections=2, waiting=10, waiting_time=10)
    tasks = [asyncio.ensure_future(asking(connections, timing)) for _ in range(5)]
    await until(lambda: connections.waiting == 3)
    assert connections.total == 2
    held.go.set()
    assert [each.status for each in await asyncio.gather(*tasks)] == [200] * 5
    assert target.connections == 2
    assert (connections.idle, connections.waiting) == (2, 0)


async def test_the_waiting_line_is_bounded(service, pool, timing, until):
    held = Held()
    target = await service(held)
    connections = pool(target.url, connections=1, waiting=1, waiting_time=10)
    tasks = [asyncio.ensure_future(asking(connections, timing)) for _ in range(2)]
    await until(lambda: connections.waiting == 1)
    with pytest.raises(PoolExhausted, match="Service unavailable"):
        await asking(connections, timing)
    held.go.set()
    await asyncio.gather(*tasks)


async def test_waiting_has_a_deadline(service, pool, timing, until):
    held = Held()
    target = await service(held)
    connections = pool(target.url, connections=1, waiting_time=0.05)
    task = asyncio.ensure_future(asking(connections, timing))
    await until(lambda: connections.total == 1)
    with pytest.raises(PoolExhausted):
        await asking(connections, timing)
    assert connections.waiting == 0
    held.go.set()
    await task


async def test_who_leaves_the_line_loses_nobody_a_connection(service, pool, timing, until):
    held = Held()
    target = await service(held)
    connections = pool(target.url, connections=1, waiting_time=10)
    first, leaver, last = (asyncio.ensure_future(asking(connections, timing)) for _ in range(3))
    await until(lambda: connections.waiting == 2)
    leaver.cancel()
    held.go.set()
    assert (await first).status == (await last).status == 200
    with pytest.raises(asyncio.CancelledError):
        await leaver
    assert (connections.total, connections.idle, connections.waiting) == (1, 1, 0)


async def test_a_lost_connection_makes_room_for_who_waits(service, pool, timing, until):
    async def conduct(seen):
        if seen.connection == 1:
            await asyncio.sleep(0.05)
            seen.close()
        else:
            await seen.answer()

    target = await service(conduct)
    connections = pool(target.url, connections=1, waiting_time=10)
    tasks = [asyncio.ensure_future(asking(connections, timing)) for _ in range(3)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [getattr(each, "status", 0) for each in results] == [502, 200, 200]
    assert connections.total == 1


async def test_a_fresh_connection_takes_the_place_of_an_idle_one(service, pool, timing, until):
    target = await service()
    connections = pool(target.url, connections=1)
    await asking(connections, timing)
    response = await send(connections, Request("GET", "/"), "/", b"t", timing(), fresh=True)
    assert response.status == 200
    assert target.connections == 2
    assert (connections.total, connections.idle) == (1, 1)


async def test_idle_connections_expire(service, pool, timing, until):
    target = await service()
    connections = pool(target.url, idle=0.05)
    await asking(connections, timing)
    assert connections.idle == 1
    await until(lambda: connections.total == 0)
    await until(lambda: not target.open)


async def test_the_last_used_connection_goes_first(service, pool, timing, until):
    held = Held()
    target = await service(held)
    connections = pool(target.url)
    tasks = [asyncio.ensure_future(asking(connections, timing)) for _ in range(3)]
    await until(lambda: len(target.requests) == 3)
    held.go.set()
    await asyncio.gather(*tasks)
    for _ in range(3):
        await asking(connections, timing)
    assert len({seen.connection for seen in target.requests[3:]}) == 1


async def test_connecting_has_a_deadline(service, pool, timing, monkeypatch):
    endpoint = Endpoint("http://127.0.0.1:9")

    async def never(*_):
        await asyncio.sleep(60)

    monkeypatch.setattr(Endpoint, "_connect_to", never)
    connections = pool(endpoint, connect=0.05)
    with pytest.raises(ConnectTimeout):
        await asking(connections, timing)
    assert connections.total == 0


async def test_connecting_may_take_a_routes_own_time(service, pool, monkeypatch):
    endpoint = Endpoint("http://127.0.0.1:9")

    async def never(*_):
        await asyncio.sleep(60)

    monkeypatch.setattr(Endpoint, "_connect_to", never)
    with pytest.raises(ConnectTimeout):
        await pool(endpoint, connect=60).acquire(0.05)


async def test_closing_lets_exchanges_under_way_finish(service, pool, timing, until):
    held = Held()
    target = await service(held)
    connections = pool(target.url)
    task = asyncio.ensure_future(asking(connections, timing))
    await until(lambda: target.requests)
    connections.close()
    held.go.set()
    assert (await task).body.whole == b"ok"
    await until(lambda: connections.total == 0)
    assert connections.idle == 0
    connections.close()
