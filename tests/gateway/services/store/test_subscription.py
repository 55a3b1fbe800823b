"""Subscriptions over a Redis that goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.services.store import channel
from gateway.services.store import subscription as module

PURGE = channel("purge")


async def test_who_listens_again_is_told_that_messages_may_be_lost(
    start_redis: Callable[..., Any], open_redis: Any, eventually: Any, is_up: Any
):
    server = start_redis()
    store = await open_redis(server.url)
    heard: list[bytes] = []
    gaps: list[int] = []
    store.subscribe(PURGE, heard.append, lambda: gaps.append(len(heard)))
    await eventually(lambda: gaps == [0], "listening has begun")
    await store.publish(PURGE, b"one")
    await eventually(lambda: heard == [b"one"], "the first message")
    server.restart()
    await eventually(lambda: gaps == [0, 1], "listening has begun again")
    await is_up(store)
    await store.publish(PURGE, b"two")
    await eventually(lambda: heard == [b"one", b"two"], "the second message")


async def test_it_may_begin_before_redis_is_there(start_redis: Callable[..., Any], open_redis: Any, eventually: Any):
    server = start_redis()
    server.kill()
    store = await open_redis(server.url)
    heard: list[bytes] = []
    gaps: list[int] = []
    store.subscribe(PURGE, heard.append, lambda: gaps.append(1))
    await asyncio.sleep(0.1)
    assert gaps == []
    server.start()
    await eventually(lambda: gaps, "listening has begun")
    server.command("PUBLISH", PURGE, "hello")
    await eventually(lambda: heard == [b"hello"], "the message")


async def test_a_connection_that_went_dumb_is_replaced(
    start_redis: Callable[..., Any], open_redis: Any, eventually: Any, monkeypatch: Any
):
    monkeypatch.setattr(module, "SILENCE", 0.2)
    server = start_redis()
    store = await open_redis(server.url)
    gaps: list[int] = []
    store.subscribe(PURGE, lambda _message: None, lambda: gaps.append(1))
    await eventually(lambda: len(gaps) == 1, "listening has begun")
    # A silent but living server is asked and answers: nothing is replaced.
    await asyncio.sleep(0.7)
    assert len(gaps) == 1
    server.pause()
    await asyncio.sleep(0.7)
    server.resume()
    await eventually(lambda: len(gaps) >= 2, "listening has begun again")


async def test_a_channel_nobody_listens_to_is_left(redis_store: Any, redis_server: Any, eventually: Any):
    gaps: list[int] = []
    subscription = redis_store.subscribe(PURGE, lambda _message: None, lambda: gaps.append(1))
    await eventually(lambda: gaps, "listening has begun")
    subscription.close()
    await eventually(lambda: redis_server.command("PUBSUB", "CHANNELS") == [], "it is left")
    again = redis_store.subscribe(PURGE, lambda _message: None, lambda: gaps.append(2))
    await eventually(lambda: gaps == [1, 2], "it is joined again")
    again.close()
