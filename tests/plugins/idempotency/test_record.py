"""The steps of a key, the same table over memory and over a real Redis; what is kept of an answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.services.seal import Seal
from gateway.services.store import MemoryStore, open_store
from plugins.idempotency.record import BEGIN, END, FREE, RENEW, Answer, pack_answer, split, unpack_answer

A, B = b"a" * 16, b"b" * 16
MARK, OTHER = b"m" * 20, b"\x00\xff" * 10
T0 = 1_800_000_000_000_000
LEASE, TTL = 10_000_000, 60_000_000
KEY = b"sg:{idempotency/r/i/k}"


def begin(token=A, mark=MARK, lapse=0, again=0):
    return BEGIN, (token, mark, LEASE, TTL, lapse, again)


def end(state, token=A, mark=MARK, rest=b""):
    return END, (token, state + token + mark + rest, TTL)


def free(token=A):
    return FREE, (token,)


def renew(token=A, lapse=0):
    return RENEW, (token, MARK, LEASE, TTL, lapse)


def pending(token=A, at=0):
    return b"p" + token + MARK + b"%d" % (T0 + at + LEASE)


# each step: seconds since the one before, what is run, its reply
CASES = [
    pytest.param([(0, begin(), b""), (0, begin(B), pending())], id="the second finds the first in flight"),
    pytest.param([(0, begin(mark=OTHER), b""), (0, begin(B), b"p" + A + OTHER + b"%d" % (T0 + LEASE))], id="any bytes"),
    pytest.param(
        [(0, begin(), b""), (0, end(b"d", rest=b"\0x\r\n"), 1), (0, begin(B), b"d" + A + MARK + b"\0x\r\n")],
        id="done is found with what it says",
    ),
    pytest.param([(0, begin(), b""), (0, free(), 1), (0, begin(B), b"")], id="a key that is free is taken"),
    pytest.param([(0, begin(), b""), (0, free(B), 0), (0, begin(B), pending())], id="only its holder frees it"),
    pytest.param([(0, begin(), b""), (0, end(b"d", B), 0), (0, begin(B), pending())], id="only its holder ends it"),
    pytest.param([(0, begin(), b""), (0, renew(B), 0)], id="only its holder renews it"),
    pytest.param([(0, begin(), b""), (9, begin(B), pending()), (1, begin(B), b"")], id="a lease ends"),
    pytest.param([(0, begin(), b""), (8, renew(), 1), (8, begin(B), pending(at=8_000_000))], id="unless it is renewed"),
    pytest.param([(0, begin(), b""), (10, begin(B), b""), (0, renew(), 0)], id="a lease that went to another is lost"),
    pytest.param([(0, begin(), b""), (10, begin(B), b""), (0, end(b"d"), 0)], id="and so is what came of it"),
    pytest.param([(0, begin(), b""), (0, end(b"d"), 1), (0, renew(), 0)], id="what has ended is not renewed"),
    pytest.param([(0, end(b"d"), 1), (0, begin(B), b"d" + A + MARK)], id="what the store forgot is written again"),
    pytest.param([(0, renew(), 1), (0, begin(B), pending())], id="and taken again by who still works on it"),
    pytest.param([(0, free(), 0)], id="nothing to free"),
    pytest.param(
        [(0, begin(lapse=1), b""), (10, begin(B, lapse=1), b"u" + A + MARK), (49, begin(B, lapse=1), b"u" + A + MARK)],
        id="a crash leaves an unknown outcome, if that is asked for",
    ),
    pytest.param(
        [(0, begin(lapse=1), b""), (10, begin(B, lapse=1), b"u" + A + MARK), (0, end(b"d"), 1)],
        id="who was only slow may still say how it ended",
    ),
    pytest.param(
        [(0, begin(lapse=1), b""), (8, renew(lapse=1), 1), (8, begin(B, lapse=1), pending(at=8_000_000))],
        id="a renewal that would leave an unknown outcome",
    ),
    pytest.param([(0, begin(), b""), (0, end(b"u"), 1), (0, begin(B), b"u" + A + MARK)], id="unknown stays"),
    pytest.param([(0, begin(), b""), (0, end(b"u"), 1), (0, begin(B, again=1), b"")], id="or may be begun again"),
    pytest.param(
        [(0, begin(), b""), (0, end(b"u"), 1), (0, begin(B, OTHER, again=1), b"u" + A + MARK)],
        id="by the same request only",
    ),
    pytest.param(
        [(0, begin(), b""), (0, end(b"d"), 1), (0, begin(B, again=1), b"d" + A + MARK)], id="what is done is not"
    ),
]


@pytest.mark.parametrize("steps", CASES)
async def test_steps_in_memory(steps):
    now = T0
    store = MemoryStore(now=lambda: now)
    for seconds, (script, args), reply in steps:
        now += seconds * 1_000_000
        assert await store.run(script, (KEY,), args) == reply


@pytest.mark.parametrize("steps", CASES)
async def test_steps_in_redis(steps, redis_server):
    store = await open_store(redis_server.url, timeout=5)
    try:
        now = T0
        for seconds, (script, args), reply in steps:
            now += seconds * 1_000_000
            assert await store.run(script.at(now), (KEY,), args) == reply
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("steps", "least", "most"),
    [
        pytest.param([begin()], 9_000, 10_000, id="in flight: the lease"),
        pytest.param([begin(lapse=1)], 59_000, 60_000, id="in flight, a crash to be remembered"),
        pytest.param([begin(), end(b"d")], 59_000, 60_000, id="done"),
    ],
)
async def test_redis_forgets_by_itself(steps, least, most, redis_server):
    store = await open_store(redis_server.url, timeout=5)
    try:
        for script, args in steps:
            await store.run(script, (KEY,), args)
    finally:
        await store.close()
    assert least <= redis_server.command("PTTL", KEY) <= most


@given(
    st.integers(200, 599), st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), max_size=4), st.binary()
)
def test_an_answer_comes_back_as_it_was(status, fields, body):
    for seal in (None, Seal(["0123456789abcdef"])):
        back = unpack_answer(pack_answer(Answer(status, fields, body), seal), seal)
        assert (back.status, back.fields, back.body) == (status, fields, body)


@given(st.binary(max_size=80))
def test_bytes_that_are_no_answer_are_none(data):
    assert unpack_answer(data, Seal(["0123456789abcdef"])) is None
    unpack_answer(data, None)  # whatever they are, nothing is raised


def test_a_value_taken_apart():
    assert split(b"d" + A + MARK + b"rest") == (b"d", MARK, b"rest")
