"""Locks with a lease, over both stores."""

from __future__ import annotations

import asyncio

import pytest

from gateway.services.store import KeyPrefix, Lock, Store

KEY = KeyPrefix("test", "lock").key("session")


async def test_one_holds_it_until_it_is_given_up(store: Store):
    mine, yours = Lock(store, KEY, lease=30), Lock(store, KEY, lease=30)
    assert await mine.acquire()
    assert not await yours.acquire()
    assert not await yours.release()
    assert await mine.extend()
    assert await mine.release()
    assert not await mine.release()
    assert await yours.acquire()


async def test_a_lease_ends_by_itself(store: Store):
    mine, yours = Lock(store, KEY, lease=0.02), Lock(store, KEY, lease=30)
    assert await mine.acquire()
    await asyncio.sleep(0.08)
    assert not await mine.extend()
    assert await yours.acquire()
    assert not await mine.release()
    assert not await Lock(store, KEY, lease=1).acquire()


async def test_those_who_wait_get_it_one_after_the_other(store: Store):
    inside, most, done = 0, 0, 0

    async def work() -> None:
        nonlocal inside, most, done
        async with Lock(store, KEY, lease=30, wait=30):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.002)
            inside -= 1
            done += 1

    await asyncio.gather(*[work() for _ in range(8)])
    assert (most, done) == (1, 8)


async def test_who_has_waited_long_enough_gives_up(store: Store):
    async with Lock(store, KEY, lease=30):
        with pytest.raises(TimeoutError):
            async with Lock(store, KEY, lease=30, wait=0.02):
                pytest.fail("two hold it")
    async with Lock(store, KEY, lease=30):
        pass


async def test_an_error_inside_gives_it_up_and_passes_through(store: Store):
    with pytest.raises(KeyError):
        async with Lock(store, KEY, lease=30):
            raise KeyError
    assert await Lock(store, KEY, lease=30).acquire()


async def test_a_store_that_goes_away_meanwhile_does_not_hide_what_the_work_gave(store: Store):
    async with Lock(store, KEY, lease=30):
        await store.close()


async def test_a_lease_is_above_zero(store: Store):
    with pytest.raises(ValueError, match="above zero"):
        Lock(store, KEY, lease=0)
