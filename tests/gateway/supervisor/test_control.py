"""The line between supervisor and workers: every question has one answer, whatever happens to the other end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.supervisor.control import Line, Refusal


async def answer(what: str, arguments: dict[str, Any]) -> Any:
    if what == "echo":
        return arguments
    if what == "slow":
        await asyncio.sleep(60)
    if what == "lookup":
        raise LookupError("nobody")
    raise RuntimeError(what)


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Line, Line]]:
    first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    lines = await Line.over(first), await Line.over(second)
    tasks = [asyncio.create_task(line.serve(answer)) for line in lines]
    yield lines
    for line in lines:
        line.close()
    await asyncio.gather(*tasks)
    for line in lines:
        for task in list(line._tasks):
            task.cancel()
        await asyncio.gather(*line._tasks, return_exceptions=True)


async def test_both_ends_may_ask_and_answers_find_their_questions(ends: tuple[Line, Line]) -> None:
    asked = [end.ask("echo", 5, number=number) for number in range(50) for end in ends]
    assert await asyncio.gather(*asked) == [{"number": number} for number in range(50) for _ in ends]


async def test_a_large_message_passes(ends: tuple[Line, Line]) -> None:
    text = "ü\n" * 1_000_000
    assert await ends[0].ask("echo", 30, text=text) == {"text": text}


@pytest.mark.parametrize(("what", "words"), [("broken", "broken"), ("lookup", "lookup: nobody")])
async def test_a_failure_comes_back_in_words(ends: tuple[Line, Line], what: str, words: str) -> None:
    with pytest.raises(Refusal, match=words):
        await ends[0].ask(what, 5)


async def test_silence_is_a_timeout_and_the_line_goes_on(ends: tuple[Line, Line]) -> None:
    with pytest.raises(TimeoutError):
        await ends[0].ask("slow", 0.05)
    assert await ends[0].ask("echo", 5, a=1) == {"a": 1}


async def test_an_end_that_goes_is_told_to_who_waits_and_to_who_asks_after(ends: tuple[Line, Line]) -> None:
    waiting = asyncio.create_task(ends[0].ask("slow", 30))
    await asyncio.sleep(0.05)
    ends[1].close()
    with pytest.raises(ConnectionError):
        await waiting
    ends[0].close()
    with pytest.raises(ConnectionError):
        await ends[0].ask("echo", 5)
