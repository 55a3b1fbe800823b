"""Whatever stands where it should not is found; what is sound is not."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.services.queue import Attempt, Buried, Done, Draft
from gateway.services.queue.streams.keys import digest, tag_of_topic

TAG = tag_of_topic("inbox").decode()
BAD, OK = Attempt(1, 1.0, 0.1, 502, "e"), Attempt(1, 1.0, 0.1, 200)
STATES = ("leased", "done", "dead", "ready", "turn", "waiting", "later")


@pytest.fixture
async def ids(queue: Any, clock: Any) -> dict[str, str]:
    """One item in each state."""
    made = {}
    for state in STATES:
        order = "k" if state in {"turn", "waiting"} else None
        due = clock.time() + 60 if state == "later" else 0
        made[state] = (await queue.put(Draft("inbox", b"1234", subject="ada", order=order, due=due))).id
    _, done, dead = await queue.take("inbox", 3, 600)
    await queue.settle([Done(done, OK, keep=600), Buried(dead, BAD)])
    return made


async def test_every_state_is_sound(queue: Any, ids: dict[str, str]):
    assert await queue.check() == []


@pytest.mark.parametrize(
    ("state", "words", "finding"),
    [
        pytest.param("ready", ("DEL", ":i:{id}"), "is not there", id="an item is gone"),
        pytest.param("dead", ("DEL", ":b:{id}"), "no payload", id="a payload is gone"),
        pytest.param("ready", ("DEL", ":s"), "nobody will be handed it", id="the stream is gone"),
        pytest.param("later", ("DEL", ":d"), "nobody will be handed it", id="what is due later is gone"),
        pytest.param("leased", ("DEL", ":l"), "leased for ever", id="the ends of leases are gone"),
        pytest.param("turn", ("DEL", ":o"), "has no turn", id="the turns are gone"),
        pytest.param("waiting", ("DEL", ":o"), "waits for nobody", id="it waits, and it is nobody's turn"),
        pytest.param("waiting", ("DEL", ":w:{order}"), "waits in no order", id="who waits is gone"),
        pytest.param("dead", ("DEL", ":r"), "never be swept", id="when they died is gone"),
        pytest.param("done", ("DEL", ":e"), "never be swept", id="when they go is gone"),
        pytest.param("dead", ("DEL", ":j:{subject}"), "by its subject", id="a subject's index is gone"),
        pytest.param("dead", ("HSET", ":i:{id}", "s", "f"), "what it is not", id="a state of another index"),
        pytest.param("ready", ("HSET", ":i:{id}", "z", "5"), "29 bytes", id="a size that is not so"),
        pytest.param("ready", ("HSET", ":i:{id}", "k", "1-1"), "without being due", id="an entry of nobody"),
        pytest.param("dead", ("ZADD", ":l", "1", "{id}"), "among the leases", id="a lease of what is dead"),
        pytest.param("dead", ("ZADD", ":d", "1", "{id}"), "among the later", id="what is dead will be due"),
        pytest.param("dead", ("HSET", ":o", "x", "{id}"), "its order stands still", id="a turn of what is dead"),
    ],
)
async def test_what_is_broken_is_told(
    queue: Any, ids: dict[str, str], redis_server: Any, state: str, words: tuple[str, ...], finding: str
):
    names = {"id": ids[state], "order": digest("k"), "subject": digest("ada")}
    command, key, *rest = [word.format(**names) for word in words]
    redis_server.command(command, TAG + key, *rest)
    found = await queue.check()
    assert any(finding in line and (ids[state] in line or "bytes" in line) for line in found), found
    assert all(line.startswith("inbox: ") for line in found)


async def test_what_is_broken_often_is_told_so_often_and_no_more(queue: Any, redis_server: Any):
    for _ in range(150):
        await queue.put(Draft("inbox", b"x"))
    redis_server.command("DEL", TAG + ":s")
    found = await queue.check()
    assert len(found) == 101
    assert found[-1] == "… and perhaps more"
