from __future__ import annotations

import asyncio

import pytest

from gateway.errors import MalformedAnswer, TruncatedAnswer
from gateway.http.fields import KINDS
from gateway.transport.answer import FEW_BYTES, HIGH_WATER, LOW_WATER, MANY, Answer, crowd, frame


class Supply:
    """A connection that counts what an answer asks of it."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.asked: list[str] = []

    def pause(self) -> None:
        self.asked.append("pause")

    def resume(self) -> None:
        self.asked.append("resume")

    def close(self) -> None:
        self.asked.append("close")


def answer(supply: Supply | None = None, *, head_only: bool = False) -> Answer:
    return Answer(supply, head_only=head_only, idle=None, inform=None)


def framed(status: int, *fields: tuple[bytes, bytes], head_only: bool = False) -> tuple[Answer, list[bytes]]:
    made = answer(head_only=head_only)
    passing = [name + b": " + value for name, value in fields if not KINDS[name]]
    return made, frame(made, status, passing, [pair for pair in fields if KINDS[pair[0]]])


@pytest.mark.parametrize(
    ("status", "fields", "head_only", "length", "until_close", "keep_alive"),
    [
        pytest.param(200, [(b"Content-Length", b"5")], False, 5, False, True, id="a length"),
        pytest.param(200, [(b"Transfer-Encoding", b"Chunked")], False, None, False, True, id="chunked, in any case"),
        pytest.param(200, [], False, None, True, True, id="neither: until the connection ends"),
        pytest.param(200, [(b"Connection", b"close")], False, None, True, False, id="close"),
        pytest.param(200, [(b"connection", b"X-Hop, Close")], False, None, True, False, id="close among others"),
        pytest.param(204, [], False, 0, False, True, id="204 ends at its head"),
        pytest.param(304, [(b"Content-Length", b"5")], False, 0, False, True, id="304 ends at its head"),
        pytest.param(200, [(b"Content-Length", b"5")], True, 5, False, True, id="the answer to HEAD"),
        pytest.param(200, [], True, None, False, True, id="the answer to HEAD without a length"),
    ],
)
async def test_framing(status, fields, head_only, length, until_close, keep_alive):
    made, _ = framed(status, *fields, head_only=head_only)
    assert (made.length, made.until_close, made.keep_alive) == (length, until_close, keep_alive)


@pytest.mark.parametrize(
    ("status", "fields", "head_only", "passed"),
    [
        pytest.param(
            200, [(b"ETag", b'"a"'), (b"Content-Length", b"5")], False, [b'ETag: "a"'], id="framing stays here"
        ),
        pytest.param(
            200, [(b"Content-Length", b"5")], True, [b"Content-Length: 5"], id="HEAD says how long it would be"
        ),
        pytest.param(304, [(b"Content-Length", b"5")], False, [b"Content-Length: 5"], id="so does 304"),
        pytest.param(200, [(b"Keep-Alive", b"timeout=5"), (b"A", b"1")], False, [b"A: 1"], id="hop by hop"),
        pytest.param(
            200, [(b"X-Hop", b"1"), (b"A", b"1"), (b"Connection", b"x-hop")], False, [b"A: 1"], id="named by Connection"
        ),
        pytest.param(200, [(b"Date", b"now"), (b"A", b"1")], False, [b"A: 1", b"Date: now"], id="the target's Date"),
        pytest.param(200, [(b"A", b"1"), (b"A", b"2")], False, [b"A: 1", b"A: 2"], id="repeated, in order"),
        pytest.param(200, [(b"Upgrade", b"h2c")], False, [], id="an offer to switch ends here"),
        pytest.param(426, [(b"Upgrade", b"websocket")], False, [b"Upgrade: websocket"], id="426 names what it wants"),
    ],
)
async def test_what_goes_on_to_the_client(status, fields, head_only, passed):
    assert framed(status, *fields, head_only=head_only)[1] == passed


async def test_a_date_named_by_connection_is_not_the_answers():
    made, lines = framed(200, (b"Connection", b"Date"), (b"Date", b"now"))
    assert (lines, made.dated) == ([], False)


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        pytest.param(200, [(b"Transfer-Encoding", b"gzip, chunked")], id="a coding that would be lost"),
        pytest.param(101, [], id="101 that does not say to what"),
    ],
)
async def test_heads_that_cannot_be_passed_on(status, fields):
    with pytest.raises(MalformedAnswer):
        framed(status, *fields)


async def test_a_reader_that_lags_holds_the_socket_and_lets_go_of_it():
    supply = Supply()
    made = answer(supply)
    pieces = HIGH_WATER // 16384 + 1
    for _ in range(pieces):
        made.feed(b"x" * 16384)
    assert supply.asked == ["pause"]
    for _ in range(pieces - LOW_WATER // 16384):
        await made.read()
    assert supply.asked == ["pause", "resume"]


async def test_among_many_that_lag_each_holds_little(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(crowd, "paused", MANY + 1)
    supply = Supply()
    made = answer(supply)
    made.feed(b"x" * (FEW_BYTES - 1))
    assert supply.asked == []
    made.feed(b"x")
    assert supply.asked == ["pause"]
    assert len(await made.read()) == FEW_BYTES - 1
    assert supply.asked == ["pause", "resume"]


async def test_closing_gives_up_the_connection_and_what_waits():
    supply = Supply()
    made = answer(supply)
    made.feed(b"x")
    made.close()
    assert supply.asked == ["close"]
    with pytest.raises(TruncatedAnswer):
        await made.read()


async def test_after_its_end_an_answer_touches_no_connection():
    supply = Supply()
    made = answer(supply)
    made.feed(b"x")
    made.complete = True
    made.finished()
    assert await made.read() == b"x"
    assert await made.read() == b""
    made.close()
    assert supply.asked == []


async def test_what_arrived_comes_before_the_error():
    made = answer(Supply())
    made.feed(b"x")
    made.fail(TruncatedAnswer())
    assert await made.read() == b"x"
    with pytest.raises(TruncatedAnswer):
        await made.read()
