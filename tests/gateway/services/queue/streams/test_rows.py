"""Drafts as arguments, rows as items, payloads sealed and opened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.services.queue import Attempt, Draft, State
from gateway.services.queue.opening import QueueSettings
from gateway.services.queue.streams.rows import Codec, Unreadable, encoded, micros, read_attempt, seconds

PLAIN = Codec(QueueSettings())
SEALING = Codec(QueueSettings(keys=(b"k" * 32,)))


@given(st.binary(max_size=200), st.dictionaries(st.text(), st.text(), max_size=4), st.none() | st.text(), st.booleans())
def test_a_row_is_the_item_that_the_draft_meant(payload: bytes, labels: dict[str, str], order: str | None, seal: bool):
    codec = SEALING if seal else PLAIN
    _, _, body, head, size, *_ = codec.draft(Draft("t", payload, labels, order=order))
    numbers = [b"%d" % number for number in (1_000_000, 2_500_000)]
    row = [b"id", body, b"", *numbers, b"l", b"3", b"2", b"1", b"%d" % size, b"%d" % head, b"token", b"9000000"]
    item = codec.item("t", row, whole=True)
    assert (item.payload, item.labels, item.order, item.size) == (payload, labels, order, len(payload))
    assert (item.accepted, item.due, item.lease, item.lease_until) == (1.0, 2.5, "token", 9.0)
    assert (item.attempts, item.round, item.replays, item.state) == (3, 2, 1, State.LEASED)
    row[1] = body[:head]
    assert codec.item("t", row).payload is None


def test_a_byte_that_is_no_text_does_not_stop_an_item():
    head = PLAIN.draft(Draft("t", b"", {"path": "/\udcff"}, order="\udcff"))[2]
    assert b'"/?"' in head


@given(st.builds(Attempt, st.integers(1, 1000), st.floats(0, 2e9), st.floats(0, 1e4), st.integers(0, 599), st.text()))
def test_an_attempt_is_read_as_it_was_written(attempt: Attempt):
    assert read_attempt(encoded(attempt)) == attempt


@pytest.mark.parametrize(
    "codec",
    [
        pytest.param(PLAIN, id="there is no key"),
        pytest.param(Codec(QueueSettings(keys=(b"o" * 32,))), id="another key"),
    ],
)
def test_what_no_key_opens_is_unreadable(codec: Codec):
    with pytest.raises(Unreadable):
        codec.opened(SEALING.sealed(b"x"))


def test_what_was_kept_before_there_were_keys_is_read():
    assert SEALING.opened(PLAIN.sealed(b"x")) == b"x"


@given(st.integers(0, 4_000_000_000_000_000))
def test_times_are_exact_to_the_microsecond(stamp: int):
    assert micros(seconds(b"%d" % stamp)) == stamp
