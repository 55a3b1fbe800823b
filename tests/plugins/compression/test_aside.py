"""Coding beside the event loop: what goes there, and how much of it at once."""

import asyncio
import threading
import time

import pytest

from plugins.compression.aside import MOST_THREADS, Threads, inline_below
from plugins.compression.coding import encoder


@pytest.mark.parametrize(
    ("coding", "level", "below"),
    [
        pytest.param("gzip", 6, 33_750, id="gzip as usual: 64 KB take a millisecond"),
        pytest.param("zstd", 3, 135_000, id="zstd is faster"),
        pytest.param("br", 6, 18_000, id="brotli is slower"),
        pytest.param("br", 7, 0, id="brotli from 7 on has tables to set up"),
        pytest.param("zstd", 12, 0, id="so has zstd from 10 on"),
    ],
)
def test_where_the_loop_would_be_held(coding: str, level: int, below: int):
    assert inline_below(coding, level) == below


@pytest.mark.parametrize(("coding", "most"), [("gzip", 9), ("br", 11), ("zstd", 19)])
def test_every_level_that_can_be_set_has_its_place(coding: str, most: int):
    for level in range(1, most + 1):
        assert inline_below(coding, level) >= 0
        assert encoder(coding, level) is not None


async def test_a_few_at_once_and_the_others_wait():
    threads, lock, at_once, most = Threads(), threading.Lock(), 0, 0

    def work(number: int) -> int:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.002)
        with lock:
            at_once -= 1
        return number

    assert await asyncio.gather(*[threads.run(work, number) for number in range(50)]) == list(range(50))
    assert 1 <= most <= MOST_THREADS
    await threads.close()
    await threads.close()


async def test_what_still_streams_when_they_are_gone_is_coded_all_the_same():
    threads = Threads()
    await threads.close()
    assert await threads.run(len, b"abc") == 3
